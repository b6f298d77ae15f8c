"""What a model says of an analysed scan."""

from __future__ import annotations

from gbx_beamline import __version__
from gbx_beamline.errors import ContractError, InputError
from gbx_beamline.records import Predictor, Refusal, ScanInference, ScanResult, TwoTime


def infer(
    result: ScanResult, predictor: Predictor, *, record: str = "", check: bool = True, seed: int = 0
) -> ScanInference:
    """What a model says of an analysed scan. A scan that it may not judge gets a refusal, with the reason.

    Args:
        result: of ``analyze``.
        predictor: the model, e.g. from ``load_model``.
        record: key of the correlation record, where it is in a catalog.
        check: simulate scans from the answer and compare, which takes some seconds.
        seed: same seed, same answer.
    """
    try:
        maps, temperature = to_be_judged(result)
        outcome = predictor.predict(maps, temperature, scaling=result.scaling, check=check, seed=seed)
    except InputError as error:
        outcome = Refusal(model_id=predictor.id, kind=type(error).__name__, reason=str(error))
    return ScanInference(
        record=record, scan=result.scan, outcome=outcome, package_version=__version__, seed=seed, checked=check
    )


def to_be_judged(result: ScanResult) -> tuple[TwoTime, float]:
    """What a model is told of a scan: the maps of the analysed segment, and its temperature in K.

    Raises:
        ContractError: the temperature is not known, or that of no state: it changed over the analysed frames.
    """
    tt = result.two_time
    first, last = result.analysed or (0, tt.g2.shape[-1])
    start, stop = first * tt.frames_per_cell, last * tt.frames_per_cell
    for part in result.exclusions.segments:
        if part.kind == "ramp" and part.start < stop and part.stop > start:
            low, high = part.temperature_range
            raise ContractError(
                f"the temperature changes from {low:.4g} to {high:.4g} K over the analysed frames",
                needed="a temperature that holds, which D and the friction belong to",
                action="measure at a hold, or widen analysis.traces.hold.within_k if it holds well enough",
            )
    if result.scan.temperature is None:
        raise ContractError(
            "the temperature of the scan is not known",
            needed="a temperature in K, which D and the friction depend on",
            action="record it with the run (start document: temperature in K, or T_sample in degrees Celsius), or name "
            "its stream in analysis.traces.channels",
        )
    return result.analysed_two_time, result.scan.temperature
