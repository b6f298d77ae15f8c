"""Which kind of dynamics a scan shows: grain boundaries, or something that is none.

Two witnesses are heard: the network's head, logits over ``CLASSES`` from the same context as the posterior, and the
classical fits of the record, ``correlation.scaling`` of ``fit_kinetics``: exponent of the decays and how relaxation
times go with q.

The head was trained on simulations in which the classes had known shares, so softmax(logits) is a posterior under those
shares. ``ClassCalibration`` divides the logits by a temperature (Guo et al., ICML 2017, sec. 4.2) fitted on scans that
training did not see, and replaces the shares by the stated prior: even odds for grain boundaries against everything
else, equal odds among the alternatives. A measured sample was chosen because it has grain boundaries, and "something
else" is still to win whenever the data say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, log_softmax, logit

from gbx_beamline.errors import InputError
from gbx_beamline.records import Flag, Scaling
from gbx_beamline.simulation.alternatives import KINDS

GRAIN_BOUNDARY = "grain_boundary"

CLASSES = (GRAIN_BOUNDARY, *KINDS)
"""In the order of the head's logits."""

NOT_DIFFUSIVE = ("stretched", "compressed", "ballistic", "heterodyne")
"""Ageing is diffusion that slows down, and of what does not move nothing is known."""

VERDICTS = ("yes", "no", "unknown")
"""Of the classical fits on "is it diffusive?"."""

PREFERRED = 0.5
"""Probability below which the grain-boundary model is not preferred, and above which dynamics are not diffusive."""

LIKELY_DIFFUSIVE = 0.2
"""Probability of being not diffusive below which the answer to "diffusive?" is yes."""

NOT_EXCLUDED = 0.05
"""Probability of a static sample against grain boundaries alone, at even odds, from which it is not excluded. Slow
boundaries look static, so the two overlap; with calibrated probabilities at most 5.3 % of static samples are below.
``Belief.assess`` leaves the flag out where D is determined and static is less probable than not."""

TEMPERATURES = (0.05, 20.0)
"""Range that the fit looks in."""

_WORDS = {
    GRAIN_BOUNDARY: "grain boundaries",
    "static": "a static sample",
    "stretched": "a stretched decay",
    "compressed": "a compressed decay",
    "ballistic": "ballistic motion",
    "heterodyne": "flow beating with a static part",
    "ageing": "ageing diffusion",
}


