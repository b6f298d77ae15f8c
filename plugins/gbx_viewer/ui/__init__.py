"""What the viewer draws, with PySide6 and pyqtgraph. Numbers and words come from ``gbx_viewer.model``."""
