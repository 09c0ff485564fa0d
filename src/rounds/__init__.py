"""Interview rounds for MLOps and production ML that run: the engine that judges untrusted submissions."""

__version__ = "0.1.0"
