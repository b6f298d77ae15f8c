"""The spool: nothing accepted is lost, nothing is done by two, whoever is killed and whatever the disk does."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gbx_beamline.errors import InputError, ServiceError
from gbx_services.spool import UNSELECTED, Backoff, Spool, State

LEASE = 100.0


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Iterator[Spool]:
    spool = Spool(tmp_path, clock=clock)
    yield spool
    spool.close()


def claim(spool: Spool, limit: int = 10, *, selected: bool = True) -> list[str]:
    return [job.run for job in spool.claim(limit, selected=selected, lease=LEASE)]


def test_a_run_reported_twice_is_one_job(spool: Spool) -> None:
    assert spool.add("a", source="stream", stopped=5.0)
    assert not spool.add("a", source="kafka")
    assert claim(spool, selected=True) == []
    assert claim(spool, selected=False) == ["a"]
    assert not spool.add("a", source="sweep"), "also while somebody has it"
    assert spool.select("a", ["fine", "coarse"], source="rules", stopped=5.0) == ["fine", "coarse"]
    assert spool.select("a", ["fine", "coarse"], source="sweep") == []
    assert not spool.add("a", source="stream")
    assert {(job.rule, job.state) for job in spool.jobs()} == {
        (UNSELECTED, State.DONE),
        ("fine", State.WAITING),
        ("coarse", State.WAITING),
    }
    assert spool.counts() == {State.WAITING: 2, State.HANDED_OVER: 0, State.DONE: 0, State.PARKED: 0}


def test_runs_come_in_the_order_in_which_they_stopped_and_not_more_than_asked_for(spool: Spool) -> None:
    for run, stopped in (("late", 30.0), ("early", 10.0), ("middle", 20.0)):
        spool.select(run, ["r"], source="sweep", stopped=stopped)
    assert claim(spool, 2) == ["early", "middle"]
    assert claim(spool, 2) == ["late"]
    assert claim(spool, 2) == []


def test_who_is_silent_too_long_loses_the_job_and_cannot_touch_it_any_more(spool: Spool, clock: Clock) -> None:
    spool.select("a", ["r"], source="sweep")
    (first,) = spool.claim(1, selected=True, lease=LEASE)
    clock.now += LEASE - 1
    assert spool.handed(first, "flow run 1", lease=LEASE), "who is heard of keeps it"
    clock.now += LEASE - 1
    assert claim(spool) == []
    clock.now += 2
    (second,) = spool.claim(1, selected=True, lease=LEASE)
    assert (second.handovers, second.handle) == (2, None)
    assert not spool.finish(first, "record")
    assert not spool.put_back(first, "trouble", delay=1.0, counted=True)
    assert not spool.park(first, "trouble")
    assert spool.finish(second, "record")
    assert not spool.finish(second, "record"), "done is done"
    assert [(job.state, job.record) for job in spool.jobs(run="a") if job.selected] == [(State.DONE, "record")]


def test_only_its_own_failures_count_against_a_scan(spool: Spool, clock: Clock) -> None:
    spool.select("a", ["r"], source="sweep")
    for counted, tries in ((False, 0), (True, 1), (True, 2)):
        (job,) = spool.claim(1, selected=True, lease=LEASE)
        assert spool.put_back(job, "no record", delay=10.0, counted=counted)
        assert claim(spool) == [], "not before its time"
        (waiting,) = spool.jobs(State.WAITING)
        assert (waiting.tries, waiting.reason) == (tries, "no record")
        clock.now += 10
    (job,) = spool.claim(1, selected=True, lease=LEASE)
    assert spool.park(job, "kills the runner")
    clock.now += 1e6
    assert claim(spool) == []
    assert [(job.tries, job.reason) for job in spool.jobs(State.PARKED)] == [(3, "kills the runner")]


def test_a_clock_that_was_ahead_holds_nobody_back(spool: Spool, clock: Clock) -> None:
    clock.now += 86400
    spool.select("a", ["r"], source="sweep")
    clock.now -= 86400
    assert claim(spool) == ["a"]


def test_what_people_do_by_hand(spool: Spool, clock: Clock) -> None:
    for run in ("aa1", "aa2", "bb"):
        spool.select(run, ["r"], source="sweep")
    for job in spool.claim(3, selected=True, lease=LEASE):
        spool.park(job, "trouble")
    assert spool.retry("bb") == 2, "the rules are asked again, too"
    (again,) = spool.claim(9, selected=True, lease=LEASE)
    assert (again.run, again.tries, again.again) == ("bb", 0, True)
    assert spool.drop("bb") == 2
    assert not spool.finish(again, "record"), "dropped is dropped, whoever has it"
    assert not spool.add("bb", "r", source="sweep"), "the sweep does not bring it back"
    assert spool.retry() == 2
    with pytest.raises(InputError, match="several runs of the queue start with 'aa'; needed: the uid of one run"):
        spool.drop("aa")
    with pytest.raises(InputError, match="no runs of the queue start with 'zz'"):
        spool.retry("zz")


def test_the_switch_outlives_the_process(spool: Spool, tmp_path: Path, clock: Clock) -> None:
    assert spool.paused is None
    spool.pause("beam studies")
    clock.now += 5
    other = Spool(tmp_path, clock=clock)
    assert other.paused is not None
    assert (other.paused.reason, clock.now - other.paused.since) == ("beam studies", 5)
    assert other.resume()
    assert not other.resume()
    assert spool.paused is None
    other.close()


def test_only_what_was_done_long_ago_is_forgotten(spool: Spool, clock: Clock) -> None:
    spool.select("old", ["r"], source="sweep")
    spool.select("parked", ["r"], source="sweep")
    old, parked = spool.claim(2, selected=True, lease=LEASE)
    spool.finish(old, "record")
    spool.park(parked, "trouble")
    clock.now += 1000
    spool.select("new", [], source="sweep")
    assert spool.prune(older_than=500) == 3
    assert spool.known() == {("parked", "r"), ("new", UNSELECTED)}


def test_several_processes_share_the_jobs_without_doing_one_twice(tmp_path: Path) -> None:
    worker = """
