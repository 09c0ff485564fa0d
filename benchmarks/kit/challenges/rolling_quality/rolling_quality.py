"""The last rows of a classifier: their quality, and whether the scores have moved."""


class RollingQuality:
    def __init__(self, size=100, alpha=0.01):
        raise NotImplementedError
