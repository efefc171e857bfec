"""From a picture to twelve leads in mV: the grid, the rectified page, its layout and its traces."""

from ecgvlm.digitize.page import FS, Digitizer, Page, Strip

__all__ = ["FS", "Digitizer", "Page", "Strip"]
