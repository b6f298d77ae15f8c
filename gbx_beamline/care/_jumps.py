"""Abrupt decorrelations in a two-time map: what a knock on the sample leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from gbx_beamline.config import CareConfig
from gbx_beamline.correlation.diagonals import cell_means
from gbx_beamline.errors import InputError, MapError
from gbx_beamline.records import Jump, JumpCheck

MOST_CELLS = 128
"""Time cells of the map that is searched; longer series are averaged over whole frames first."""

FEWEST_CELLS = 24

MOST_TERMS = 16
"""Cosines of the slow rate profile, at most."""

MOST_JUMPS = 5

SETTLING = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Times of exponential settling, as shares of the series."""

MARGIN = 3.0
"""By how much a jump must beat every slow profile (Schwarz's criterion)."""

EDGE = 6
"""Cells from either end in which a jump is not told from a bad frame."""


def find_jumps(
    g2: NDArray[np.floating],
    contrast: float,
    *,
    frame_time: float = 1.0,
    baseline: float = 1.0,
    settings: CareConfig | None = None,
) -> JumpCheck:
    """Find times across which the speckles lose correlation at once.

    Pairs of frames that straddle such a time t_j are lower than pairs at the same lags that do not. With
    ``w(tau) = (<g2>(tau) - baseline) / contrast`` the map is described, linearly, as

    ``g2(t1, t2) = T(t2 - t1) + r(t1) + r(t2) - contrast w(t2 - t1) [a_j + slow(t1..t2)]``

    by least squares over the cells off the diagonal: T free at every lag (whatever the stationary dynamics are), r
    free in every frame (photon noise that a frame shares with all its pairs), slow a rate profile of up to 16 cosines
    or of one exponential and 4 cosines (ageing and settling), and a jump of amplitude a_j, tried at every time. On top
    of the map's noise every frame may lose a random bit (few speckles do that by themselves); how much comes from the
    map. A jump is found where it exceeds ``jump_sigmas`` standard errors and where it describes the map better than
    any slow profile does (Schwarz's criterion). Then the search goes on for more.

    Sample motion, a knock or a beam that jumps looks so, and a single large rearrangement of the sample does too.

    Args:
        g2: (N, N) map; NaN rows and columns where frames are bad.
        contrast: by how much g2 rises above its baseline.
        frame_time: s.
        baseline: what g2 tends to without correlation.
        settings: ``jump_sigmas``, ``smallest_jump``.

    Returns:
        JumpCheck; where nothing can be looked for, ``status`` says why.

    Raises:
        MapError: not a square map.
        InputError: an impossible frame time.
    """
    settings = settings or CareConfig()
    g2 = np.asarray(g2)
    if g2.ndim != 2 or g2.shape[0] != g2.shape[1]:
        raise MapError(f"an array of shape {g2.shape}", needed="a square map (N, N)", action="give one map at a time")
    if not (np.isfinite(frame_time) and frame_time > 0):
        raise InputError(f"frame_time {frame_time}", needed="a positive number of s", action="correct frame_time")
    if not settings.applies("jumps"):
        return JumpCheck(jumps=(), detectable=np.nan, status="switched off")
    if not (np.isfinite(contrast) and contrast > 0):
        return JumpCheck(jumps=(), detectable=np.nan, status=f"no contrast ({contrast:.2g}) to lose")
    per_cell = -(-len(g2) // MOST_CELLS)
    cells = cell_means(g2, per_cell)
    np.fill_diagonal(cells, np.nan)
    used = np.flatnonzero(np.isfinite(cells).any(axis=1))
    if len(used) < FEWEST_CELLS:
        return JumpCheck(
            jumps=(), detectable=np.nan, status=f"{len(used)} valid time cells; at least {FEWEST_CELLS} are needed"
        )
    scores = _project(cells[np.ix_(used, used)], used, contrast, baseline)
    found, detectable = _search(scores, settings)
    jumps = [
        Jump(
            frame=int(used[at]) * per_cell,
            time=float(used[at]) * per_cell * frame_time,
            time_error=0.5 * per_cell * frame_time,
            amplitude=amplitude,
            error=error,
            significance=amplitude / error,
        )
        for at, amplitude, error in found
    ]
    return JumpCheck(jumps=tuple(sorted(jumps, key=lambda jump: jump.frame)), detectable=detectable, status="ok")


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """Normal equations of the jump templates, everything free (lags and frames) projected out."""

    gram: NDArray[np.float64]
    """(m, m) products of the templates of m boundaries."""
    score: NDArray[np.float64]
    """(m,) products of templates and map."""
    square: float
    """Sum of squares of the projected map."""
    freedom: int
    """Cells minus free parameters."""


def _project(cells: NDArray[np.float64], times: NDArray[np.int64], contrast: float, baseline: float) -> _Scores:
    count = len(cells)
    row, column = np.nonzero(np.triu(np.isfinite(cells), 1))
    values = cells[row, column]
    _, lag = np.unique(times[column] - times[row], return_inverse=True)
    lags = int(lag.max()) + 1
    pairs = np.bincount(lag, minlength=lags)
    mean = np.bincount(lag, weights=values, minlength=lags) / pairs
    # The longest lags have few pairs; a weight out of range there would make templates of noise.
    weight = contrast * np.clip((mean - baseline) / contrast, 0.0, 1.2)
    boundary = np.arange(1, count)
    straddle = (row[:, None] < boundary) & (column[:, None] >= boundary)
    templates = -weight[lag][:, None] * straddle
    entry = np.arange(len(values))
    free = scipy.sparse.csr_matrix(
        (np.ones(3 * len(entry)), (np.tile(entry, 3), np.concatenate([lag, lags + row, lags + column]))),
        shape=(len(entry), lags + count),
    )
    normal = (free.T @ free).toarray()
    inverse = np.linalg.pinv(normal, rcond=1e-10, hermitian=True)
    crossed = free.T @ templates
    seen = free.T @ values
    gram = templates.T @ templates - crossed.T @ inverse @ crossed
    score = templates.T @ values - crossed.T @ inverse @ seen
    square = float(values @ values - seen @ inverse @ seen)
    # Lags share one constant with the frames.
    return _Scores(gram=gram, score=score, square=square, freedom=len(values) - (lags + count - 1))


def _search(scores: _Scores, settings: CareConfig) -> tuple[list[tuple[int, float, float]], float]:
    """Boundaries with amplitude and error, and the smallest jump that would be seen in the middle."""
    count = len(scores.score)
    profiles = _slow_profiles(count)
    price = float(np.log(max(3, scores.freedom)))
    inside = np.zeros(count, dtype=bool)
    inside[EDGE : count - EDGE] = True
    every = np.eye(count)
    found: list[int] = []
    while True:
        steps = every[:, found]
        # The richest profile is the last: what it leaves is noise.
        left = _without(scores, np.hstack([profiles[-1], steps])).square
        noise = max(left, 1e-300) / max(1, scores.freedom - MOST_TERMS - len(found))
        reduced = [_without(scores, np.hstack([profile, steps])) for profile in profiles]
        chosen = _shortlist(reduced, noise, price, inside)
        fits = [_fit(reduced[index], noise, inside) for index in chosen]
        terms = [profiles[index].shape[1] for index in chosen]
        bare = min(fit.plain + price * m for m, fit in zip(terms, fits, strict=True))
        cost = [fit.jumped + price * (m + 1) for m, fit in zip(terms, fits, strict=True)]
        best = int(np.argmin(cost))
        fit = fits[best]
        limit = max(settings.jump_sigmas * fit.errors[fit.at], settings.smallest_jump)
        if not (fit.amplitude > limit and bare - cost[best] > MARGIN) or len(found) == MOST_JUMPS:
            break
        found.append(fit.at)
    middle = fit.errors[count // 4 : count - count // 4]
    smallest = settings.jump_sigmas * float(np.median(middle))
    out: list[tuple[int, float, float]] = []
    for at in found:
        others = every[:, [one for one in found if one != at]]
        alone = _fit(_without(scores, np.hstack([profiles[chosen[best]], others])), noise, np.arange(count) == at)
        out.append((at + 1, alone.amplitude, float(alone.errors[at])))
    return out, max(smallest, settings.smallest_jump) if np.isfinite(smallest) else np.nan


def _shortlist(reduced: list[_Scores], noise: float, price: float, inside: NDArray[np.bool_]) -> list[int]:
    """Profiles worth a full fit: the simplest two, and the best with and without a jump if all noise were white."""
    bare, cost = [], []
    for fit in reduced:
        power = np.diagonal(fit.gram)
        usable = inside & (power > 0.01 * np.median(power)) & (fit.score > 0)
        gain = np.divide(fit.score**2, power, out=np.zeros(len(power)), where=usable).max()
        spent = price * (reduced[0].freedom - fit.freedom)
        bare.append(fit.square / noise + spent)
        cost.append((fit.square - gain) / noise + spent)
    return sorted({0, 1, *np.argsort(bare)[:3].tolist(), *np.argsort(cost)[:3].tolist()})


def _slow_profiles(count: int) -> list[NDArray[np.float64]]:
    """Rate profiles over the m boundaries that are no jump: (m, terms) each, the richest last.

    One exponential, whatever its time, costs one term: settling and ageing look so, and would else be dearer to
    describe than a jump. Cosines follow whatever else is slow.
    """
    place = (np.arange(count) + 0.5) / count
    cosines = np.cos(np.pi * np.outer(place, np.arange(1, MOST_TERMS + 1)))
    settling = [np.exp(-place / time)[:, None] for time in SETTLING]
    few = [cosines[:, :m] for m in (0, 1, 2, 3, 4)]
    return [
        *few,
        *(np.hstack([one, part]) for one in settling for part in few[::2]),
        *(cosines[:, :m] for m in (6, 8, 10, 12, MOST_TERMS)),
    ]


def _without(scores: _Scores, profiles: NDArray[np.float64]) -> _Scores:
    """The normal equations once some profiles are free as well."""
    if profiles.shape[1] == 0:
        return scores
    moved = scores.gram @ profiles
    inverse = np.linalg.pinv(profiles.T @ moved, rcond=1e-9, hermitian=True)
    known = profiles.T @ scores.score
    return _Scores(
        gram=scores.gram - moved @ inverse @ moved.T,
        score=scores.score - moved @ inverse @ known,
        square=float(scores.square - known @ inverse @ known),
        freedom=scores.freedom - profiles.shape[1],
    )


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Likelihoods with and without one jump."""

    plain: float
    """-2 ln(likelihood) without a jump, up to a constant."""
    jumped: float
    """The same with the best jump."""
    at: int
    """Its boundary."""
    amplitude: float
    errors: NDArray[np.float64]
    """(m,) standard error of a jump at every boundary; infinite where nothing is left of its template."""


def _fit(scores: _Scores, noise: float, where: NDArray[np.bool_]) -> _Fit:
    """Weigh the best jump against white noise of the map and white noise of the rates.

    Speckles that move lose a little more or less than the average from frame to frame, the more the fewer they are.
    So losses at the boundaries are taken as random with variance ``share * noise``, share by maximum likelihood, with
    and without the jump. In the eigenvectors of the normal matrix everything is diagonal.
    """
    values, vectors = np.linalg.eigh(scores.gram)
    keep = values > 1e-9 * max(values[-1], 1e-300)
    values, vectors = values[keep], vectors[:, keep]
    seen = vectors.T @ scores.score
    typical = max(float(np.median(np.diagonal(scores.gram))), 1e-300)
    share = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 46) / typical])[:, None]
    damped = 1.0 / (1.0 + share * values)
    plain = (scores.square - (share * damped) @ seen**2) / noise - np.log(damped).sum(axis=1)
    power = (values * damped) @ vectors.T**2
    score = (damped * seen) @ vectors.T
    usable = where & (power > 0.01 * np.median(power, axis=1, keepdims=True)) & (score > 0)
    gain = np.divide(score**2, noise * power, out=np.zeros(score.shape), where=usable)
    jumped = plain[:, None] - gain
    row, at = np.unravel_index(int(np.argmin(jumped)), jumped.shape)
    floor = 0.01 * float(np.median(power[row]))
    errors = np.sqrt(np.divide(noise, power[row], out=np.full(power.shape[1], np.inf), where=power[row] > floor))
    amplitude = float(score[row, at] / power[row, at]) if gain[row, at] > 0 else 0.0
    return _Fit(plain=float(plain.min()), jumped=float(jumped[row, at]), at=int(at), amplitude=amplitude, errors=errors)
