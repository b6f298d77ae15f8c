"""What all tests share."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the measured data, which are read in place and never copied into the project."""
    folder = Path(os.environ.get("GBX_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"measured data absent: {folder} (set GBX_SHARED_DATA)")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--allowed-skips", type=Path, help="fail when a test is skipped that this file does not name")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that skipped what it was not allowed to skip."""
    allowed_file: Path | None = session.config.getoption("--allowed-skips")
    if allowed_file is None or exitstatus != pytest.ExitCode.OK:
        return
    patterns = [line for line in allowed_file.read_text().splitlines() if line and not line.startswith("#")]
    reporter: Any = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:  # a worker of pytest-xdist: its skips reach the run's own process
        return
    skipped = {report.nodeid for report in reporter.stats.get("skipped", [])}
    surplus = sorted(test for test in skipped if not any(fnmatch(test, pattern) for pattern in patterns))
    if surplus:
        reporter.write_line(f"skipped without leave ({allowed_file}): {', '.join(surplus)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