import sys
from pathlib import Path
from gbx_services.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(60):
    spool.select(f"run {number}", ["r"], source=sys.argv[2])
while jobs := spool.claim(3, selected=True, lease=1e6):
    for job in jobs:
        print(job.run)
        assert spool.finish(job, "record")
"""
    workers = [
        subprocess.Popen([sys.executable, "-c", worker, str(tmp_path), str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    done = [run for process in workers for run in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in workers] == [0, 0, 0]
    assert sorted(done) == sorted(f"run {number}" for number in range(60))


def test_what_was_accepted_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    adds = """
import sys, itertools
from pathlib import Path
from gbx_services.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in itertools.count():
    spool.add(f"run {number}", source="killed")
    print(number, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", adds, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        accepted = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
        accepted += [int(line) for line in process.stdout.read().splitlines() if line]
    spool = Spool(tmp_path)
    assert {run for run, _ in spool.known()} >= {f"run {number}" for number in accepted}
    spool.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing beyond ``size`` bytes fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_in_words_and_goes_by_without_hand_work(spool: Spool, tmp_path: Path) -> None:
    assert spool.add("before", source="stream")
    with (
        largest_file((tmp_path / "spool.db-wal").stat().st_size),
        pytest.raises(ServiceError, match=r"spool.db cannot be used \(.*\); needed: a local disk with space"),
    ):
        spool.add("meanwhile", source="stream")
    assert spool.known() == {("before", UNSELECTED)}, "as if it had never come"
    assert spool.add("meanwhile", source="stream")
    assert spool.add("after", source="stream")
    assert claim(spool, selected=False) == ["after", "before", "meanwhile"]


def test_a_damaged_file_is_put_aside_by_the_service_only(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(ServiceError, match="file is not a database"):
        Spool(tmp_path)
    spool = Spool(tmp_path, repair=True)
    assert spool.add("a", source="sweep")
    spool.close()
    (kept,) = tmp_path.glob("spool.db.damaged-*")
    assert kept.read_bytes().startswith(b"no database")


def test_a_spool_of_another_release_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "spool.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ServiceError, match=r"has format 99; needed: format 1; move it away"):
        Spool(tmp_path, repair=True)


def test_delays_double_up_to_the_longest_and_differ() -> None:
    sure = Backoff(10.0, 300.0, chance=lambda: 0.0)
    assert [sure.delay(tries) for tries in (0, 1, 2, 3, 6, 10_000)] == [10, 10, 20, 40, 300, 300]
    assert Backoff(10.0, 300.0, jitter=0.5, chance=lambda: 0.8).delay(1) == pytest.approx(6.0)
