"""From a picture to twelve leads in mV: the grid, the rectified page, its layout and its traces."""

from ecgvlm.digitize.digitizer import Digitizer
from ecgvlm.digitize.page import FS, Page, Strip

__all__ = ["FS", "Digitizer", "Page", "Strip"]
