"""What a model said of the shots of a suite, as arrays: the one form in which every family is judged."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.learning.virtual import Shot
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import PARAMETERS, Bools, Floats, Inference, TwoTime

CELLS = 64
"""Time cells that S_noneq is measured on."""

UNDETERMINED = "undetermined"
"""First part of the codes of flags that say so of a parameter."""

Told = Callable[[int], None]
"""Told how many shots were asked about."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Answers about S shots. A model that gives no intervals, samples or scores has NaN there."""

    number: NDArray[np.int64]
    """(S,) of the shot in its suite."""
    group: NDArray[np.int64]
    """(S,) sample: shots of one are not independent."""
    kind: tuple[str, ...]
    """(S,) what the sample does."""
    severity: NDArray[np.float64]
    """(S,) times that nuisances are as strong as drawn."""
    rois: NDArray[np.int64]
    """(S,) q-ROIs that the model saw."""
    temperature: NDArray[np.float64]
    """(S,) K."""
    truth: NDArray[np.float64]
    """(S, 3) D in m^2/s, gamma in J s m^-4, lambda; NaN where the sample is no grain boundary."""
    median: NDArray[np.float64]
    """(S, 3) as ``truth``; NaN where the scan was refused."""
    low: NDArray[np.float64]
    """(S, 3) of the interval."""
    high: NDArray[np.float64]
    """(S, 3) of the interval."""
    spread: NDArray[np.float64]
    """(S, 3) standard deviation of the posterior of log10 D, log10 gamma and lambda."""
    rank: NDArray[np.float64]
    """(S, 3) share of the posterior's samples below the truth."""
    ood: NDArray[np.float64]
    """(S,) out-of-distribution score."""
    grain_boundary: NDArray[np.float64]
    """(S,) probability of the grain-boundary model."""
    refused: tuple[str, ...]
    """(S,) why the scan was not judged; empty where it was."""
    flags: tuple[tuple[str, ...], ...]
    """(S,) codes."""
    seconds: NDArray[np.float64]
    """(S,) that the answer took."""
    measured_s: NDArray[np.float64]
    """(S,) S_noneq as printed, of the middle q-ROI, as a ratio of norms."""
    corrected_s: NDArray[np.float64]
    """(S,) the same without noise; NaN where it is undetermined."""
    answer_s: NDArray[np.float64]
    """(S,) the same of what the model answered, simulated without noise; NaN until ``with_answer_s``."""
    bound: NDArray[np.float64]
    """(S, 3) Cramér-Rao bound with free nuisances, as ``spread``; NaN where it was not computed."""
    level: float
    """Of the intervals."""

    def __len__(self) -> int:
        return len(self.number)

    def where(self, chosen: Bools) -> Answers:
        """The answers about these shots alone."""
        index = np.flatnonzero(chosen)
        return replace(self, **{name: _taken(getattr(self, name), index) for name in _PER_SHOT})

    @property
    def answered(self) -> Bools:
        """(S,) not refused."""
        return np.array([not reason for reason in self.refused], dtype=np.bool_)

    @property
    def undetermined(self) -> Bools:
        """(S, 3) said of each parameter."""
        said = [[f"{UNDETERMINED}:{name}" in codes for name in PARAMETERS] for codes in self.flags]
        return np.array(said, dtype=np.bool_).reshape(len(self), len(PARAMETERS))

    def to_json(self) -> dict[str, Any]:
        """Lists and numbers; None where a number is not known."""
        return {field.name: in_json(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Answers:
        """The inverse of ``to_json``.

        Raises:
            InputError: something else.
        """
        try:
            count = len(values["number"])
            found: dict[str, Any] = {"level": float(values["level"])}
            for name in _PER_SHOT:
                found[name] = _from_json(name, values[name], count)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"answers that cannot be read ({type(error).__name__}: {error})",
                needed="what Answers.to_json wrote",
                action="evaluate the model again",
            ) from error
        return cls(**found)


_PER_SHOT = tuple(field.name for field in fields(Answers) if field.name != "level")
_WHOLE = ("number", "group", "rois")
_MATRICES = ("truth", "median", "low", "high", "spread", "rank", "bound")


@runtime_checkable
class Answering(Protocol):
    """A model that judges single scans."""

    @property
    def id(self) -> str:
        """Names the model."""
        ...

    def predict(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> Inference:
        """The answer about one scan.

        Raises:
            ContractError: it may not judge the scan.
        """
        ...


def ask(model: Answering, shots: Iterable[Shot], told: Told | None = None) -> Answers:
    """Let a model judge shots one by one.

    Args:
        model: anything that predicts.
        shots: with as many q-ROIs as it is to see.
        told: how far it is.

    Returns:
        Its answers. A scan that the model refuses (InputError) is an answer too.
    """
    rows, levels = [], []
    for shot in shots:
        began = time.perf_counter()
        found = _asked(lambda shot=shot: model.predict(shot.two_time, temperature=shot.temperature))
        rows.append(_row(shot, found, time.perf_counter() - began))
        levels += [found.level] if isinstance(found, Inference) else []
        if told is not None:
            told(len(rows))
    return _collected(rows, levels)


@runtime_checkable
class GroupPredictor(Protocol):
    """Infers the parameters of scans of one sample together."""

    @property
    def id(self) -> str:
        """Names the model."""
        ...

    def predict_group(self, scans: Sequence[TwoTime], temperatures: Sequence[float]) -> Sequence[Inference]:
        """One posterior for each scan, in their order."""
        ...


def ask_groups(model: GroupPredictor, shots: Iterable[Shot], told: Told | None = None) -> Answers:
    """Let a model judge all shots of a sample together.

    Args:
        model: that can.
        shots: those of one sample one after the other.
        told: how far it is.

    Returns:
        Its answers; a group that it refuses is refused in every shot.
    """
    rows, levels = [], []
    for _, together in itertools.groupby(shots, key=lambda shot: shot.plan.group):
        group = list(together)
        began = time.perf_counter()
        found = _asked(
            lambda group=group: model.predict_group(
                [shot.two_time for shot in group], [shot.temperature for shot in group]
            )
        )
        each = [found] * len(group) if isinstance(found, InputError) else found
        seconds = (time.perf_counter() - began) / len(group)
        rows += [_row(shot, one, seconds) for shot, one in zip(group, each, strict=True)]
        levels += [one.level for one in each if isinstance(one, Inference)]
        if told is not None:
            told(len(rows))
    return _collected(rows, levels)


T = TypeVar("T")


def _asked(question: Callable[[], T]) -> T | InputError:
    try:
        return question()
    except InputError as error:
        return error


def _row(shot: Shot, found: Inference | InputError, seconds: float) -> dict[str, Any]:
    return {**_facts(shot), **_said(found, shot.truth), "seconds": seconds}


def _collected(rows: Sequence[Mapping[str, Any]], levels: Sequence[float]) -> Answers:
    if not rows:
        raise InputError("no shots", needed="at least one", action="prepare the suite, or choose another")
    return Answers(
        level=levels[0] if levels else 0.9,
        **{name: _from_json(name, [row[name] for row in rows], len(rows)) for name in _PER_SHOT},
    )


def with_bounds(answers: Answers, bounds: ArrayLike) -> Answers:
    """The answers beside (S, 3) bounds of their shots."""
    return replace(answers, bound=np.asarray(bounds, dtype=np.float64))


def to_u(parameters: ArrayLike) -> NDArray[np.float64]:
    """(..., 3) log10 D, log10 gamma and lambda of (..., 3) parameters in SI."""
    return ParameterBox().to_u(parameters)


def in_json(value: Any) -> Any:
    """Arrays and tuples as lists, NaN as None."""
    if isinstance(value, np.ndarray):
        return in_json(value.tolist())
    if isinstance(value, list | tuple):
        return [in_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): in_json(one) for name, one in value.items()}
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def _facts(shot: Shot) -> dict[str, Any]:
    record = nonequilibrium(shot.single().two_time, max_cells=CELLS)[0]
    corrected = record.s_noneq_corrected
    return {
        "number": shot.plan.number,
        "group": shot.plan.group,
        "kind": shot.plan.kind,
        "severity": shot.plan.severity,
        "rois": shot.rois,
        "temperature": shot.temperature,
        "truth": shot.truth,
        "measured_s": record.s_noneq_norm,
        # Below 0 by chance where there is none.
        "corrected_s": np.nan if corrected is None else float(np.sqrt(max(corrected, 0.0))),
        "answer_s": np.nan,
        "bound": np.full(len(PARAMETERS), np.nan),
    }


def _said(found: Inference | InputError, truth: NDArray[np.float64]) -> dict[str, Any]:
    nothing = np.full(len(PARAMETERS), np.nan)
    if isinstance(found, InputError):
        said = dict.fromkeys(("median", "low", "high", "spread", "rank"), nothing)
        return {**said, "ood": np.nan, "grain_boundary": np.nan, "refused": str(found), "flags": ()}
    estimates = [found.parameters[name] for name in PARAMETERS]
    several = len(found.samples) > 1
    return {
        "median": np.array([one.median for one in estimates]),
        "low": np.array([one.low for one in estimates]),
        "high": np.array([one.high for one in estimates]),
        "spread": to_u(found.samples).std(axis=0) if several else nothing,
        "rank": np.where(np.isfinite(truth), (found.samples < truth).mean(axis=0), np.nan) if several else nothing,
        "ood": np.nan if found.ood_score is None else found.ood_score,
        "grain_boundary": found.probabilities.get("grain_boundary", np.nan),
        "refused": "",
        "flags": tuple(flag.code for flag in found.flags),
    }


def _from_json(name: str, values: Sequence[Any], count: int) -> Any:
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries instead of {count}")
    if name in ("kind", "refused"):
        return tuple(str(value) for value in values)
    if name == "flags":
        return tuple(tuple(str(code) for code in codes) for codes in values)
    if name in _WHOLE:
        return np.array(values, dtype=np.int64)
    shape = (count, len(PARAMETERS)) if name in _MATRICES else (count,)
    return np.array([_numbers(value) for value in values], dtype=np.float64).reshape(shape)


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [np.nan if one is None else one for one in value]
    return np.nan if value is None else value


def _taken(values: Any, index: NDArray[np.int64]) -> Any:
    return values[index] if isinstance(values, np.ndarray) else tuple(values[place] for place in index.tolist())
