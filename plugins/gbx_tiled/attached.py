"""A module's command line that ends with its owner: ``python -m gbx_tiled.attached OWNER MODULE [ARGUMENTS]``.

A killed owner cannot stop its servers, so they watch it themselves. OWNER is ``-`` for whoever holds the other end of
our standard input, or a file on which each of several owners holds a shared lock: the last one's end frees it.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import signal
import sys
import threading


def _end_with(owner: str) -> None:
    if owner == "-":
        # Not through sys.stdin, whose buffer the interpreter cannot take down while this thread reads.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        with open(owner, "a") as lock:  # noqa: PTH123 - nothing heavier is imported here
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.kill(os.getpid(), signal.SIGTERM)
            # Held until the process is gone: who comes next waits for that.
            threading.Event().wait()


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(sys.argv[1],), name="owner-watch", daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
