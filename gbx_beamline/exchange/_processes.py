"""What NXxpcs has no word for, as NXprocess groups: S_noneq, fits, inference."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from gbx_beamline.exchange._hdf5 import field, group, texts
from gbx_beamline.exchange._record import ANGSTROM, WholeRecord
from gbx_beamline.records import PARAMETERS, Inference, Refusal, ScanInference

PARAMETER_UNITS = {"diffusivity": "m^2/s", "gamma": "J s m^-4", "gb_fraction": "1"}


def write_s_noneq(entry: h5py.Group, record: WholeRecord) -> None:
    """S_noneq of each q-ROI with intervals, the drift behind it, and the windows of age."""
    found = record.result.nonequilibrium
    process = group(entry, "s_noneq", "NXprocess")
    _head(process, record.result.provenance.package_version, 2)
    parameters = group(process, "parameters", "NXparameters", model="S_noneq (Eq. 1-3)")
    for name, units in (
        *(("s_noneq", "1"), ("s_noneq_norm", "1"), ("drift_rms_over_contrast", "1"), ("contrast", "1")),
        *(("cell", "s"), ("window", "s"), ("frames_per_cell", "count"), ("min_pairs", "count")),
    ):
        field(parameters, name, [getattr(one, name) for one in found], units)
    texts(parameters, "status", [one.status for one in found])
    corrected = [one.corrected for one in found]
    for name in ("value", "low", "high", "drift_rms_over_contrast", "drift_rms_over_contrast_high"):
        field(parameters, f"corrected_{name}", [_number(one, name) for one in corrected], "1")
    for part in ("ageing", "intermittent"):
        for end in ("value", "low", "high"):
            values = [np.nan if one is None else getattr(getattr(one, part), end) for one in corrected]
            field(parameters, f"corrected_{part}_{end}", values, "1")
    texts(parameters, "corrected_status", [one.corrected_status for one in found])
    field(parameters, "interval", "low..high: 95 % confidence, statistical, of this realisation")
    data = group(process, "drift", "NXdata", signal="drift", axes=["q_roi", "t1", "t2"])
    field(data, "drift", np.stack([one.drift for one in found]), "1")
    field(data, "tti", np.stack([one.tti for one in found]), "1", description="mean of g2 along each diagonal")
    time = record.result.analysed_start + np.arange(found[0].drift.shape[-1]) * found[0].cell
    field(data, "q_roi", np.arange(1, len(found) + 1), "1")
    field(data, "t1", time, "s")
    field(data, "t2", time, "s")


def write_kinetics(entry: h5py.Group, record: WholeRecord) -> None:
    """Stretched exponentials of each q-ROI and window of age, and how the relaxation time goes with q."""
    fits, scaling = record.result.kinetics, record.result.scaling
    process = group(entry, "kinetics", "NXprocess")
    _head(process, record.result.provenance.package_version, 3)
    parameters = group(
        process, "parameters", "NXparameters", model="baseline + contrast * exp(-2 (tau / relaxation_time)^exponent)"
    )
    field(parameters, "q_roi", [fit.roi + 1 for fit in fits], "1")
    for position, name in enumerate(("window_start", "window_stop")):
        field(parameters, name, [fit.window[position] for fit in fits], "s")
    for name, units in (("contrast", "1"), ("relaxation_time", "s"), ("exponent", "1"), ("baseline", "1")):
        field(parameters, name, [getattr(fit, name) for fit in fits], units)
        errors = [fit.errors.get(name) for fit in fits]
        field(parameters, f"{name}_error", [np.nan if error is None else error for error in errors], units)
    texts(parameters, "status", [fit.status for fit in fits])
    if scaling is None:
        return
    law = group(process, "scaling", "NXparameters", model="relaxation_time = tau(reference_q) (q / reference_q)^-n")
    field(law, "exponent", scaling.exponent, "1", error=scaling.error)
    field(law, "exponent_interval", scaling.interval, "1", level=0.95)
    field(law, "reference_q", scaling.reference_q * ANGSTROM, "1/angstrom")
    field(law, "relaxation_time", scaling.relaxation_time, "s")
    field(law, "diffusivity", scaling.diffusivity, "m^2/s", error=scaling.diffusivity_error)
    field(law, "diffusive", scaling.diffusive)
    field(law, "reason", scaling.reason)


def write_inference(entry: h5py.Group, said: ScanInference, number: int) -> None:
    """What one model says: posterior and flags, or why it would not."""
    process = group(entry, f"inference_{number}", "NXprocess")
    _head(process, said.package_version, 3 + number)
    parameters = group(process, "parameters", "NXparameters", model=said.model_id)
    field(parameters, "model_id", said.model_id)
    outcome = said.outcome
    if isinstance(outcome, Refusal):
        field(parameters, "refusal", outcome.reason, description=outcome.kind)
        return
    _write_posterior(parameters, outcome)
    _write_samples(process, outcome)
    if outcome.probabilities:
        kinds = group(process, "kinds_of_dynamics", "NXparameters", model="probability of each kind of dynamics")
        for kind, probability in outcome.probabilities.items():
            field(kinds, kind, probability, "1")


def _write_posterior(parameters: h5py.Group, outcome: Inference) -> None:
    for name in PARAMETERS:
        estimate, units = outcome.parameters[name], PARAMETER_UNITS[name]
        field(parameters, name, estimate.median, units, description="median of the posterior")
        field(parameters, f"{name}_low", estimate.low, units)
        field(parameters, f"{name}_high", estimate.high, units)
    field(parameters, "level", outcome.level, "1", description="of the intervals low..high")
    texts(parameters, "flag_codes", [flag.code for flag in outcome.flags])
    texts(parameters, "flags", [flag.text for flag in outcome.flags])
    texts(parameters, "notes", outcome.notes)
    field(parameters, "temperature", outcome.temperature, "K", description="that the model was told")
    field(parameters, "q", outcome.q * ANGSTROM, "1/angstrom", description=f"of the q-ROIs; {outcome.q_convention}")
    if outcome.ood_score is not None:
        field(parameters, "ood_score", outcome.ood_score, "1", description="share of simulated scans less odd")


def _write_samples(process: h5py.Group, outcome: Inference) -> None:
    posterior = group(process, "posterior", "NXdata", signal="samples", axes=["sample", "parameter"])
    field(posterior, "samples", outcome.samples, description="SI units, as in ../parameters")
    field(posterior, "sample", np.arange(len(outcome.samples)))
    texts(posterior, "parameter", PARAMETERS)


def _head(process: h5py.Group, version: str, order: int) -> None:
    field(process, "program", "GBX")
    field(process, "version", version)
    field(process, "sequence_index", order)


def _number(record: Any, name: str) -> float:
    return np.nan if record is None else getattr(record, name)
