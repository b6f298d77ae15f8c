"""Another module's command line, ending with the process that started it: ``python -m gbx_tiled.attached tiled ...``.

A killed owner cannot stop its servers. Its end of the pipe on our standard input closes all the same, and we see that.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _end_with_owner() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_owner, name="owner-watch", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
