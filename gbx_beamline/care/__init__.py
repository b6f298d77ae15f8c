"""Automatic care for real frames: what to leave out before correlating, what to warn of after.

``find_segments`` and ``judge_frames`` look at intensities, ``judge_pixels`` at time averages, ``check_motion`` at
block averages of the pixels and ``find_jumps`` at a two-time map. All work on plain arrays; what they leave out is
gathered in ``Exclusions``.
"""

from __future__ import annotations

from gbx_beamline.care._blocks import BlockAdder, BlockSums, block_sums
from gbx_beamline.care._frames import judge_frames
from gbx_beamline.care._jumps import find_jumps
from gbx_beamline.care._motion import check_motion
from gbx_beamline.care._movement import who_moved
from gbx_beamline.care._pixels import judge_pixels
from gbx_beamline.care._reflected import follow_beam
from gbx_beamline.care._scan import Care, care_for
from gbx_beamline.care._segments import find_segments
from gbx_beamline.care._timeline import FEWEST as FEWEST_FRAMES
from gbx_beamline.config import CareConfig
from gbx_beamline.records import Exclusions, FrameVerdict, Jump, JumpCheck, MotionCheck, PixelVerdict, Segment

__all__ = [
    "FEWEST_FRAMES",
    "BlockAdder",
    "BlockSums",
    "Care",
    "CareConfig",
    "Exclusions",
    "FrameVerdict",
    "Jump",
    "JumpCheck",
    "MotionCheck",
    "PixelVerdict",
    "Segment",
    "block_sums",
    "care_for",
    "check_motion",
    "find_jumps",
    "find_segments",
    "follow_beam",
    "judge_frames",
    "judge_pixels",
    "who_moved",
]
