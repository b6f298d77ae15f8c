"""The most memory that one task holds, measured in a process of its own.

``python -m benchmarks.memory TASK MASTER LABELS`` does the task and prints bytes.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.eiger_series import EigerSeries


def peak_of(task: str, series: EigerSeries) -> int:
    """Bytes resident at the worst moment of ``task``: "import", "h5py", "pick" or "analyze"."""
    command = [sys.executable, "-m", "benchmarks.memory", task, str(series.master), str(series.labels)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def peak() -> int:
    """Bytes of this process.

    Linux hands a parent's peak down to its children in ``ru_maxrss``; the high-water mark of the address space does
    not have that fault.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return int(found.group(1)) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """Do one task and print the peak."""
    from benchmarks import chain
    from benchmarks.eiger_series import series_of

    task, master, labels = sys.argv[1:]
    series = series_of(Path(master), Path(labels))
    tasks: dict[str, Callable[[], object]] = {
        "import": lambda: None,
        "h5py": lambda: chain.read_frames(series),
        "pick": lambda: chain.pick_pixels(series),
        "analyze": lambda: chain.whole_chain(series),
    }
    tasks[task]()
    print(json.dumps(peak()))


if __name__ == "__main__":
    main()
