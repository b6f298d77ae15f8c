"""Whether the scans taken so far say a figure as sharply as it is to be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gbx_beamline.config import Config
from gbx_beamline.repeats._aims import Aim, Said
from gbx_beamline.repeats._figures import of_rois
from gbx_beamline.repeats._posteriors import SharedPosterior

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, RecordSummary


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the scans so far say of an aim."""

    reached: bool
    words: str
    """The figure and how far it is from the aim, in a sentence or two."""
    said: Mapping[str, Said] = field(default_factory=dict)
    """By q-ROI; a posterior by its own name."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """q-ROIs, or the posterior, that no scan says anything of, and why."""
    counted: tuple[str, ...] = ()
    """uids of runs with a result."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """uids of runs that could not be analysed, and why."""
    pending: tuple[str, ...] = ()
    """uids of runs of which nothing is recorded yet."""


class Judge:
    """Looks results up and weighs them; keeps what it has read. For one thread at a time.

    Args:
        aim: What is to be known.
        config: Its ``models`` say which model a posterior is of.
    """

    def __init__(self, aim: Aim, config: Config) -> None:
        self.aim = aim
        self._results: dict[str, RecordSummary] = {}
        self._posterior = SharedPosterior(config.models)
        self._weighed: tuple[tuple[str, ...], dict[str, Said], dict[str, str]] = ((), {}, {})
        """Runs, and what they said: who waits for one more asks again and again."""

    def judge(self, catalog: Catalog, uids: Sequence[str]) -> Judgement:
        """What the results of these runs say together, as far as they are in the catalog.

        Args:
            catalog: Where results are published.
            uids: Runs of one sample under the same conditions, whole uids, in the order in which they were taken.

        Raises:
            CatalogError: the catalog is unreachable.
        """
        aim = self.aim
        failed, pending = self._look_up(catalog, uids)
        results = {uid: self._results[uid] for uid in uids if uid in self._results}
        if self._weighed[0] != tuple(results):
            self._weighed = (tuple(results), *self._weigh(catalog, results))
        _, said, missing = self._weighed
        return Judgement(
            reached=bool(said) and not missing and all(one.meets(aim) for one in said.values()),
            words=_words(aim, said, missing, len(results)),
            said=said,
            missing=missing,
            counted=tuple(results),
            failed=failed,
            pending=pending,
        )

    def _weigh(self, catalog: Catalog, results: Mapping[str, RecordSummary]) -> tuple[dict[str, Said], dict[str, str]]:
        if self.aim.figure == "relaxation_time" or self.aim.figure == "s_noneq":
            return of_rois([result.metadata for result in results.values()], self.aim.figure, self.aim.roi)
        return self._posterior.ask(catalog, results, self.aim.figure)

    def _look_up(self, catalog: Catalog, uids: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
        """Runs that failed, runs without a record; results are kept."""
        from gbx_beamline.catalog import find_records

        failed: dict[str, str] = {}
        pending: list[str] = []
        for uid in uids:
            if uid in self._results:
                continue
            records = find_records(catalog, run_uid=uid)
            if self.aim.rule:
                records = [one for one in records if one.metadata["provenance"].get("rule") == self.aim.rule]
            # A result before a failure, new before old.
            newest = max(records, key=lambda one: (not one.failed, one.metadata["created"]), default=None)
            if newest is None:
                pending.append(uid)
            elif newest.failed:
                failed[uid] = newest.metadata["reason"]
            else:
                self._results[uid] = newest
        return failed, tuple(pending)


_UNITS = {"relaxation_time": " s", "s_noneq": "", "diffusivity": " m^2/s", "gamma": " J s m^-4", "gb_fraction": ""}


def _words(aim: Aim, said: Mapping[str, Said], missing: Mapping[str, str], scans: int) -> str:
    parts = [f"{aim.figure} from {scans} {'scan' if scans == 1 else 'scans'}, aim: width {aim.width:g}"]
    for name, one in said.items():
        where = "" if name == aim.figure else f"{name}: "
        unit = _UNITS[aim.figure]
        parts.append(
            f"{where}{one.value:.3g} ({one.low:.3g} to {one.high:.3g}){unit}, width {one.width:.2g} of {one.scans}"
        )
        parts += [f"{where}{note}" for note in (*one.notes, *([one.doubt] if one.doubt else []))]
    parts += [reason if name == aim.figure else f"{name}: {reason}" for name, reason in missing.items()]
    return "; ".join(parts)
