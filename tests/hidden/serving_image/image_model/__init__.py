"""A static model of `docker build`: what would be in the image, who owns it, and what it would start.

The files are data. Nothing of them is run here, sizes are capped, and each answer has three values: it holds, it does
not hold, or (`None`) the model cannot tell, which costs a candidate nothing.
"""

from .build import build
from .image import Image

__all__ = ["Image", "build"]
