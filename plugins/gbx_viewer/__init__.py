"""``gbx view``: live and archived scans on a screen. ``model`` is what is shown, free of Qt; ``ui`` draws it."""
