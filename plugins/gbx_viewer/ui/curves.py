"""Curves beside a two-time map: over the lag at one age, over the age at one lag, and one-time g2 with its fit."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg

from gbx_beamline.figures.words import duration, time_unit
from gbx_viewer.model.maps import age_cut, lag_cut
from gbx_viewer.model.scan import Decay, TimeMap
from gbx_viewer.ui.plots import Note, dress, label, line, plain_plot
from gbx_viewer.ui.theme import Theme


class Curves(pg.GraphicsLayout):
    """Three plots above each other."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(border=None)
        self.setContentsMargins(0, 0, 0, 0)
        self.setSpacing(2)
        self._theme = theme
        self.over_lag = plain_plot(log_x=True)
        self.over_age = plain_plot()
        self.decay = plain_plot(log_x=True)
        for row, plot in enumerate((self.over_lag, self.over_age, self.decay)):
            self.addItem(plot, row, 0)
            plot.showGrid(x=True, y=True, alpha=0.15)
        self._notes = [Note(plot) for plot in (self.over_lag, self.over_age, self.decay)]
        self._lag_curve = self.over_lag.plot([], [])
        self._lag_levels = [pg.InfiniteLine(pos=level, angle=0) for level in (0.0, 1.0)]
        for level in self._lag_levels:
            self.over_lag.addItem(level, ignoreBounds=True)
        self._age_curve = self.over_age.plot([], [])
        self._here = pg.InfiniteLine(angle=90)
        self.over_age.addItem(self._here, ignoreBounds=True)
        self._bars = pg.ErrorBarItem(x=np.zeros(1), y=np.ones(1), height=np.zeros(1))
        self.decay.addItem(self._bars)
        self._points = self.decay.plot([], [], pen=None, symbol="o", symbolSize=6)
        self._fit = self.decay.plot([], [])
        self._baseline = pg.InfiniteLine(pos=1.0, angle=0)
        self.decay.addItem(self._baseline, ignoreBounds=True)
        self.dress(theme)

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        for plot in (self.over_lag, self.over_age, self.decay):
            dress(plot, theme)
        dashed = line(theme.quiet, width=1.0, dashed=True)
        for one in (*self._lag_levels, self._baseline):
            one.setPen(dashed)
        self._here.setPen(line(theme.accent, width=1.2))
        for curve in (self._lag_curve, self._age_curve):
            curve.setPen(line(theme.colour(0), width=2.0))
        self._lag_curve.setSymbol("o")
        self._lag_curve.setSymbolSize(5)
        self._lag_curve.setSymbolBrush(theme.colour(0))
        self._lag_curve.setSymbolPen(None)
        self._points.setSymbolBrush(theme.colour(0))
        self._points.setSymbolPen(None)
        self._bars.setData(pen=line(theme.colour(0), width=1.2))
        self._fit.setPen(line(theme.colour(1), width=2.4))
        label(self.over_lag, theme, x="lag τ (s)")
        label(self.decay, theme, x="lag τ (s)", y="one-time g2, baseline 1")

    def show_cuts(self, shown: TimeMap, t1: float, t2: float) -> None:
        """Cuts through a map at the cross-hair."""
        theme, divisible = self._theme, shown.kind == "g2" and shown.contrast > 0
        cut = lag_cut(shown, t1)
        values = (cut.values - shown.baseline) / shown.contrast if divisible else cut.values
        self._lag_curve.setData(cut.along, values)
        said = "f(τ; t1)" if divisible else "drift of g2" if shown.kind == "drift" else "g2(t1, t1 + τ)"
        label(self.over_lag, theme, y=said)
        self._notes[0].say(f"at age t1 = {duration(t1)}", theme)
        for level in self._lag_levels:
            level.setVisible(divisible or level.value() == 0.0)
        if divisible:
            low, high = _spread(values)
            self.over_lag.setYRange(min(low, -0.1), max(high, 1.1), padding=0.0)
        else:
            self.over_lag.enableAutoRange(axis="y")
        lag = max(abs(t2 - t1), shown.cell)
        cut = age_cut(shown, lag)
        unit, name = time_unit(shown.window)
        self._age_curve.setData(*_broken(cut.along / unit, cut.values), connect="finite")
        self._here.setValue(min(t1, t2) / unit)
        label(
            self.over_age,
            theme,
            x=f"age t1 ({name})",
            y="drift" if shown.kind == "drift" else "g2",
        )
        self._notes[1].say(f"at lag τ = {duration(lag)}", theme)

    def show_decay(self, decay: Decay | None) -> None:
        """One-time g2; nothing where there is none."""
        theme = self._theme
        if decay is None:
            self._points.setData([], [])
            self._fit.setData([], [])
            self._bars.setVisible(False)
            self._notes[2].say("one-time g2: no pair of frames so far", theme)
            return
        self._points.setData(decay.tau, decay.g2)
        known = np.isfinite(decay.error)
        self._bars.setVisible(bool(known.any()))
        if known.any():
            # The item knows no logarithmic axis.
            self._bars.setData(x=np.log10(decay.tau[known]), y=decay.g2[known], height=2 * decay.error[known])
        fitted = decay.fitted or ([], [])
        self._fit.setData(*fitted)
        trusted = decay.g2[known] if known.sum() > 1 else decay.g2
        low, high = _spread(np.concatenate([trusted, decay.fitted[1] if decay.fitted else trusted]))
        self.decay.setYRange(low, high, padding=0.08)
        self._notes[2].say(decay.said, theme)
        label(self.decay, theme, x="lag τ (s)", y="one-time g2, baseline 1")
        self.decay.getAxis("left").setToolTip(f"averaged as {decay.convention}")


def _broken(along: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with a break where time is missing: no line is drawn through a gap."""
    steps = np.diff(along)
    if not steps.size:
        return along, values
    gaps = np.flatnonzero(steps > 1.9 * np.median(steps)) + 1
    return np.insert(along, gaps, along[gaps - 1]), np.insert(values, gaps, np.nan)


def _spread(values: np.ndarray) -> tuple[float, float]:
    """Limits that a few points at the noisy ends do not set."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, (1.0, 99.0)))
    return (low, high) if high > low else (low - 1e-3, math.nextafter(low + 1e-3, math.inf))
