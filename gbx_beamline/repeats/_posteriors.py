"""What a model infers from all scans of a sample together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gbx_beamline.config import ModelsConfig
from gbx_beamline.errors import DependencyError, InputError
from gbx_beamline.pipeline import to_be_judged
from gbx_beamline.records import Inference, ScanFailure
from gbx_beamline.repeats._aims import Inferable, Said

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, RecordSummary
    from gbx_beamline.learning.contract import CellMaps
    from gbx_beamline.learning.predictor import Model

LIMITING = "undetermined:"
"""What codes of flags begin with that take the number of one parameter away."""


class SharedPosterior:
    """Asks the model that is configured; keeps of each scan only what the network sees, which is small.

    Args:
        models: Say who is asked.
    """

    def __init__(self, models: ModelsConfig) -> None:
        self._models = models
        self._model: Model | None = None
        self._cells: dict[str, CellMaps | str] = {}

    def ask(
        self, catalog: Catalog, results: Mapping[str, RecordSummary], name: Inferable
    ) -> tuple[dict[str, Said], dict[str, str]]:
        """One parameter, given all scans.

        Args:
            catalog: Where the results are.
            results: By uid of the run, at least one.
            name: Of the parameter.

        Returns:
            The parameter by its name, or why there is none.

        Raises:
            CatalogError: the catalog is unreachable.
        """
        try:
            model = self._asked(catalog, next(iter(results)))
            cells = [self._seen(catalog, model, uid, result.key) for uid, result in results.items()]
            good = [one for one in cells if not isinstance(one, str)]
            refused = [one for one in cells if isinstance(one, str)]
            if not good:
                return {}, {name: refused[-1]}
            found = model.predict_cells_group(good)[-1]
        except (InputError, DependencyError) as error:
            return {}, {name: str(error)}
        notes = (*refused, *_limit(_width(found, name), name, len(good), model.correlation))
        return {name: _said(found, name, len(good), notes)}, {}

    def _asked(self, catalog: Catalog, uid: str) -> Model:
        from gbx_beamline.learning.kept import kept_model
        from gbx_beamline.learning.store import ModelStore

        if self._model is None:
            # One model to the end, whatever is promoted while the scans go on.
            start = catalog.run(uid).metadata["start"]
            store = ModelStore(self._models)
            self._model = kept_model(store.find(self._models.judge_of(start)), store)
        return self._model

    def _seen(self, catalog: Catalog, model: Model, uid: str, key: str) -> CellMaps | str:
        if uid not in self._cells:
            self._cells[uid] = _cells_or_why(catalog, model, uid, key)
        return self._cells[uid]


def _cells_or_why(catalog: Catalog, model: Model, uid: str, key: str) -> CellMaps | str:
    from gbx_beamline.catalog import load_record
    from gbx_beamline.learning.contract import cell_maps

    result = load_record(catalog, key)
    if isinstance(result, ScanFailure):
        return f"run {uid[:8]} was not analysed: {result.reason}"
    try:
        maps, temperature = to_be_judged(result)
        return cell_maps(maps, temperature=temperature, contract=model.contract)
    except InputError as error:
        return f"the model may not judge run {uid[:8]}: {error}"


def _said(found: Inference, name: Inferable, scans: int, notes: tuple[str, ...]) -> Said:
    from gbx_beamline.learning.belief import doubted

    estimate: Any = found.parameters[name]
    against = [
        flag.text for flag in found.flags if flag.code in (f"{LIMITING}{name}", "group_contradicts") or doubted((flag,))
    ]
    return Said(
        value=estimate.median,
        low=estimate.low,
        high=estimate.high,
        width=_width(found, name),
        scans=scans,
        notes=notes,
        doubt="; ".join(against),
    )


def _width(found: Inference, name: Inferable) -> float:
    estimate: Any = found.parameters[name]
    if name == "gb_fraction":
        return estimate.high - estimate.low
    return math.log10(estimate.high / estimate.low)


def _limit(width: float, name: Inferable, scans: int, correlation: float) -> tuple[str, ...]:
    """How far repeats alone can go, in words: what scans of one sample share does not average out.

    n scans with errors of correlation rho are worth n / (1 + (n - 1) rho), never more than 1 / rho; a width goes with
    the root of that where the posterior is narrow against its prior.
    """
    from gbx_beamline.learning.group import shot_weight

    if scans < 2 or correlation <= 0.0:
        return ()
    worth = scans * shot_weight(scans, correlation)
    least = width * math.sqrt(worth * correlation)
    unit = "" if name == "gb_fraction" else " decades"
    alike = f"errors of scans of one sample are alike, {scans} are worth {worth:.2g} and never more than"
    return (f"{alike} {1.0 / correlation:.2g}: repeats alone make it about {least:.2g}{unit} wide at best",)
