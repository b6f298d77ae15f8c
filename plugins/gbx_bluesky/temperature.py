"""The sample's temperature: a positioner that approaches its setpoint as a heated stage does."""

from __future__ import annotations

import math
import threading
import time
from typing import Any, cast

from ophyd import Component, Device, Signal
from ophyd.status import DeviceStatus

from gbx_beamline.errors import InputError, UnitError

LOWEST = 1.0
"""K. Below lies no temperature of this stage."""


class _Temperature(Signal):
    """A temperature in K, described with its unit."""

    def describe(self) -> Any:
        description = super().describe()
        description[self.name].update(units="K", dtype="number", dtype_numpy="<f8")
        return description


class _Readback(_Temperature):
    """Asks its stage, so that a reading is as old as the question."""

    def get(self, **_: Any) -> float:
        return self._stage.at(time.time())

    @property
    def _stage(self) -> SampleTemperature:
        return cast(SampleTemperature, self.parent)

    @property
    def timestamp(self) -> float:
        return time.time()

    def read(self) -> Any:
        now = time.time()
        return {self.name: {"value": self._stage.at(now), "timestamp": now}}

    def put(self, value: Any, **_: Any) -> None:
        raise InputError(
            f"a readback was told to be {value!r}",
            needed="a setpoint to be written",
            action=f"use {self._stage.name}.set({value!r})",
        )


class SampleTemperature(Device):
    """First-order approach ``T(t) = setpoint + (T_0 - setpoint) exp(-t / time_constant)``.

    The stage's clock runs ``acceleration`` times as fast as the wall's. ``set`` returns a Status that finishes
    when the readback is within ``tolerance`` of the setpoint. Reading starts no thread; one timer runs while moving.

    Args:
        temperature: Where the stage starts, K.
        time_constant: s of the stage's clock.
        tolerance: Half-width of "arrived", K.
        acceleration: Stage seconds per wall second.
        name: Prefix of the keys: ``<name>`` is the readback, ``<name>_setpoint`` the setpoint, both in K.
    """

    readback = Component(_Readback, kind="hinted")
    setpoint = Component(_Temperature, kind="normal")

    def __init__(
        self,
        prefix: str = "",
        *,
        temperature: float = 299.0,
        time_constant: float = 60.0,
        tolerance: float = 0.1,
        acceleration: float = 1000.0,
        name: str = "T_sample",
        **kwargs: Any,
    ) -> None:
        for what, value in (("time_constant", time_constant), ("tolerance", tolerance), ("acceleration", acceleration)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{what} is {value!r}", needed="a positive number", action=f"give {what} > 0")
        self.time_constant = time_constant
        self.tolerance = tolerance
        self.acceleration = acceleration
        # RLock: a Status callback may ask for the temperature while it is being set.
        self._lock = threading.RLock()
        self._origin = (time.time(), checked_temperature(temperature))
        self._target = self._origin[1]
        self._moving: tuple[DeviceStatus, threading.Timer] | None = None
        super().__init__(prefix, name=name, **kwargs)
        self.readback.name = self.name
        self.setpoint.put(self._target)

    def at(self, when: float) -> float:
        """Temperature in K at the wall time ``when`` (Unix s), for the present setpoint."""
        with self._lock:
            since, start = self._origin
            decay = math.exp(-max(0.0, when - since) * self.acceleration / self.time_constant)
            return self._target + (start - self._target) * decay

    def settling_time(self, setpoint: float) -> float:
        """s of the stage's clock from now until the readback is within tolerance of ``setpoint``."""
        distance = abs(self.at(time.time()) - setpoint)
        return self.time_constant * math.log(distance / self.tolerance) if distance > self.tolerance else 0.0

    def set(self, value: float) -> DeviceStatus:
        """Go to ``value`` K. A move under way is given up, its Status fails.

        Raises:
            UnitError: a value that cannot be in K.
        """
        target = checked_temperature(value)
        status = DeviceStatus(self)
        with self._lock:
            self._give_up(f"a new setpoint, {target:g} K")
            wait = self.settling_time(target) / self.acceleration
            now = time.time()
            self._origin = (now, self.at(now))
            self._target = target
            self.setpoint.put(target)
            if wait == 0.0:
                status.set_finished()
                return status
            # A hair longer than computed: at the very moment rounding could leave the readback outside.
            timer = threading.Timer(wait * 1.001, self._arrive, args=(status,))
            timer.daemon = True
            self._moving = (status, timer)
            timer.start()
        return status

    def stop(self, *, success: bool = False) -> None:
        """Hold the present temperature."""
        with self._lock:
            now = self.at(time.time())
            self._origin = (time.time(), now)
            self._target = now
            self.setpoint.put(now)
            self._give_up("a stop", success=success)

    def locate(self) -> dict[str, float]:
        """Setpoint and readback, K."""
        return {"setpoint": self._target, "readback": self.readback.get()}

    def _arrive(self, status: DeviceStatus) -> None:
        with self._lock:
            if self._moving is not None and self._moving[0] is status:
                self._moving = None
                status.set_finished()

    def _give_up(self, reason: str, *, success: bool = False) -> None:
        if self._moving is None:
            return
        status, timer = self._moving
        self._moving = None
        timer.cancel()
        if success:
            status.set_finished()
            return
        status.set_exception(
            InputError(
                f"{self.name} was interrupted by {reason}",
                needed="one move at a time",
                action="wait for the Status of a move before the next",
            )
        )


def checked_temperature(value: float) -> float:
    """``value`` as a float in K.

    Raises:
        UnitError: not a number, or so low that it must be in Celsius.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < LOWEST:
        raise UnitError(
            f"temperature {value!r}",
            needed=f"a number in K, at least {LOWEST:g}",
            action="give kelvin (Celsius + 273.15)",
        )
    return float(value)
