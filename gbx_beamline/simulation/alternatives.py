"""Dynamics that are no grain boundaries, through the same measurement model: what must be able to win.

Any positive semi-definite field correlation f(t, t') is the sum over its eigenvectors of rank-one terms, which is the
form that boundaries have in a ``Draw``. So a static sample, stretched, compressed and ballistic decays, heterodyne
flow and ageing become draws, seen by photons and by fast maps alike.

Each kind by its field correlation, with u = q / REFERENCE_Q:

============  ==============================================================================================
static        1
stretched     exp(-(|dt| u^2 / relaxation_time)^exponent), exponent 0.3..0.9
compressed    the same, exponent 1.2..2
ballistic     exp(-(|dt| u / relaxation_time)^exponent), exponent 1.5..2: times go as 1/q
heterodyne    x + (1 - x) mean_j exp(i q v_j dt) exp(-rate u^2 |dt|): a static share and flows that it beats with
ageing        exp(-u^2 |int rate / (1 + t / age)^power dt|): diffusion that slows down
============  ==============================================================================================

Diffusion with one constant rate is the grain-boundary model without boundaries, and so no alternative. Exponents leave
a gap about 1 for the same reason. ``exp(-|dt|^a)`` is positive semi-definite up to a = 2 (Schoenberg, Trans. Am. Math.
Soc. 44, 522 (1938)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.simulation._domain import SMALLEST_Q, Domain, checked_times
from gbx_beamline.simulation._draw import Draw

if TYPE_CHECKING:
    from gbx_beamline.simulation.measurement import Measurement

KINDS = ("static", "stretched", "compressed", "ballistic", "heterodyne", "ageing")

REFERENCE_Q = 4.5e8
"""1/m. Times and rates among the parameters hold there."""

NEGLIGIBLE = 1e-7
"""Share of the trace below which an eigenvector is left out."""

MOMENTS = 4
"""Most moments within a time cell that its mean is taken over."""

Parameters = Mapping[str, float | Sequence[float]]
Correlation = NDArray[Any]
"""Of float64, or complex128 where phases matter."""

_DOMAINS: Mapping[str, Mapping[str, Domain]] = MappingProxyType(
    {
        "static": {},
        "stretched": {
            "relaxation_time": Domain("s", 0.0, open_low=True),
            "exponent": Domain("of a stretched decay", 0.3, 0.9),
        },
        "compressed": {
            "relaxation_time": Domain("s", 0.0, open_low=True),
            "exponent": Domain("of a compressed decay", 1.2, 2.0),
        },
        "ballistic": {
            "relaxation_time": Domain("s", 0.0, open_low=True),
            "exponent": Domain("of a ballistic decay", 1.5, 2.0),
        },
        "heterodyne": {
            "static_share": Domain("x, share of the field that does not flow", 0.0, 1.0, open_low=True, open_high=True),
            "velocities": Domain("m/s along q", -math.inf),
            "rate": Domain("1/s", 0.0),
        },
        "ageing": {
            "rate": Domain("1/s, when the scan begins", 0.0, open_low=True),
            "age": Domain("s, of the sample when the scan begins", 0.0, open_low=True),
            "power": Domain("by which the rate falls with age", 0.0, 5.0, open_low=True),
        },
    }
)


def alternative(kind: str, parameters: Parameters, q: ArrayLike, t: ArrayLike, *, frames_per_cell: int = 1) -> Draw:
    """A sample of this kind, as a draw that is all "boundary" (``gb_fraction`` = 1).

    Args:
        kind: one of ``KINDS``.
        parameters: of the kind, by name, see the module; SI, at ``REFERENCE_Q``. ``velocities`` is a sequence with
            equal shares.
        q: (Q,) 1/m, as seen: with a measurement's offset and nodes in it, see ``seen_by``.
        t: (n,) rising times since the scan began, s.
        frames_per_cell: frames that a moment of t stands for. With more than 1, t are the middles of time cells, and
            correlations of different cells are means over the cells' frames (at most ``MOMENTS`` each).

    Returns:
        Draw with amplitudes (Q, B, n), whose level is 1 up to ``NEGLIGIBLE`` of each eigenvector left out.

    Raises:
        InputError: another kind; a parameter that is missing, unknown or outside its domain; t is no time grid.
        UnitError: q in another unit.
    """
    check_parameters(kind, parameters)
    waves, times = _checked_q(q), checked_times(t)
    correlate = _CORRELATIONS[kind]
    if frames_per_cell > 1:
        field = np.stack([_of_cells(correlate, parameters, one, times, frames_per_cell) for one in waves])
    else:
        field = np.stack([correlate(parameters, one, times) for one in waves])
    amplitudes = _amplitudes(field)
    terms = amplitudes.shape[1]
    return Draw(
        t=times,
        amplitudes=amplitudes,
        weights=np.full(terms, 1.0 / terms),
        bulk_rates=np.zeros(len(waves)),
        renewals=np.zeros(len(times)),
        gb_fraction=1.0,
    )


def draw_alternative(
    rng: np.random.Generator, kind: str, q: ArrayLike, t: ArrayLike, *, frames_per_cell: int = 1
) -> Draw:
    """A sample of this kind with parameters from ``prior_parameters`` for the window that t spans.

    Args:
        rng: source of randomness.
        kind: as for ``alternative``, like the others.
        q: see there.
        t: see there.
        frames_per_cell: see there.

    Raises:
        InputError: as ``alternative``.
        UnitError: as ``alternative``.
    """
    times = checked_times(t)
    # n moments stand for n intervals.
    window = float(times[-1] - times[0]) * len(times) / (len(times) - 1)
    return alternative(kind, prior_parameters(rng, kind, window), q, times, frames_per_cell=frames_per_cell)


def seen_by(measurement: Measurement, q: ArrayLike, size: int | None = None) -> dict[str, Any]:
    """What a measurement sees a sample at, as arguments of ``alternative`` and ``draw_alternative``.

    ``draw_alternative(rng, kind, **seen_by(measurement, q, size=64))`` is to alternatives what ``draw_at_cells`` is to
    boundaries; without a size it is what ``draw_seen`` is to them.

    Args:
        measurement: frames, their times, q-ROIs, q_offset and q_spread.
        q: (Q,) 1/m, what the geometry says of each of its q-ROIs.
        size: n time cells, for fast maps; None is every frame.

    Returns:
        q (Q K nodes), t (n) and frames_per_cell.

    Raises:
        InputError: another number of q than of q-ROIs, or more cells than frames.
    """
    # Here, because it loads the correlation code, which nothing else of this module needs.
    from gbx_beamline.simulation.measurement._q_nodes import node_factors

    geometry = np.atleast_1d(np.asarray(q, dtype=np.float64))
    if geometry.size != len(measurement.pixels):
        raise InputError(
            f"{geometry.size} q and {len(measurement.pixels)} q-ROIs",
            needed="one q for each q-ROI",
            action="give as many q as pixels",
        )
    if size is not None and not 2 <= size <= measurement.frames:
        raise InputError(
            f"size {size}", needed=f"2 to {measurement.frames} time cells", action="correct size, or leave it out"
        )
    frames = 1 if size is None else measurement.frames // size
    moments = np.arange(measurement.frames if size is None else size, dtype=np.float64)
    return {
        "q": np.outer(geometry * (1.0 + measurement.q_offset), node_factors(measurement)).ravel(),
        "t": (moments * frames + 0.5 * (frames - 1)) * measurement.frame_time,
        "frames_per_cell": frames,
    }


def prior_parameters(rng: np.random.Generator, kind: str, window: float) -> dict[str, float | tuple[float, ...]]:
    """Parameters that training draws: dynamics that a scan of this length shows.

    - stretched, compressed, ballistic: relaxation time log-uniform over 0.05 to 2 windows, exponent uniform over all
      that the kind allows;
    - heterodyne: x uniform over 0.2 to 0.8; one to three flows, each of 1 to 6 turns of its phase in the window
      (log-uniform, either direction; below one turn it is a slow decay); rate times window log-uniform over 0.02 to 2;
    - ageing: age log-uniform over 0.03 to 0.5 windows and power uniform over 0.7 to 2, so that the rate falls by a
      factor of 2.2 at least; the decay's exponent over the whole window log-uniform over 0.5 to 8.

    Args:
        rng: source of randomness.
        kind: one of ``KINDS``.
        window: s.

    Raises:
        InputError: another kind, or a window that is not positive.
    """
    if not (math.isfinite(window) and window > 0):
        raise InputError(f"a window of {window} s", needed="a positive number of s", action="correct it")
    check_kind(kind)
    if kind == "static":
        return {}
    if kind == "heterodyne":
        turns = [_log_uniform(rng, 1.0, 6.0) * rng.choice((-1.0, 1.0)) for _ in range(rng.integers(1, 4))]
        return {
            "static_share": float(rng.uniform(0.2, 0.8)),
            "velocities": tuple(float(turn * 2.0 * np.pi / (REFERENCE_Q * window)) for turn in turns),
            "rate": _log_uniform(rng, 0.02, 2.0) / window,
        }
    if kind == "ageing":
        age, power = window * _log_uniform(rng, 0.03, 0.5), float(rng.uniform(0.7, 2.0))
        spent = float(_spent(np.array([window]), age, power)[0])
        return {"rate": _log_uniform(rng, 0.5, 8.0) / spent, "age": age, "power": power}
    exponent = _DOMAINS[kind]["exponent"]
    return {
        "relaxation_time": window * _log_uniform(rng, 0.05, 2.0),
        "exponent": float(rng.uniform(exponent.low, exponent.high)),
    }


def check_kind(kind: str) -> None:
    """Refuse a kind that there is not.

    Raises:
        InputError: it is none of ``KINDS``.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r}", needed=f"one of {', '.join(KINDS)}", action="correct the kind")


