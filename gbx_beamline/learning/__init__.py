"""From two-time maps to D, gamma and lambda_GB, with belief: training, inference and evaluation.

The names below load on first use: importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.learning.contract import InputContract as InputContract
    from gbx_beamline.learning.contract import ScanInput as ScanInput
    from gbx_beamline.learning.contract import maps_input as maps_input
    from gbx_beamline.learning.contract import scan_input as scan_input
    from gbx_beamline.learning.parameters import ParameterBox as ParameterBox
    from gbx_beamline.learning.predictor import Model as Model
    from gbx_beamline.learning.predictor import load_model as load_model
    from gbx_beamline.learning.training import train as train

_HOMES = {
    "InputContract": "contract",
    "Model": "predictor",
    "ParameterBox": "parameters",
    "ScanInput": "contract",
    "load_model": "predictor",
    "maps_input": "contract",
    "scan_input": "contract",
    "train": "training",
}

__all__ = [
    "InputContract",
    "Model",
    "ParameterBox",
    "ScanInput",
    "load_model",
    "maps_input",
    "scan_input",
    "train",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
