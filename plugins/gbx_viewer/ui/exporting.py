"""Exporting what is on screen: figures, data, a report. Files of the user's own; nothing goes into a catalog."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, QPoint, QSize
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from gbx_beamline.errors import InputError
from gbx_beamline.figures.saving import write_whole

_SHARP = 2.0
"""Pixels of a PNG per pixel on the screen, where the screen has fewer."""


def png_of(widget: QWidget) -> bytes:
    """A widget as it looks now, at least twice as fine as a plain screen."""
    factor = max(_SHARP, widget.devicePixelRatioF())
    picture = QPixmap(QSize(round(widget.width() * factor), round(widget.height() * factor)))
    picture.setDevicePixelRatio(factor)
    widget.render(picture)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture.save(buffer, "PNG")
    return bytes(buffer.data().data())


def svg_of(widget: QWidget, title: str) -> bytes:
    """A widget as vectors."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(widget.size())
    generator.setViewBox(widget.rect())
    generator.setTitle(title)
    painter = QPainter(generator)
    widget.render(painter, QPoint())
    painter.end()
    return bytes(buffer.data().data())


def write(content: bytes | str, path: Path) -> Path:
    """Write a file whole or not at all. A dialog has asked before whether it may replace another.

    Raises:
        InputError: it cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder", needed="the name of a file", action="choose another name")
    return write_whole(content.encode() if isinstance(content, str) else content, path, overwrite=True)