def check_parameters(kind: str, parameters: Parameters) -> None:
    """Refuse parameters that are not those of the kind.

    Raises:
        InputError: another kind; a parameter that is missing, unknown or outside its domain.
    """
    check_kind(kind)
    domains = _DOMAINS[kind]
    if set(parameters) != set(domains):
        raise InputError(
            f"parameters {', '.join(sorted(parameters)) or 'none'} of kind {kind}",
            needed=", ".join(f"{name} ({domain.what})" for name, domain in domains.items()) or "none",
            action="correct the parameters",
        )
    for name, domain in domains.items():
        values = np.asarray(parameters[name], dtype=np.float64)
        if values.ndim != (1 if name == "velocities" else 0) or not values.size:
            raise InputError(
                f"{name} of shape {values.shape}",
                needed="a sequence of at least one number" if name == "velocities" else "one number",
                action=f"correct {name}",
            )
        for value in np.atleast_1d(values):
            if not domain.holds(float(value)):
                raise InputError(
                    f"{name} = {value:g} ({domain.what})", needed=f"a number {domain}", action=f"correct {name}"
                )


def _checked_q(q: ArrayLike) -> NDArray[np.float64]:
    waves = np.atleast_1d(np.asarray(q, dtype=np.float64))
    if waves.ndim != 1 or not waves.size or not (np.isfinite(waves) & (waves > 0)).all():
        raise InputError(f"q of shape {waves.shape}", needed="finite, positive numbers in 1/m", action="correct q")
    if waves.min() < SMALLEST_Q:
        raise UnitError(
            f"q = {waves.min():g} looks like 1/Angstrom",
            needed=f"1/m, at least {SMALLEST_Q:g}",
            action=f"write {waves.min() * 1e10:g}",
        )
    return waves


