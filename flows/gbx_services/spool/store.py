"""The spool's file: SQLite with a write-ahead log, which several processes may use and a kill -9 does not harm.

Every change is one transaction. Triggers only add; adding what is there changes nothing. The file may be
deleted at any time: the sweep finds again what the catalog lacks.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gbx_beamline.errors import InputError, ServiceError
from gbx_services.spool.job import UNSELECTED, Job, Pause, State

logger = logging.getLogger(__name__)

FILE = "spool.db"
FORWARD_SECONDS = 3600.0
"""A waiting job whose time lies further ahead was written under a wrong clock, and is due."""

_BUSY_SECONDS = 10.0
_FORMAT = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    run TEXT NOT NULL,
    rule TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    handovers INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL,
    stopped REAL,
    added REAL NOT NULL,
    changed REAL NOT NULL,
    handle TEXT,
    record TEXT,
    again INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, rule)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_state ON job (state, due);
CREATE TABLE IF NOT EXISTS pause (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    reason TEXT NOT NULL,
    since REAL NOT NULL
);
"""

_OURS = "run = ? AND rule = ? AND handovers = ? AND state = 'handed over'"


class Spool:
    """Jobs on local disk. Methods may be called from any thread.

    Args:
        directory: Local folder of the file, made when absent. On a network file system SQLite's locks do not hold.
        repair: True puts a damaged file aside and begins an empty one; for the service, which sweeps afterwards.
        clock: Unix time, s.

    Raises:
        ServiceError: from every method: the disk is full or read-only, the file is damaged or of another release.
    """

    def __init__(self, directory: Path, *, repair: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.path = directory / FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._connection = self._open(repair=repair)

    def _open(self, *, repair: bool) -> sqlite3.Connection:
        with self._in_words():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with _alone(self.path):
                    return _connect(self.path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                if not repair:
                    raise
                aside = self.path.with_name(f"{FILE}.damaged-{self._clock():.0f}")
                logger.error("the spool is damaged (%s): kept as %s, and begun anew", error, aside)
                self.path.rename(aside)
                for companion in ("-wal", "-shm"):
                    self.path.with_name(FILE + companion).unlink(missing_ok=True)
                return _connect(self.path)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()

    # --- triggers and sweep

    def add(self, run: str, rule: str = UNSELECTED, *, source: str, stopped: float | None = None) -> bool:
        """Note that a run has ended, or that a rule wants it.

        Returns:
            False where it was known already, whatever its state.
        """
        now = self._clock()
        with self._transaction() as database:
            done = database.execute(
                "INSERT INTO job (run, rule, state, due, source, stopped, added, changed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (run, rule, State.WAITING, now, source, stopped, now, now),
            )
            return done.rowcount == 1

    def select(self, run: str, rules: Iterable[str], *, source: str, stopped: float | None = None) -> list[str]:
        """Hold the rules against a run: one job for each rule that wants it, in one transaction.

        Returns:
            Names of the rules that were new for it.
        """
        now, wanted, new = self._clock(), list(rules), list[str]()
        said = f"wanted by {', '.join(wanted)}" if wanted else "no selection rule wants it"
        with self._transaction() as database:
            for rule in wanted:
                done = database.execute(
                    "INSERT INTO job (run, rule, state, due, source, stopped, added, changed)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (run, rule, State.WAITING, now, source, stopped, now, now),
                )
                new += [rule] if done.rowcount == 1 else []
            database.execute(
                "INSERT INTO job (run, rule, state, due, source, stopped, added, changed, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET state = excluded.state, changed = excluded.changed,"
                " reason = excluded.reason, handle = NULL",
                (run, UNSELECTED, State.DONE, now, source, stopped, now, now, said),
            )
        return new

    # --- dispatcher

    def claim(self, limit: int, *, selected: bool, lease: float, rules: Sequence[str] | None = None) -> list[Job]:
        """Take jobs that are due, oldest run first; nobody else gets them meanwhile.

        Args:
            limit: Most jobs to take.
            selected: True for those of a rule, False for runs that no rule was held against yet.
            lease: s until somebody else may take a job whose holder was not heard of any more.
            rules: Only those of these rules; None = of all.
        """
        now = self._clock()
        among = "" if rules is None else f" AND rule IN ({', '.join('?' * len(rules))})"
        with self._transaction() as database:
            rows = database.execute(
                "UPDATE job SET state = 'handed over', handovers = handovers + 1, handle = NULL, due = ?, changed = ?"
                " WHERE (run, rule) IN (SELECT run, rule FROM job WHERE rule "
                + ("!=" if selected else "=")
                + " ?"
                + among
                + " AND ((state = 'waiting' AND (due <= ? OR due > ?)) OR (state = 'handed over' AND due <= ?))"
                " ORDER BY coalesce(stopped, added), run LIMIT ?) RETURNING *",
                (now + lease, now, UNSELECTED, *(rules or ()), now, now + FORWARD_SECONDS, now, max(limit, 0)),
            ).fetchall()
        return sorted((_job(row) for row in rows), key=lambda job: (job.stopped or job.added, job.run))

    def handed(self, job: Job, handle: str, *, lease: float) -> bool:
        """Note the flow run that has the job; also renews the claim. False where another holds it by now."""
        now = self._clock()
        return self._change(job, "handle = ?, due = ?", (handle, now + lease))

    def finish(self, job: Job, record: str, *, reason: str = "") -> bool:
        """The catalog has the record. False where another holds the job by now."""
        return self._change(job, "state = 'done', record = ?, reason = ?, handle = NULL, again = 0", (record, reason))

    def put_back(self, job: Job, reason: str, *, delay: float, counted: bool) -> bool:
        """Try again later. False where another holds the job by now.

        Args:
            job: As it was claimed.
            reason: Why.
            delay: s.
            counted: Whether it counts as one of the scan's own tries; the outage of a server does not.
        """
        return self._change(
            job,
            "state = 'waiting', due = ?, reason = ?, tries = tries + ?, handle = NULL",
            (self._clock() + min(delay, FORWARD_SECONDS / 2), reason, int(counted)),
        )

    def park(self, job: Job, reason: str, *, record: str | None = None) -> bool:
        """Give up on it until a person looks. False where another holds the job by now."""
        return self._change(
            job,
            "state = 'parked', reason = ?, record = ?, tries = tries + 1, handle = NULL",
            (reason, record),
        )

    def _change(self, job: Job, assignments: str, values: tuple[object, ...]) -> bool:
        with self._transaction() as database:
            done = database.execute(
                f"UPDATE job SET {assignments}, changed = ? WHERE {_OURS}",
                (*values, self._clock(), job.run, job.rule, job.handovers),
            )
            return done.rowcount == 1

    # --- people

    def retry(self, run: str | None = None, rule: str | None = None) -> int:
        """Take parked jobs up again, with all their tries; of one run also those that are done or wait.

        Args:
            run: uid, or the start of it; None = all parked jobs.
            rule: Only those of this rule.

        Returns:
            How many.
        """
        states = (State.PARKED,) if run is None else (State.PARKED, State.DONE, State.WAITING)
        # What no rule wanted is asked again, too: the rules may have changed.
        return self._by_hand(
            "state = 'waiting', due = :now, tries = 0, handle = NULL, again = (rule != '')", states, run, rule
        )

    def drop(self, run: str, rule: str | None = None) -> int:
        """Have a run not analysed: its jobs that are not done yet are, with nothing to show.

        They stay known, so that the sweep does not bring them back.

        Returns:
            How many.
        """
        states = (State.PARKED, State.WAITING, State.HANDED_OVER)
        # One more handover takes it from whoever has it now.
        what = "state = 'done', reason = 'dropped by hand', handovers = handovers + 1, handle = NULL"
        return self._by_hand(what, states, run, rule)

    def _by_hand(self, assignments: str, states: Sequence[State], run: str | None, rule: str | None) -> int:
        named = ", ".join(f"'{state}'" for state in states)
        with self._transaction() as database:
            if run is not None:
                self._check_one_run(database, run)
            done = database.execute(
                f"UPDATE job SET {assignments}, changed = :now WHERE state IN ({named})"
                " AND (:run IS NULL OR substr(run, 1, length(:run)) = :run) AND (:rule IS NULL OR rule = :rule)",
                {"now": self._clock(), "run": run, "rule": rule},
            )
            return done.rowcount

    def _check_one_run(self, database: sqlite3.Connection, run: str) -> None:
        found = database.execute(
            "SELECT DISTINCT run FROM job WHERE substr(run, 1, length(?)) = ? LIMIT 3", (run, run)
        ).fetchall()
        if len(found) != 1 or not run:
            raise InputError(
                f"{'several' if found else 'no'} runs of the queue start with {run!r}",
                needed="the uid of one run in the queue, or the start of it",
                action="list them with `gbx queue list --all`",
            )

    def pause(self, reason: str) -> None:
        """Switch analysis off; what is under way is finished."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO pause (only, reason, since) VALUES (1, ?, ?)"
                " ON CONFLICT DO UPDATE SET reason = excluded.reason",
                (reason, self._clock()),
            )

    def resume(self) -> bool:
        """Switch analysis on. False where it was."""
        with self._transaction() as database:
            return database.execute("DELETE FROM pause").rowcount == 1

    @property
    def paused(self) -> Pause | None:
        """Why and since when analysis is switched off; None where it is on."""
        with self._reading() as database:
            row = database.execute("SELECT reason, since FROM pause").fetchone()
        return None if row is None else Pause(row["reason"], row["since"])

    # --- looking

    def jobs(self, *states: State, run: str | None = None) -> list[Job]:
        """Jobs in these states (none given: in any), oldest run first; ``run`` is a uid or the start of one."""
        among = f"state IN ({', '.join('?' * len(states))})" if states else "1"
        with self._reading() as database:
            rows = database.execute(
                f"SELECT * FROM job WHERE {among} AND (? IS NULL OR substr(run, 1, length(?)) = ?)"
                " ORDER BY coalesce(stopped, added), run, rule",
                (*states, run, run, run),
            ).fetchall()
        return [_job(row) for row in rows]

    def counts(self) -> dict[State, int]:
        """Number of jobs in each state. A run that no rule was held against yet counts as one."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT state, count(*) AS number FROM job WHERE rule != '' OR state != 'done' GROUP BY state"
            ).fetchall()
        return dict.fromkeys(State, 0) | {State(row["state"]): row["number"] for row in rows}

    def known(self) -> set[tuple[str, str]]:
        """(run, rule) of every job."""
        with self._reading() as database:
            return {(row["run"], row["rule"]) for row in database.execute("SELECT run, rule FROM job")}

    def prune(self, *, older_than: float) -> int:
        """Forget jobs that were done ``older_than`` s ago, so that the file does not grow without bound."""
        with self._transaction() as database:
            done = database.execute(
                "DELETE FROM job WHERE state = 'done' AND changed < ?", (self._clock() - older_than,)
            )
            return done.rowcount

    # --- the file

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._in_words():
            # The write lock at once: a transaction that reads first may find at its end that it comes too late.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk is full.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._in_words():
            yield self._connection

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ServiceError(
                f"the spool {self.path} cannot be used ({error})",
                needed="a local disk with space that this user may write to",
                action="make room there, or set serve.directory to another folder; nothing is lost: the next sweep "
                "finds what the catalog lacks",
            ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """SQLite does not wait for its turn while a file becomes one with a write-ahead log."""
    with path.with_name(f"{path.name}.opening").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        # What was accepted outlives a power cut, not only a kill.
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise ServiceError(
                f"the spool {path} has format {found}",
                needed=f"format {_FORMAT}",
                action="move it away: the next sweep finds what the catalog lacks",
            )
        if not found:
            connection.executescript(f"{_SCHEMA} PRAGMA user_version = {_FORMAT};")
    except BaseException:
        connection.close()
        raise
    return connection


def _job(row: Any) -> Job:
    values = dict(row)
    return Job(**values | {"state": State(values["state"]), "again": bool(values["again"])})
