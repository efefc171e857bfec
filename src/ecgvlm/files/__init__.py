"""What comes in: pictures, PDF pages, DICOM objects, ECG records and data sets of them."""
