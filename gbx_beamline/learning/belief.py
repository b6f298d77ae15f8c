"""Why to believe an answer, or not: calibrated intervals, what is undetermined, what is unlike everything known.

A ``Belief`` belongs to one model and is stored with it: ``Belief.from_state(arrays, box)`` from the arrays of a
safetensors file, ``to_state()`` the inverse. The predictor (``learning/predictor.py``) asks it three things:

- ``intervals(samples)``: median and 90 % interval of each parameter, conformally corrected;
- ``compare(logits, scaling=...)``: which kind of dynamics, see ``competing``;
- ``assess(context=..., samples=..., comparison=..., predictions=...)``: ``(flags, ood_score)``, flags in plain words.

``check_prediction`` (simulate from the answer and compare, about 10 ms for each simulated scan and q-ROI) is its own
step because it costs more than the inference; its result goes into ``assess``. Parts that have not been calibrated yet
are None, and the flags say so.

After training, ``Familiarity.fit`` takes context vectors of simulated scans (and of others held out), ``Accepted.fit``
those of accepted experiments, ``ClassCalibration.fit`` logits of scans of known kind; ``with_parts`` puts them in.
Then ``calibrated`` fits intervals and limits on the answers to a calibration suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning._belief_conformal import Conformal, conformal_quantile
from gbx_beamline.learning._belief_familiarity import FEWEST_ACCEPTED, Accepted, Familiarity
from gbx_beamline.learning._belief_flags import (
    DOUBTS,
    doubted,
    not_calibrated,
    prediction_flags,
    undetermined_flags,
    unlike_experiments,
    unlike_simulations,
)
from gbx_beamline.learning._belief_prediction import Prediction, check_prediction, statistics
from gbx_beamline.learning._belief_width import LIMITS, Choice, Width, choose_limits, undetermined, width_of
from gbx_beamline.learning.competing import ClassCalibration, Comparison, compare
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.records import PARAMETERS, Flag, Scaling

__all__ = [
    "DOUBTS",
    "FEWEST_ACCEPTED",
    "Accepted",
    "Assessment",
    "Belief",
    "Choice",
    "Conformal",
    "Familiarity",
    "Prediction",
    "Width",
    "check_prediction",
    "choose_limits",
    "conformal_quantile",
    "doubted",
    "statistics",
    "undetermined",
    "width_of",
]

UNLIKELY = 0.01
"""p-value at which a scan is unlike the simulations: one simulated scan in a hundred is called so."""

UNLIKELY_ACCEPTED = 0.05
"""The same against the accepted experiments, of which there are few."""

LIKELY_STATIC = 0.5
"""Probability of a static sample, at even odds, that a determined D does not speak against."""

LEVEL = 0.9
"""Of intervals, where no calibration says another."""


class Assessment(NamedTuple):
    """What is to be known before an answer is believed."""

    flags: tuple[Flag, ...]
    """Empty: nothing speaks against it."""
    ood_score: float | None
    """Share of simulated scans that are less strange, 0..1; None where no simulations are stored."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Belief:
    """What one model's answers are worth."""

    box: ParameterBox
    classes: ClassCalibration
    limits: NDArray[np.float64]
    """(3,) widths, relative to the prior's, from which a parameter is undetermined."""
    familiarity: Familiarity | None = None
    accepted: Accepted | None = None
    conformal: Conformal | None = None
    grouped: Conformal | None = None
    """Of answers that shots of one sample give together; they are narrower, and wrong in other ways."""

    @classmethod
    def untested(cls, box: ParameterBox | None = None) -> Belief:
        """Of a model that was not calibrated yet: every answer carries "not_calibrated"."""
        return cls(
            box=box or ParameterBox(),
            classes=ClassCalibration.untested(),
            limits=np.full(len(PARAMETERS), LIMITS),
        )

    def with_parts(
        self,
        *,
        classes: ClassCalibration | None = None,
        limits: ArrayLike | None = None,
        familiarity: Familiarity | None = None,
        accepted: Accepted | None = None,
        conformal: Conformal | None = None,
        grouped: Conformal | None = None,
    ) -> Belief:
        """A copy with these parts replaced; None keeps what there is."""
        return replace(
            self,
            classes=classes or self.classes,
            limits=self.limits if limits is None else np.asarray(limits, dtype=np.float64),
            familiarity=familiarity or self.familiarity,
            accepted=accepted or self.accepted,
            conformal=conformal or self.conformal,
            grouped=grouped or self.grouped,
        )

    def calibrated(
        self,
        samples: ArrayLike,
        truth: ArrayLike,
        *,
        bounds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        level: float = LEVEL,
    ) -> tuple[Belief, Choice | None]:
        """With intervals, and limits of "undetermined", that hold on scans of known truth.

        Args:
            samples: (n, m, 3) of each scan's posterior, SI.
            truth: (n, 3) SI.
            bounds: (n, 3) Cramér-Rao bound with free nuisances over the prior's standard deviation, both of u; None
                leaves the limits as they are.
            groups: (n,) sample of each scan.
            level: of the intervals.

        Returns:
            The belief, and what its limits do on these scans; None without bounds.

        Raises:
            InputError: arrays that do not fit together.
        """
        conformal = Conformal.fit(
            self.nominal(samples, level), self.box.to_u(truth), self.box, level=level, groups=groups
        )
        if bounds is None:
            return self.with_parts(conformal=conformal), None
        choice = choose_limits(width_of(self.box.to_u(samples), self.box), bounds)
        return self.with_parts(conformal=conformal, limits=choice.limits), choice

    def calibrated_groups(
        self, samples: ArrayLike, truth: ArrayLike, groups: ArrayLike, *, level: float = LEVEL
    ) -> Belief:
        """With intervals of group inference that hold on samples of known truth.

        Args:
            samples: (n, m, 3) of the posterior that each scan has given the others of its sample, SI.
            truth: (n, 3) SI.
            groups: (n,) sample of each scan.
            level: of the intervals.

        Raises:
            InputError: arrays that do not fit together.
        """
        found = self.nominal(samples, level)
        return self.with_parts(grouped=Conformal.fit(found, self.box.to_u(truth), self.box, level=level, groups=groups))

    def intervals(
        self, samples: ArrayLike, level: float | None = None, *, grouped: bool = False
    ) -> NDArray[np.float64]:
        """Median and interval of each parameter, corrected where a calibration is stored.

        Args:
            samples: (n, 3) of the posterior, SI, or (..., n, 3).
            level: of the interval; None is the calibration's, or 0.9.
            grouped: they are the answer of several scans of one sample.

        Returns:
            (..., 3 parameters, 3) low, median and high, SI.

        Raises:
            InputError: another level than the one that was calibrated, or no samples.
        """
        conformal = self.grouped if grouped else self.conformal
        wanted = level if level is not None else LEVEL if conformal is None else conformal.level
        if conformal is not None and abs(wanted - conformal.level) > 1e-9:
            raise InputError(
                f"intervals of level {wanted:g}",
                needed=f"{conformal.level:g}, which this model was calibrated for",
                action="leave level out, or take quantiles of the samples, which are not calibrated",
            )
        quantiles = self.nominal(samples, wanted)
        corrected = quantiles if conformal is None else conformal.stretch(quantiles, self.box)
        return np.swapaxes(self.box.to_physical(np.swapaxes(corrected, -1, -2)), -1, -2)

    def nominal(self, samples: ArrayLike, level: float = LEVEL) -> NDArray[np.float64]:
        """(..., 3, 3) low, median and high in u as the network gives them: what ``Conformal.fit`` takes.

        Args:
            samples: (..., n, 3) of the posterior, SI.
            level: of the interval.

        Raises:
            InputError: no samples, or a level outside 0..1.
        """
        u = self.box.to_u(samples)
        if u.ndim < 2 or u.shape[-1] != len(PARAMETERS) or not u.shape[-2] or not 0.0 < level < 1.0:
            raise InputError(
                f"samples of shape {u.shape}, level {level}",
                needed="(n, 3) samples and a level between 0 and 1",
                action="correct them",
            )
        tail = 0.5 * (1.0 - level)
        return np.moveaxis(np.quantile(u, [tail, 0.5, 1.0 - tail], axis=-2), 0, -1)

    def compare(self, logits: ArrayLike, *, scaling: Scaling | None = None) -> Comparison:
        """Which kind of dynamics one scan shows; see ``competing.compare``.

        Args:
            logits: (K,) of the model's head.
            scaling: the classical fits of the scan's record, where there are any.
        """
        return compare(logits, self.classes, scaling=scaling)

    def assess(
        self,
        *,
        context: ArrayLike | None = None,
        samples: ArrayLike,
        comparison: Comparison | None = None,
        predictions: Sequence[Prediction] = (),
        grouped: bool = False,
    ) -> Assessment:
        """Everything that there is to say about one answer, the gravest first.

        Args:
            context: (d,) context vector of the scan; None where the model has none.
            samples: (n, 3) of the posterior, SI.
            comparison: from ``compare``.
            predictions: from ``check_prediction``.
            grouped: the samples are the answer of several scans of one sample.

        Returns:
            ``(flags, ood_score)``.

        Raises:
            InputError: samples or a context of another shape, or too few samples.
        """
        flags: list[Flag] = []
        score = None
        if context is not None and self.familiarity is not None:
            score, said = self._strangeness(self.familiarity, context)
            flags += said
        values = np.asarray(samples, dtype=np.float64)
        width = width_of(self.box.to_u(values), self.box)
        unknown = undetermined(width, self.limits)
        if comparison is not None:
            # A D that is determined is a decay that was seen; the head may still be in doubt.
            moving = not unknown[0] and comparison.static < LIKELY_STATIC
            flags += [flag for flag in comparison.flags if not (moving and flag.code == "static_not_excluded")]
        flags += prediction_flags(predictions)
        flags += undetermined_flags(unknown, width, self.intervals(values, grouped=grouped))
        if (self.grouped if grouped else self.conformal) is None:
            flags.append(not_calibrated())
        return Assessment(tuple(flags), score)

    def _strangeness(self, familiarity: Familiarity, context: ArrayLike) -> tuple[float, list[Flag]]:
        features = np.asarray(context, dtype=np.float64)[None]
        p_value = float(familiarity.p_values(features)[0])
        flags = [unlike_simulations(p_value)] if p_value <= UNLIKELY else []
        if self.accepted is not None:
            among = float(self.accepted.p_values(familiarity.scaled(features))[0])
            if among <= UNLIKELY_ACCEPTED:
                flags.append(unlike_experiments(among, len(self.accepted.references)))
        return 1.0 - p_value, flags

    def to_state(self) -> dict[str, NDArray[np.floating]]:
        """Arrays for safetensors, "part.name" each."""
        parts: dict[str, Mapping[str, NDArray[np.floating]]] = {
            "box": {"bounds": np.stack([self.box.low, self.box.high], axis=1)},
            "classes": self.classes.to_state(),
            "width": {"limits": self.limits},
        }
        for name in ("familiarity", "accepted", "conformal", "grouped"):
            part = getattr(self, name)
            if part is not None:
                parts[name] = part.to_state()
        return {
            f"{part}.{name}": np.ascontiguousarray(array)
            for part, arrays in parts.items()
            for name, array in arrays.items()
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.floating]]) -> Belief:
        """The inverse of ``to_state``.

        Raises:
            InputError: arrays are missing or unknown.
        """
        parts: dict[str, dict[str, NDArray]] = {}
        for key, array in state.items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = np.asarray(array)
        try:
            bounds = parts["box"]["bounds"]
            return cls(
                box=ParameterBox(*(tuple(pair) for pair in bounds.astype(np.float64).tolist())),
                classes=ClassCalibration.from_state(parts["classes"]),
                limits=np.asarray(parts["width"]["limits"], dtype=np.float64),
                familiarity=Familiarity.from_state(parts["familiarity"]) if "familiarity" in parts else None,
                accepted=Accepted.from_state(parts["accepted"]) if "accepted" in parts else None,
                conformal=Conformal.from_state(parts["conformal"]) if "conformal" in parts else None,
                grouped=Conformal.from_state(parts["grouped"]) if "grouped" in parts else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"arrays of a belief that cannot be read ({type(error).__name__}: {error})",
                needed="those that Belief.to_state wrote",
                action="restore the model's folder from where it came from",
            ) from error
