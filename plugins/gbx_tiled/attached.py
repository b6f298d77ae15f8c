"""Tiled's command line, ending with the process that started it: ``python -m gbx_tiled.attached serve config ...``.

A killed owner cannot stop its server. Its end of the pipe closes all the same, and the server sees that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from tiled.commandline.main import main


def _end_with_owner() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_owner, name="owner-watch", daemon=True).start()
    main()
