"""The machine and the versions that a result belongs to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path

from benchmarks.gemm import amx_note
from benchmarks.peers import Peers
from gbx_beamline import __version__

OURS = ("numpy", "numba", "torch", "h5py", "hdf5plugin")


def describe(peers: Peers | None) -> list[str]:
    """Lines for the head of the results."""
    from threadpoolctl import threadpool_info

    pools = [
        f"{pool['internal_api']} {pool.get('architecture') or ''} {pool['num_threads']}" for pool in threadpool_info()
    ]
    lines = [
        f"{processor()}, {os.cpu_count()} cores, {memory()}, {platform.system()}",
        amx_note(),
        f"gbx {__version__}, Python {platform.python_version()}, {_versions()}",
        f"threads of ours: {_joined(pools)}",
    ]
    if peers is not None:
        about = peers.about
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        lines += [
            f"peers: Python {about['python']}, {versions}",
            f"threads of the peers: {_joined(about['pools'])}, torch {about['torch_threads']}",
        ]
    return lines


def processor() -> str:
    """Its name as the system gives it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        family = re.findall(r"^(?:cpu family|model)\s*:\s*(\d+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return platform.processor() or platform.machine()
    name = found.group(1) if found else platform.machine()
    return f"{name} (family {family[0]}, model {family[1]})" if len(family) > 1 else name


def memory() -> str:
    """Main memory."""
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _versions() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in OURS)


def _joined(pools: list[str]) -> str:
    return ", ".join(sorted({" ".join(pool.split()) for pool in pools}))
