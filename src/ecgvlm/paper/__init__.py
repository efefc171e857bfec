"""Printed ECG pages: layouts, styles, rendering and degrading, with the exact truth of what is where."""