def _static(_parameters: Parameters, _q: float, t: NDArray[np.float64]) -> Correlation:
    return np.ones((len(t), len(t)))


def _stretched(parameters: Parameters, q: float, t: NDArray[np.float64]) -> Correlation:
    return _decay(parameters, t, (q / REFERENCE_Q) ** 2)


def _ballistic(parameters: Parameters, q: float, t: NDArray[np.float64]) -> Correlation:
    return _decay(parameters, t, q / REFERENCE_Q)


def _decay(parameters: Parameters, t: NDArray[np.float64], faster: float) -> NDArray[np.float64]:
    time, exponent = _number(parameters, "relaxation_time"), _number(parameters, "exponent")
    return np.exp(-((np.abs(t[:, None] - t) * (faster / time)) ** exponent))


def _heterodyne(parameters: Parameters, q: float, t: NDArray[np.float64]) -> Correlation:
    x, rate = _number(parameters, "static_share"), _number(parameters, "rate")
    velocities = np.atleast_1d(np.asarray(parameters["velocities"], dtype=np.float64))
    waves = np.exp(1j * q * velocities[:, None] * t)
    flowing = waves.T @ waves.conj() / len(velocities)
    decay = np.exp(-rate * (q / REFERENCE_Q) ** 2 * np.abs(t[:, None] - t))
    return x + (1.0 - x) * decay * flowing


