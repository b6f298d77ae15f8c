"""Everything of a scan that tells of motion, brought to one verdict."""

from __future__ import annotations

from collections.abc import Sequence

from gbx_beamline.care import block_sums, follow_beam, who_moved
from gbx_beamline.config import CareConfig
from gbx_beamline.frames import Series
from gbx_beamline.records import Bools, JumpCheck, MotionCheck, Movement
from gbx_beamline.traces import Placed

BEAM_TRACES = ("beam_x", "beam_y")
"""Channels of ``analysis.traces`` that are the beam's position."""


def movement_of(
    series: Series,
    valid: Bools,
    motion: Sequence[MotionCheck],
    jumps: Sequence[JumpCheck],
    placed: Placed,
    settings: CareConfig,
) -> Movement | None:
    """Which of beam, sample and detector moved; None where motion is not looked for or pixels have no positions.

    Args:
        series: frames with the detector's own mask.
        valid: (N,) frames that count.
        motion: (Q,) of the q-ROIs.
        jumps: (Q,) of the q-ROIs.
        placed: side traces on the frames.
        settings: box of the reflected beam, and what counts as motion.
    """
    if not settings.applies("motion") or not motion:
        return None
    box = settings.reflected_beam
    beam = None if box is None else follow_beam(series, box, valid, blocks=settings.blocks)
    traces = {}
    for name in BEAM_TRACES:
        if (values := placed.get(name)) is not None:
            blocks = block_sums(values[:, None], valid=valid, blocks=settings.blocks)
            traces[name] = blocks.sums[:, 0] / blocks.frames
    return who_moved(motion, jumps, beam, traces, settings=settings)
