"""The service that analyses each scan by itself, `gbx serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from gbx_beamline.config._base import Strict

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]


class KafkaConfig(Strict):
    """Where the facility publishes its documents."""

    bootstrap_servers: Names
    topics: Names
    group_id: Annotated[str, Field(min_length=1)] = "gbx"
    """Services that share it share the runs."""
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further settings of librdkafka, by its names. Secrets come from the environment, never from here."""
    password_env: str | None = None
    """Variable that holds ``sasl.password``."""

    @field_validator("settings")
    @classmethod
    def _no_secrets(cls, value: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name in value:
            if "password" in name or name.endswith(".secret"):
                raise ValueError(
                    f"{name} is a secret: put it into the environment and name the variable as password_env"
                )
            if name in ("bootstrap.servers", "group.id"):
                raise ValueError(f"{name} has a key of its own, {name.replace('.', '_')}")
        return value


class TriggersConfig(Strict):
    """Who reports that a run has ended. What none of them reports, the sweep finds."""

    tiled: bool = True
    """The stream of the Tiled server."""
    kafka: KafkaConfig | None = None


class SweepConfig(Strict):
    """The search for finished runs without a record: the guarantee that no scan is forgotten."""

    every_s: Positive = 180.0
    """s between sweeps; there is one at the start, too."""
    days: Positive = 7.0
    """How old a run may be, by its start; older ones are for `gbx analyze`. A service that is new to a catalog analyses
    what it finds of these days."""


class RetryConfig(Strict):
    """What becomes of a scan whose analysis ends without a record."""

    tries: Annotated[int, Field(ge=1)] = 5
    """Before it is parked. The outage of a server counts for nothing."""
    first_s: Positive = 10.0
    """s before the second try; doubled from try to try, less up to half by chance."""
    longest_s: Annotated[float, Field(gt=0, le=1800)] = 600.0
    """s between two tries at most."""


class HealthConfig(Strict):
    """Where /health and /metrics answer."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """0 takes a free one; the log says which."""


class LiveConfig(Strict):
    """Analysis of scans while they run."""

    enabled: bool = False
    """True follows the data files of runs that a selection rule wants, and keeps a live record of each."""
    roots: tuple[Path, ...] = ()
    """Folders below which data files may lie, relative to the working folder. Paths come from start documents: one that
    leads elsewhere is never opened. None: the embedded catalog's folder of frames."""
    at_once: Annotated[int, Field(ge=1, le=8)] = 1
    """Runs followed at the same time; the newest win."""
    period_s: Annotated[float, Field(ge=0.05)] = 0.4
    """s between two revisions of a live record at least. Frames are never left out for want of time, revisions are."""
    stale_s: Positive = 120.0
    """s without a data file after which a run is not waited for any more; longer where a file takes long to fill."""
    max_memory_gib: Positive = 2.0
    """Ceiling for one run and rule. A live map is neither kept in files nor averaged: the live record of a longer scan
    says that it is refused, and it is analysed when it has ended."""


class ServeConfig(Strict):
    """`gbx serve`."""

    directory: Path = Path("gbx-data/serve")
    """Folder of queue, logs and embedded Prefect, on a local disk; relative to the working folder, because it is
    written into."""
    analyse: bool = True
    """False begins with analysis switched off: runs are collected until `gbx queue resume`."""
    deployment: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)] = "gbx-serve"
    """Name of the end-of-run deployment; on a Prefect server that others use, one of this beamline's own."""
    runner: bool = True
    """False leaves the deployment's flow runs to workers elsewhere."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    """Scans analysed at the same time; each uses all cores where it can."""
    longest_analysis_s: Positive = 3600.0
    """s after which an analysis is taken for hung: its runner is started anew, and it counts as a failed try."""
    keep_days: Positive = 30.0
    """How long the queue remembers what is done, and the embedded Prefect its flow runs."""
    live: LiveConfig = LiveConfig()
    triggers: TriggersConfig = TriggersConfig()
    sweep: SweepConfig = SweepConfig()
    retry: RetryConfig = RetryConfig()
    health: HealthConfig = HealthConfig()

    @model_validator(mode="after")
    def _remembers(self) -> ServeConfig:
        if self.keep_days <= self.sweep.days:
            raise ValueError(
                f"keep_days {self.keep_days:g} must be longer than sweep.days {self.sweep.days:g}, or the sweep brings "
                "back what was dropped"
            )
        return self