def even_odds() -> NDArray[np.float64]:
    """(K,) the stated prior: 1/2 for grain boundaries, the rest in equal parts for the alternatives."""
    prior = np.full(len(CLASSES), 0.5 / len(KINDS))
    prior[0] = 0.5
    return prior


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCalibration:
    """From logits to probabilities that are as often right as they say.

    Raises:
        InputError: shares that are none, or a temperature that is not positive.
    """

    training: NDArray[np.float64]
    """(K,) shares of ``CLASSES`` in the head's training."""
    prior: NDArray[np.float64]
    """(K,) stated before the scan is looked at."""
    temperature: float = 1.0
    """Above 1 where the head is surer than it is right."""
    fits: NDArray[np.float64]
    """(3,) what each of ``VERDICTS`` of the classical fits adds to the head's log odds of "not diffusive"."""

    def __post_init__(self) -> None:
        for name in ("training", "prior"):
            shares = np.asarray(getattr(self, name), dtype=np.float64)
            if shares.shape != (len(CLASSES),) or not (shares > 0).all() or abs(shares.sum() - 1.0) > 1e-6:
                raise InputError(
                    f"{name} shares {np.array2string(shares, precision=3)}",
                    needed=f"{len(CLASSES)} positive numbers of sum 1, for {', '.join(CLASSES)}",
                    action="correct them",
                )
            object.__setattr__(self, name, shares)
        if not (np.isfinite(self.temperature) and self.temperature > 0) or self.fits.shape != (len(VERDICTS),):
            raise InputError(
                f"temperature {self.temperature}, weights of the fits {self.fits}",
                needed="a positive temperature and a number for each verdict",
                action="calibrate again",
            )

    @classmethod
    def untested(cls, training: ArrayLike | None = None) -> ClassCalibration:
        """Logits taken at their word, and a factor of e for what the fits say.

        Args:
            training: (K,) shares in the head's training; None for the prior's.
        """
        prior = even_odds()
        shares = prior if training is None else np.asarray(training, dtype=np.float64)
        return cls(training=shares, prior=prior, fits=np.array([-1.0, 1.0, 0.0]))

    @classmethod
    def fit(
        cls,
        logits: ArrayLike,
        truth: Sequence[str],
        *,
        training: ArrayLike,
        verdicts: Sequence[str] | None = None,
        prior: ArrayLike | None = None,
    ) -> ClassCalibration:
        """Calibrate on scans that training did not see.

        Args:
            logits: (n, K) of the head.
            truth: (n,) of ``CLASSES``. Their shares may be others than in training.
            training: (K,) shares in training.
            verdicts: (n,) of ``VERDICTS``, where the scans have classical fits.
            prior: (K,) None for ``even_odds``.

        Raises:
            InputError: arrays that do not fit together, a class that there is not, or only one class.
        """
        scores, index = _checked(logits, truth)
        shares = np.bincount(index, minlength=len(CLASSES)) / len(index)
        # A class that is absent gets no probability here, whatever the head says of it.
        with np.errstate(divide="ignore"):
            shift = np.log(shares) - np.log(np.asarray(training, dtype=np.float64))

        def loss(log_temperature: float) -> float:
            likelihood = log_softmax(scores / np.exp(log_temperature) + shift, axis=1)
            return -float(likelihood[np.arange(len(index)), index].mean())

        best = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
        temperature = float(np.exp(best.x))
        calibration = cls(
            training=np.asarray(training, dtype=np.float64),
            prior=even_odds() if prior is None else np.asarray(prior, dtype=np.float64),
            temperature=temperature,
            fits=np.zeros(len(VERDICTS)),
        )
        if verdicts is None:
            return cls(**{**vars(calibration), "fits": cls.untested().fits})
        odds = _log_odds(np.exp(log_softmax(scores / temperature + shift, axis=1)))
        other = np.isin(index, [CLASSES.index(kind) for kind in NOT_DIFFUSIVE])
        said = np.array(verdicts)
        weights = [_extra_log_odds(odds[said == verdict], other[said == verdict]) for verdict in VERDICTS]
        return cls(**{**vars(calibration), "fits": np.array(weights)})

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """(..., K) under the stated prior, of (..., K) logits."""
        scores = np.asarray(logits, dtype=np.float64)
        if scores.shape[-1:] != (len(CLASSES),) or not np.isfinite(scores).all():
            raise InputError(
                f"logits of shape {scores.shape}",
                needed=f"{len(CLASSES)} finite numbers, for {', '.join(CLASSES)}",
                action="use a head for these classes",
            )
        return np.exp(log_softmax(scores / self.temperature + np.log(self.prior / self.training), axis=-1))

    def to_state(self) -> dict[str, NDArray[np.float64]]:
        """Arrays for safetensors."""
        return {
            "training": self.training,
            "prior": self.prior,
            "temperature": np.array([self.temperature]),
            "fits": self.fits,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float64]]) -> ClassCalibration:
        """The inverse of ``to_state``."""
        return cls(
            training=state["training"],
            prior=state["prior"],
            temperature=float(state["temperature"][0]),
            fits=np.asarray(state["fits"], dtype=np.float64),
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models compared on one scan."""

    probabilities: Mapping[str, float]
    """Of ``CLASSES``, 1 in total, calibrated, under the stated prior."""
    preferred: str
    """The most probable of them."""
    static: float
    """Probability of a static sample if it is that or grain boundaries, at even odds."""
    not_diffusive: float
    """Probability that the dynamics are one of ``NOT_DIFFUSIVE``, classical fits included."""
    diffusive: Literal["yes", "no", "unknown"]
    flags: tuple[Flag, ...]
    """"not_preferred", "not_diffusive" and "static_not_excluded", where they hold."""


def compare(logits: ArrayLike, calibration: ClassCalibration, *, scaling: Scaling | None = None) -> Comparison:
    """What head and classical fits together say of one scan.

    Args:
        logits: (K,) of the head.
        calibration: of the same model.
        scaling: of the scan's record, where there are fits; their verdict shifts the odds of "not diffusive" by what
            such verdicts were worth in calibration.

    Raises:
        InputError: logits of other classes.
    """
    found = calibration.probabilities(logits)
    if found.ndim != 1:
        raise InputError(
            f"logits of shape {found.shape}", needed="those of one scan", action="compare scans one by one"
        )
    probabilities = {kind: float(value) for kind, value in zip(CLASSES, found, strict=True)}
    said = scaling.diffusive if scaling is not None else "unknown"
    weight = float(calibration.fits[VERDICTS.index(said)]) if scaling is not None else 0.0
    other = float(expit(_log_odds(found[None])[0] + weight))
    ours, static = (found[place] / calibration.prior[place] for place in (0, CLASSES.index("static")))
    still = float(static / (static + ours)) if static + ours > 0 else 0.0
    return Comparison(
        probabilities=probabilities,
        preferred=max(probabilities, key=lambda kind: probabilities[kind]),
        static=still,
        not_diffusive=other,
        diffusive="no" if other > PREFERRED else "yes" if other < LIKELY_DIFFUSIVE else "unknown",
        flags=tuple(_flags(probabilities, still, other, scaling)),
    )


def _flags(probabilities: Mapping[str, float], still: float, other: float, scaling: Scaling | None) -> list[Flag]:
    flags = []
    ours = probabilities[GRAIN_BOUNDARY]
    if ours < PREFERRED:
        rival = max(KINDS, key=lambda kind: probabilities[kind])
        # A rival may be behind and grain boundaries still fail to have half of all.
        than = f"{_WORDS[rival]} has {probabilities[rival]:.0%}, grain boundaries have {ours:.0%}"
        flags.append(Flag(code="not_preferred", text=f"the grain-boundary model is not preferred: {than}"))
    if other > PREFERRED:
        rival = max(NOT_DIFFUSIVE, key=lambda kind: probabilities[kind])
        text = f"not diffusive (probability {other:.0%}): it looks most like {_WORDS[rival]}"
        if scaling is not None and scaling.diffusive == "no":
            text += f"; fits: {scaling.reason}"
        flags.append(Flag(code="not_diffusive", text=text))
    # Where something else wins anyway, which of the other two comes second is of no interest.
    if still > NOT_EXCLUDED and ours >= PREFERRED:
        text = (
            f"a static sample is not excluded ({still:.0%} at even odds): nothing is surely seen to move in the window"
        )
        flags.append(Flag(code="static_not_excluded", text=text))
    return flags


def _checked(logits: ArrayLike, truth: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores = np.asarray(logits, dtype=np.float64)
    unknown = sorted(set(truth) - set(CLASSES))
    if unknown or scores.shape != (len(truth), len(CLASSES)) or not np.isfinite(scores).all() or len(set(truth)) < 2:
        raise InputError(
            f"logits of shape {scores.shape} for {len(truth)} scans of {len(set(truth))} classes"
            + (f", of which {', '.join(unknown)} are not known" if unknown else ""),
            needed=f"finite logits (n, {len(CLASSES)}) and n names of {', '.join(CLASSES)}, at least two different",
            action="correct the calibration set",
        )
    return scores, np.array([CLASSES.index(kind) for kind in truth])


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) of "not diffusive"."""
    other = probabilities[:, [CLASSES.index(kind) for kind in NOT_DIFFUSIVE]].sum(axis=1)
    return logit(np.clip(other, 1e-9, 1.0 - 1e-9))


def _extra_log_odds(odds: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """b that makes ``expit(odds + b)`` right on average, held near 0 by a normal prior of variance 1.

    Head and fits have seen the same data: only what the verdict adds to the head's own odds may count.
    """

    def slope(b: float) -> float:
        return float((truth - expit(odds + b)).sum() - b)

    return float(brentq(slope, -60.0, 60.0)) if len(odds) else 0.0
