"""ecgvlm reads a picture of a 12-lead ECG and answers questions about it."""

__version__ = "0.1.0"
