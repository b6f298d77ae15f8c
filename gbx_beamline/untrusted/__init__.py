"""Limits for what others wrote: where their paths may lead, and how much their files may unpack to."""

from gbx_beamline.untrusted._files import LARGEST_TEXT, parse_json, read_bounded, read_json, read_yaml
from gbx_beamline.untrusted._numpy import UNREADABLE, check_numpy
from gbx_beamline.untrusted._paths import confined, lies_below

__all__ = [
    "LARGEST_TEXT",
    "UNREADABLE",
    "check_numpy",
    "confined",
    "lies_below",
    "parse_json",
    "read_bounded",
    "read_json",
    "read_yaml",
]
