"""``python -m gbx_services.serve``: the same as ``gbx serve``, refusals in one sentence included."""

import sys

from gbx_beamline import cli

if __name__ == "__main__":
    sys.argv.insert(1, "serve")
    cli.main()
