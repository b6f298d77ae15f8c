"""What results can be written as."""

FORMATS = ("nxxpcs", "csv", "pychx")
