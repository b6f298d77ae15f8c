"""Which runs are meant, and by which selection rules each of them is analysed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gbx_beamline.config import Config
from gbx_beamline.errors import InputError

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What runs must meet; conditions that are None are none."""

    uids: tuple[str, ...] = ()
    """Only these runs, each by its uid or the start of it."""
    since: float | None = None
    """Unix time, s: only runs that started then or later."""
    until: float | None = None
    """Unix time, s: only runs that started earlier."""
    sample: str | None = None
    rule: str | None = None
    """Only by this selection rule; None = by each that wants a run, as `gbx serve` does."""


@dataclass(frozen=True)
class Job:
    """One run to be analysed as one selection rule says."""

    run: str
    """uid of the run, whole."""
    rule: str


@dataclass(frozen=True)
class Chosen:
    """What a choice comes to."""

    jobs: tuple[Job, ...]
    """Oldest run first."""
    unfinished: int
    """Runs without a stop document."""
    unwanted: tuple[str, ...]
    """uids of runs that no selection rule wants."""


def choose(catalog: Catalog, config: Config, choice: Choice) -> Chosen:
    """The finished runs that meet a choice, with the rules that want them.

    Raises:
        InputError: a choice that means every run there is.
        ConfigError: no such rule.
        RunNotFoundError: a uid is that of no run.
        CatalogError: the catalog is unreachable.
    """
    if not choice.uids and choice.since is None and choice.sample is None:
        raise InputError(
            "no runs are named",
            needed="a time since when, a sample or uids",
            action="add --since, --sample or --uid; `--since 1970-01-01` means every run there is",
        )
    config.for_run(None, choice.rule)
    documents = [run.metadata for run in _runs(catalog, choice)]
    finished = [document["start"] for document in documents if document.get("start") and document.get("stop")]
    finished.sort(key=lambda start: (_time(start), str(start["uid"])))
    wanted = {str(start["uid"]): _wanting(config, start, choice.rule) for start in finished}
    return Chosen(
        jobs=tuple(Job(uid, rule) for uid, rules in wanted.items() for rule in rules),
        unfinished=len(documents) - len(finished),
        unwanted=tuple(uid for uid, rules in wanted.items() if not rules),
    )


def _wanting(config: Config, start: Mapping[str, Any], only: str | None) -> list[str]:
    return [name for name, rule in config.selection.items() if only in (None, name) and rule.wants(start)]


def _runs(catalog: Catalog, choice: Choice) -> list[Any]:
    from tiled.queries import Key

    from gbx_beamline.catalog.connect import said_in_words

    if choice.uids:
        named = {run.metadata["start"]["uid"]: run for run in map(catalog.run, choice.uids)}
        return [run for run in named.values() if _meets(run.metadata["start"], choice)]
    with said_in_words(catalog.uri):
        found: Any = catalog.raw
        if choice.since is not None:
            found = found.search(Key("start.time") >= choice.since)
        if choice.until is not None:
            found = found.search(Key("start.time") < choice.until)
        if choice.sample is None:
            return list(found.values())
        # A sample is a name, or a description that holds one.
        by_name = (found.search(Key(key) == choice.sample) for key in ("start.sample", "start.sample.name"))
        return list({key: run for some in by_name for key, run in some.items()}.values())


def _meets(start: Mapping[str, Any], choice: Choice) -> bool:
    sample = start.get("sample")
    name = sample.get("name") if isinstance(sample, Mapping) else sample
    return (
        (choice.since is None or _time(start) >= choice.since)
        and (choice.until is None or _time(start) < choice.until)
        and (choice.sample is None or name == choice.sample)
    )


def _time(start: Mapping[str, Any]) -> float:
    value = start.get("time")
    return float(value) if isinstance(value, int | float) else 0.0
