"""``python -m gbx_services.serve``: the same as ``gbx serve``."""

from gbx_services.commands import serve

if __name__ == "__main__":
    serve()
