"""The commissioning suite on a beamline without beam: the same plans, with samples whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from numpy.typing import NDArray
from ophyd import Signal

from gbx_beamline.commissioning import BOUNDARIES, COLLOID, STATIC, stokes_einstein
from gbx_beamline.config import Config, GeometryConfig
from gbx_beamline.geometry import overlay, q_maps
from gbx_beamline.records import Geometry
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement
from gbx_bluesky.commissioning import colloid, marked, static_reference
from gbx_bluesky.commissioning_feeds import BehindAttenuators
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ConfigurableFeed
from gbx_bluesky.grain_boundary_feed import GrainBoundaryFeed, GrainBoundaryTable
from gbx_bluesky.plans import Plan, count_series
from gbx_bluesky.simulated_chx import detector_mask
from gbx_bluesky.speckle_feed import Relaxation, RelaxationTable, SpeckleFeed
from gbx_bluesky.temperature import SampleTemperature
from gbx_bluesky.traces import SideTraces, SmoothTraces

STATIC_SAMPLE, COLLOID_SAMPLE, BOUNDARY_SAMPLE = "static reference", "colloid", "grain boundaries"
"""Names of the samples, which configs/commission.yaml knows."""

_BEAM_DRIVEN = "colloid driven by the beam"
_ROOM_TEMPERATURE = 298.15
_AT_REST = 1e-15
"""1/s: a decay of the field that no scan sees."""
_SPECKLE_SIZE = 2.0


@dataclass(frozen=True)
class Scan:
    """One thing to be measured."""

    title: str
    trial: str
    plan: Callable[[], Plan]
    """Makes the plan; it yields one run for each of ``frames``."""
    frames: tuple[int, ...]
    """Of each run."""


class SimulatedSuite:
    """Detector, attenuators and samples of the suite.

    Args:
        config: ``commissioning.simulated`` and, for the geometry of each sample, ``analysis``.
        directory: Folder for the detector's files.
        campaign: Name of this commissioning.
        watcher: Told of each simulated frame.
    """

    def __init__(self, config: Config, directory: Path, campaign: str, watcher: Callable[[int], None]) -> None:
        self._config = config
        self._simulated = config.commissioning.simulated
        self._directory = directory
        self._campaign = campaign
        self._watcher = watcher

    def scans(self, trials: Collection[str]) -> Iterator[Scan]:
        """What must be measured for some trials, in the order of the suite."""
        told, settings = self._simulated, self._simulated.colloid
        if STATIC in trials:
            frames = (told.frames,) * len(told.static_transmissions)
            yield Scan("static reference", STATIC, self._static, frames)
        if COLLOID in trials:
            frames = (settings.frames,) * len(settings.transmissions)
            yield Scan("colloid", COLLOID, self._colloid, frames)
        if "attenuation_beam" in trials:
            frames = (settings.frames,) * len(settings.transmissions)
            yield Scan("colloid driven by the beam", "attenuation_beam", self._driven, frames)
        if BOUNDARIES in trials:
            yield Scan("grain boundaries", BOUNDARIES, lambda: self._boundaries(BOUNDARIES), (told.frames,))
        if "static_background" in trials:
            name = "static_background"
            yield Scan("grain boundaries, background", name, lambda: self._boundaries(name), (told.frames,))

    def _static(self) -> Plan:
        told = self._simulated
        devices = self._devices(STATIC_SAMPLE, told.geometry, self._at_rest, _ROOM_TEMPERATURE)
        return static_reference(
            campaign=self._campaign,
            frames=told.frames,
            frame_time=told.frame_time_s,
            sample=STATIC_SAMPLE,
            transmissions=list(told.static_transmissions),
            **devices,
        )

    def _at_rest(self, q: NDArray[np.float64], transmission: float, _run: int) -> ConfigurableFeed:
        # One spot, so one seed: the same speckles at every transmission.
        table = RelaxationTable({_ROOM_TEMPERATURE: Relaxation(rate=_AT_REST, q_reference=4e8)})
        return self._speckles(q, table, transmission, seed=0)

    def _colloid(self) -> Plan:
        settings = self._simulated.colloid
        devices = self._devices(
            COLLOID_SAMPLE, settings.geometry, self._diffusing(driven=False), settings.temperature_k
        )
        return colloid(
            campaign=self._campaign,
            radius=settings.radius_nm * 1e-9,
            viscosity=settings.viscosity_pa_s,
            liquid_temperature=settings.temperature_k,
            frames=settings.frames,
            frame_time=settings.frame_time_s,
            sample=COLLOID_SAMPLE,
            transmissions=list(settings.transmissions),
            **devices,
        )

    def _driven(self) -> Plan:
        settings = self._simulated.colloid
        made = self._devices(_BEAM_DRIVEN, settings.geometry, self._diffusing(driven=True), settings.temperature_k)
        attenuators = made.pop("attenuators")
        uids = []
        for value in settings.transmissions:
            yield from bps.mv(attenuators, value)
            expected = {"driven_by": "beam drives it"}
            said = marked(self._campaign, "attenuation_beam", f"transmission {value:g}", expected)
            uid = yield from count_series(
                frames=settings.frames,
                frame_time=settings.frame_time_s,
                sample=_BEAM_DRIVEN,
                transmission=value,
                md={"commissioning": said},
                **made,
            )
            uids.append(uid)
        return tuple(uids)

    def _diffusing(self, *, driven: bool) -> Callable[[NDArray[np.float64], float, int], ConfigurableFeed]:
        settings = self._simulated.colloid
        diffusivity = stokes_einstein(settings.temperature_k, settings.viscosity_pa_s, settings.radius_nm * 1e-9)
        q_reference = 5e7

        def made(q: NDArray[np.float64], transmission: float, run: int) -> ConfigurableFeed:
            rate = diffusivity * q_reference**2 * (transmission if driven else 1.0)
            table = RelaxationTable({settings.temperature_k: Relaxation(rate=rate, q_reference=q_reference)})
            return self._speckles(q, table, transmission, seed=(20 if driven else 10) + run)

        return made

    def _boundaries(self, trial: str) -> Plan:
        told, point = self._simulated, self._simulated.boundaries
        behind = trial != BOUNDARIES
        kelvin = point.temperature_k
        sample = GrainBoundary(
            gamma=point.gamma_js_m4,
            diffusivity=point.diffusivity_m2_s,
            gb_fraction=point.gb_fraction,
            temperature=kelvin,
            bow=self._config.demo.bow_nm * 1e-9,
            boundaries=self._config.demo.boundaries,
        )

        def made(q: NDArray[np.float64], transmission: float, _run: int) -> ConfigurableFeed:
            seen = Measurement(
                frames=told.frames,
                frame_time=told.frame_time_s,
                contrast=(1.0 / told.coherence_modes,),
                mean_counts=(told.mean_counts * transmission,),
                speckle_size=_SPECKLE_SIZE,
                static_fraction=(told.static_background if behind else 0.0,),
            )
            # One seed for both: the same boundaries, with and without what never moves.
            mask = detector_mask((q.shape[0], q.shape[1]))
            return GrainBoundaryFeed(
                q, GrainBoundaryTable({kelvin: sample}), seen, seed=told.seed + 30, pixel_mask=mask
            )

        devices = self._devices(BOUNDARY_SAMPLE, told.geometry, made, kelvin)
        devices.pop("attenuators")
        part = "with background" if behind else "the scan"
        uid = yield from count_series(
            frames=told.frames,
            frame_time=told.frame_time_s,
            sample=BOUNDARY_SAMPLE,
            md={"commissioning": marked(self._campaign, trial, part, {})},
            **devices,
        )
        return (uid,)

    def _speckles(
        self, q: NDArray[np.float64], table: RelaxationTable, transmission: float, *, seed: int
    ) -> ConfigurableFeed:
        told = self._simulated
        return SpeckleFeed(
            q,
            table,
            modes=told.coherence_modes,
            mean_counts=told.mean_counts * transmission,
            seed=told.seed + seed,
            speckle_size=_SPECKLE_SIZE,
            pixel_mask=detector_mask((q.shape[0], q.shape[1])),
        )

    def _devices(
        self,
        sample: str,
        at: GeometryConfig,
        made: Callable[[NDArray[np.float64], float, int], ConfigurableFeed],
        kelvin: float,
    ) -> dict[str, Any]:
        """Detector, attenuators, stage and traces around a sample."""
        settings = self._config.for_sample(sample)
        geometry = overlay(Geometry(shape=self._simulated.shape, flip_y=True), at)
        q = np.abs(q_maps(overlay(geometry, settings.geometry)).q_par)
        attenuators = Signal(name="attenuators", value=1.0)
        stage: Any = SampleTemperature(temperature=kelvin, name="T_sample")
        feed = BehindAttenuators(
            lambda transmission, run: made(q, transmission, run), attenuators, watcher=self._watcher
        )
        detector: Any = SimulatedEiger(directory=self._directory, feed=feed, geometry=geometry)
        traces: Any = SideTraces(SmoothTraces(seed=self._simulated.seed), temperature=stage, name="traces")
        return {"detector": detector, "attenuators": attenuators, "temperature": stage, "traces": traces}
