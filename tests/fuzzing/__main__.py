"""One batch in this process."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from fuzzing import KINDS, feed


def _within_numba() -> bool:
    """Whether numba reads its own cache of compiled kernels."""
    frame = sys._getframe()
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("numba."):
        frame = frame.f_back
    return frame is not None


def watch(folder: Path, violations: list[str]) -> None:
    """Note what this process does from now on that no input may make it do."""
    allowed = (str(folder), "/dev/", tempfile.gettempdir() + "/tmp")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class" and _within_numba():
            return
        if event in ("os.system", "os.exec", "pickle.find_class"):
            violations.append(f"{event} {arguments[:2]!r}")
        elif event == "subprocess.Popen" and "gbx_beamline.frames.quarantine" not in arguments[1]:
            violations.append(f"{event} {arguments[1]!r}")
        elif event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            name = os.path.realpath(os.fsdecode(arguments[0]))
            if not name.startswith(allowed) and "__pycache__" not in name and not name.endswith((".nbi", ".nbc")):
                violations.append(f"writes {name}")

    sys.addaudithook(hook)


def main() -> None:
    """Feed, and say how it went."""
    name, first, count, folder = sys.argv[1:]
    violations: list[str] = []
    # What is imported for the first specimen is no news.
    feed(KINDS[name], int(first), 1, Path(folder))
    watch(Path(folder), violations)
    taken = feed(KINDS[name], int(first), int(count), Path(folder))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    print(json.dumps({"taken": taken, "peak": peak, "violations": violations[:10]}))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
