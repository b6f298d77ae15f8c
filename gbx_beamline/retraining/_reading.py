"""What a network makes of accepted scans, and the hash by which the same maps are known again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gbx_beamline import pipeline
from gbx_beamline.catalog import Member, load_record
from gbx_beamline.errors import CatalogUnreachableError, GbxError, InputError
from gbx_beamline.records import ScanFailure, ScanResult
from gbx_beamline.retraining._accepting import AcceptedScan

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog
    from gbx_beamline.learning.predictor import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """Accepted scans as a network sees them."""

    members: tuple[Member, ...]
    features: NDArray[np.float64]
    """(n, d) context vectors."""
    left_out: dict[str, str]
    """Scans that cannot be used, by run uid, each with the reason."""


def read_scans(catalog: Catalog, model: Model, scans: Sequence[AcceptedScan], told: Callable[[int, int], None]) -> Read:
    """Read the maps of accepted scans.

    Args:
        catalog: Where they are.
        model: whose network looks at them.
        scans: accepted.
        told: told (scans read, scans in all).

    Raises:
        CatalogUnreachableError: the catalog went away.
        InputError: no scan that the model may judge.
    """
    from gbx_beamline.learning._torch import one_thread
    from gbx_beamline.learning.contract import cell_maps

    members, features, left_out = [], [], dict[str, str]()
    with one_thread():
        for number, scan in enumerate(scans):
            told(number, len(scans))
            try:
                result = _result(catalog, scan.record)
                maps, temperature = pipeline.to_be_judged(result)
                cells = cell_maps(maps, temperature=temperature, contract=model.contract)
                seen = model.look([cells], samples=1)[0]
            except CatalogUnreachableError:
                raise
            except GbxError as error:
                left_out[scan.run_uid] = str(error)
                continue
            features.append(seen.context.astype(np.float64))
            members.append(
                Member(
                    run_uid=scan.run_uid,
                    record=scan.record,
                    sample=scan.sample,
                    sha256=hash_of(result),
                    why=scan.why,
                )
            )
    told(len(scans), len(scans))
    if not members:
        raise InputError(
            f"{len(scans)} accepted scans, none of which the model {model.id} may judge"
            + (f" ({next(iter(left_out.values()))})" if left_out else ""),
            needed="scans within the model's contract",
            action="look at `gbx models show default`, and withdraw what was accepted by mistake",
        )
    return Read(members=tuple(members), features=np.stack(features), left_out=left_out)


def hash_of(result: ScanResult) -> str:
    """sha256 of what a model is told of a scan: analysed maps, valid frames, frame time, q and temperature."""
    tt = result.analysed_two_time
    digest = hashlib.sha256()
    for array in (tt.g2, tt.valid_frames, tt.pixels, tt.mean_counts, tt.q_par):
        content = np.ascontiguousarray(np.empty(0) if array is None else array)
        digest.update(f"{content.dtype.str}{content.shape}".encode())
        digest.update(content.tobytes())
    digest.update(f"{tt.frame_time!r} {result.scan.temperature!r}".encode())
    return digest.hexdigest()


def _result(catalog: Catalog, key: str) -> ScanResult:
    outcome = load_record(catalog, key)
    if isinstance(outcome, ScanFailure):
        raise InputError(f"record {key}: {outcome.reason}", needed="an analysed scan", action="withdraw it")
    return outcome
