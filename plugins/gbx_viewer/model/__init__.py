"""What the viewer shows, without Qt: a web page can be made of the same.

Everything here reads through ``gbx_beamline.catalog`` and writes nothing into a catalog. Functions that ask a server
may take as long as it does: they belong into a thread.
"""
