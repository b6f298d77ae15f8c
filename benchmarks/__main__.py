"""``make bench``: ours beside the peers, decoding, the whole chain, live appending and records, the whole service."""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import (
    backlog,
    beamtime,
    chain,
    correlate,
    decoding,
    gemm,
    infer,
    lag,
    live,
    live_record,
    long_series,
    scale,
    simulate,
)
from benchmarks.machine import describe
from benchmarks.peers import Peers, PeersUnavailableError
from benchmarks.rounds import Measured, tell
from benchmarks.table import Table

TOPICS = (
    *("two_time", "gemm", "decode", "live", "live_record", "chain", "long", "simulate", "infer", "lag", "viewer"),
    *("backlog", "beamtime", "scale"),
)
UNASKED = tuple(topic for topic in TOPICS if topic not in ("backlog", "beamtime", "scale"))
"""A facility takes ten minutes, a beamtime and a catalog of 100,000 results half an hour each by themselves."""

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Measure the topics asked for, print the tables and write them down."""
    options = arguments()
    began = time.monotonic()
    tables: list[Table] = []
    peers_said: list[str] = []
    with ExitStack() as stack:
        peers = stack.enter_context(peers_or_none(options.peers, peers_said)) if "two_time" in options.topics else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        for table in measure(options, folder, peers):
            tell("")
            print(table.text(), end="\n\n", flush=True)
            tables.append(table)
        machine = describe(peers)
    minutes = (time.monotonic() - began) / 60.0
    print("\n".join((*machine, *peers_said, f"{minutes:.0f} minutes")))
    if options.write:
        before = options.write.read_text() if options.write.exists() else ""
        options.write.write_text(page(tables, [*machine, *peers_said], options, minutes, before))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer sizes, fewer rounds")
    parser.add_argument("--full", action="store_true", help="the whole chain on 2,500 frames instead of 300")
    parser.add_argument("--frames", type=int, help="frames of the whole chain's series")
    parser.add_argument("--scans", type=int, help="scans of the beamtime, or of the topic scale")
    parser.add_argument("--records", type=int, help="results in the catalog of the topic scale")
    parser.add_argument("--topics", nargs="+", choices=TOPICS, default=list(UNASKED))
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers/bin/python"), help="the peers' interpreter")
    parser.add_argument("--folder", type=Path, help="for temporary data, up to 4 GB with --full")
    parser.add_argument("--write", type=Path, nargs="?", const=RESULTS, help="put the tables into a file (RESULTS.md)")
    options = parser.parse_args()
    options.frames = options.frames or (2_500 if options.full else 60 if options.quick else 300)
    return options


@contextmanager
def peers_or_none(python: Path, said: list[str]) -> Iterator[Peers | None]:
    """The peers' process; None and a word about it where it cannot be had."""
    try:
        peers = Peers(python)
    except PeersUnavailableError as absent:
        said.append(f"no peers: {absent}")
        yield None
        return
    said.extend(f"{name} does not run: {reason}" for name, reason in peers.failed.items())
    with peers:
        yield peers


def measure(options: argparse.Namespace, folder: Path, peers: Peers | None) -> Iterator[Table]:
    """The tables of all topics, as they are ready."""
    ours: dict[tuple[int, float], Measured] = {}
    if "two_time" in options.topics:
        outcomes = correlate.run(folder, peers, quick=options.quick)
        ours = {(outcome.case.pixels, outcome.case.mean): outcome.measured[correlate.OURS] for outcome in outcomes}
        yield from correlate.tables(outcomes)
    if "gemm" in options.topics:
        yield gemm.run(ours, quick=options.quick)
    if "decode" in options.topics:
        yield decoding.run(quick=options.quick)
    if "live" in options.topics:
        yield live.run(folder, quick=options.quick)
    if "live_record" in options.topics:
        yield live_record.run(folder, quick=options.quick)
    if "chain" in options.topics:
        yield from chain.run(folder, options.frames, quick=options.quick)
    if "long" in options.topics:
        yield long_series.run(quick=options.quick)
    if "simulate" in options.topics:
        yield from simulate.run(quick=options.quick)
    yield from measure_the_whole(options, folder)


def measure_the_whole(options: argparse.Namespace, folder: Path) -> Iterator[Table]:
    """Topics about what is built of the parts."""
    if "infer" in options.topics:
        yield from infer.run(quick=options.quick)
    if "lag" in options.topics:
        yield from lag.run(folder / "lag", quick=options.quick)
    if "viewer" in options.topics:
        # Qt is loaded for its own topic only.
        from benchmarks import viewer

        yield viewer.run(folder / "viewer", quick=options.quick)
    if "backlog" in options.topics:
        yield backlog.run(folder / "backlog", quick=options.quick)
    if "beamtime" in options.topics:
        yield beamtime.run(folder / "beamtime", quick=options.quick, scans=options.scans)
    if "scale" in options.topics:
        yield from scale.run(folder / "scale", quick=options.quick, scans=options.scans, records=options.records)


def page(tables: list[Table], machine: list[str], options: argparse.Namespace, minutes: float, before: str) -> str:
    """RESULTS.md: these tables in the place of earlier ones of the same subject, the others as they were.

    Args:
        tables: Just measured.
        machine: What they were measured on.
        options: How.
        minutes: How long it took.
        before: The file as it is; empty where there is none.
    """
    how = " --quick" if options.quick else " --full" if options.full else ""
    took = f"`python -m benchmarks{how} --topics {' '.join(options.topics)}`, {minutes:.0f} minutes"
    measured = "\n".join([f"Measured on {time.strftime('%Y-%m-%d')} by {took}:", "", *(f"- {one}" for one in machine)])
    sections = {_subject(text): text for text in before.split("\n## ")[1:]}
    for number, table in enumerate(tables):
        title = table.markdown().removeprefix("## ")
        told = measured if number == 0 else f"Measured with “{tables[0].title}”."
        sections[_subject(title)] = f"{title}\n\n{told}"
    head = "# Benchmarks\n\nAbsolute times belong to a machine at an hour; only ratios within one run say anything."
    return "\n\n## ".join([head, *(text.strip() for text in sections.values())]) + "\n"


def _subject(section: str) -> str:
    """What a section is about: its title but for the numbers."""
    return re.sub(r"[\d,.]+", "", section.partition("\n")[0])


if __name__ == "__main__":
    main()
