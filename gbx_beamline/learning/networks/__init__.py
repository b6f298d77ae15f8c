"""Networks of the GBX family. Loads torch."""

from __future__ import annotations

from gbx_beamline.learning.networks._settings import NetworkSettings
from gbx_beamline.learning.networks.density import PosteriorNetwork
from gbx_beamline.learning.networks.encoder import RoiBatch, ScanEncoder

__all__ = ["NetworkSettings", "PosteriorNetwork", "RoiBatch", "ScanEncoder"]
