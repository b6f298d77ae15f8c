"""``gbx serve`` on disks that are full or read-only: it says so, waits, and goes on by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from serving import Beamline, Service, wait_for

from gbx_services.spool import Spool, State

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class SmallDisk:
    """A file system of some MiB, in memory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**12))

    def make_room(self) -> None:
        """Give the room back."""
        self._filler.unlink()

    def forbid(self) -> None:
        """Let nobody write."""
        _mount("-o", "remount,ro", str(self.place))

    def allow(self) -> None:
        """Let everybody write again."""
        _mount("-o", "remount,rw", str(self.place))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], SmallDisk]]:
    """Makes a folder a file system of so many MiB."""
    with ExitStack() as stack:

        def mounted(place: Path, mebibytes: int) -> SmallDisk:
            place.mkdir(parents=True)
            try:
                _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place))
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("no file system can be mounted here: that needs root")
            stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
            return SmallDisk(place)

        yield mounted


def test_results_that_find_no_room_wait_for_it(tmp_path: Path, small_disk: Callable[[Path, int], SmallDisk]) -> None:
    disk = small_disk(tmp_path / "catalog" / "results", 32)
    with Service(tmp_path) as service:
        service.wait_until_ready()
        beamline, spool = Beamline(service), Spool(service.directory)
        for refuse, relent in ((disk.fill, disk.make_room), (disk.forbid, disk.allow)):
            refuse()
            run = beamline.take()

            def waits(run: str = run) -> bool:
                return any(
                    job.state is State.WAITING and "the catalog takes no results" in job.reason
                    for job in spool.jobs(run=run)
                )

            wait_for("a job that waits", waits)
            health = service.health()
            assert health["status"] == "degraded"
            assert "the catalog takes no results" in health["components"]["catalog"]
            assert "make room or make it writable" in health["components"]["catalog"]
            relent()
            assert [record.failed for record in beamline.records(run)[run]] == [False]
            wait_for("the queue", lambda run=run: all(job.state is State.DONE for job in spool.jobs(run=run)))
            assert [job.tries for job in spool.jobs(run=run)] == [0, 0], "no fault of the scan's"
            wait_for("health", lambda: service.health()["status"] == "ok")
        spool.close()
        beamline.close()
        assert service.stop() == 0


def test_a_queue_that_finds_no_room_waits_for_it(tmp_path: Path, small_disk: Callable[[Path, int], SmallDisk]) -> None:
    disk = small_disk(tmp_path / "serve", 64)
    with Service(tmp_path, sweep={"every_s": 20.0}) as service:
        service.wait_until_ready()
        beamline = Beamline(service)
        disk.fill()
        run = beamline.take()
        wait_for("a report that waits", lambda: "cannot be used" in service.health()["components"]["reports"])
        assert service.health()["status"] == "degraded"
        assert "make room there" in service.health()["components"]["reports"]
        disk.make_room()
        assert [record.failed for record in beamline.records(run)[run]] == [False]
        wait_for("health", lambda: service.health()["status"] == "ok")
        beamline.close()
        assert service.stop() == 0