def _ageing(parameters: Parameters, q: float, t: NDArray[np.float64]) -> Correlation:
    rate, age, power = (_number(parameters, name) for name in ("rate", "age", "power"))
    spent = rate * (q / REFERENCE_Q) ** 2 * _spent(t, age, power)
    return np.exp(-np.abs(spent[:, None] - spent))


_CORRELATIONS: Mapping[str, Callable[[Parameters, float, NDArray[np.float64]], Correlation]] = MappingProxyType(
    {
        "static": _static,
        "stretched": _stretched,
        "compressed": _stretched,
        "ballistic": _ballistic,
        "heterodyne": _heterodyne,
        "ageing": _ageing,
    }
)


def _spent(t: NDArray[np.float64], age: float, power: float) -> NDArray[np.float64]:
    """int_0^t (1 + s / age)^-power ds, s."""
    grown = np.log1p(t / age)
    rest = 1.0 - power
    return age * (grown if abs(rest) < 1e-9 else np.expm1(rest * grown) / rest)


def _of_cells(
    correlate: Callable[[Parameters, float, NDArray[np.float64]], Correlation],
    parameters: Parameters,
    q: float,
    middles: NDArray[np.float64],
    frames: int,
) -> Correlation:
    """(n, n) correlation of time cells.

    What maps average is the squared size, so its root is taken where correlations are real. With phases that would be
    no positive semi-definite correlation any more: the mean itself is then taken, whose square falls short by the
    turning within a cell, 0.02 of the contrast for six turns in 64 cells.
    """
    cell = float(np.diff(middles).mean())
    moments = min(frames, MOMENTS)
    within = (np.arange(moments) - 0.5 * (moments - 1)) * (cell / moments)
    # The first cell of a scan may begin half a frame before its first frame where moments stand for several.
    times = np.maximum((middles[:, None] + within).ravel(), 0.0)
    field = correlate(parameters, q, times).reshape(len(middles), moments, len(middles), moments)
    axes = (1, 3)
    cells = field.mean(axis=axes) if np.iscomplexobj(field) else np.sqrt((field**2).mean(axis=axes))
    index = np.arange(len(middles))
    cells[index, index] = 1.0
    return cells


def _amplitudes(field: Correlation) -> NDArray[np.complex128]:
    """(Q, B, n) a with ``sum_b a_b a_b'* / B`` the (Q, n, n) correlations; zeros where a q has fewer terms."""
    values, vectors = np.linalg.eigh(field)
    kept = values > NEGLIGIBLE * field.shape[-1]
    terms = int(kept.sum(axis=1).max())
    # eigh sorts upwards: the last are the largest.
    scaled = np.sqrt(np.where(kept, values, 0.0)[:, -terms:] * terms)
    return np.ascontiguousarray((vectors[..., -terms:] * scaled[:, None, :]).swapaxes(1, 2), dtype=np.complex128)


def _number(parameters: Parameters, name: str) -> float:
    return float(np.asarray(parameters[name], dtype=np.float64))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
