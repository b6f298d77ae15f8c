"""Several scans of one sample, taken together: what they say, how much they differ, whether they say enough."""

from gbx_beamline.repeats._aims import FEWEST, FIGURES, WIDTHS, Aim, Figure, Said
from gbx_beamline.repeats._averaging import average
from gbx_beamline.repeats._combining import combine
from gbx_beamline.repeats._judging import Judge, Judgement
from gbx_beamline.repeats._stored import Stored, average_of

__all__ = [
    "FEWEST",
    "FIGURES",
    "WIDTHS",
    "Aim",
    "Figure",
    "Judge",
    "Judgement",
    "Said",
    "Stored",
    "average",
    "average_of",
    "combine",
]
