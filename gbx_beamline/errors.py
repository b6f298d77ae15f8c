"""Everything GBX raises on purpose.

::

    GbxError                     what was found; what was needed; what to do next
    ├── InputError               the data cannot be analysed as they are
    │   ├── SeriesError          a frame series: truncated, empty, wrong type
    │   │   └── MissingFramesError   data files that the master names are absent
    │   ├── GeometryError        a quantity is absent or impossible
    │   ├── RoiError             a q-ROI is empty, masked, off the detector or misshapen
    │   ├── UnitError            a number that only makes sense in another unit
    │   ├── MapError             a two-time map that is none
    │   └── ContractError        a scan that a model's input contract does not cover
    ├── ConfigError              configs/*.yaml
    ├── CatalogError             Tiled
    │   ├── CatalogUnreachableError
    │   ├── AccessDeniedError
    │   ├── RunNotFoundError
    │   ├── RunUnfinishedError
    │   └── SchemaError          a record written by another schema version
    ├── ServiceError             a process of ours that did not start or died
    │   └── BusyError            somebody else is doing what only one may do
    └── DependencyError          an optional package is absent

Every message is one sentence in three parts, because at 3 am the reader needs the third.
"""

from __future__ import annotations


class GbxError(Exception):
    """Base of all errors that GBX raises on purpose.

    Args:
        found: What was there, with the offending value.
        needed: What the code needs instead.
        action: What the reader can do about it.
    """

    def __init__(self, found: str, *, needed: str, action: str) -> None:
        self.found = found
        self.needed = needed
        self.action = action
        super().__init__(f"{found}; needed: {needed}; {action}.")

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling between Prefect's processes.
        return (_rebuild, (type(self), self.found, self.needed, self.action))


def _rebuild(cls: type[GbxError], found: str, needed: str, action: str) -> GbxError:
    return cls(found, needed=needed, action=action)


class InputError(GbxError):
    """The data cannot be analysed as they are."""


class SeriesError(InputError):
    """A frame series that is truncated, empty or of the wrong type."""


class MissingFramesError(SeriesError):
    """Data files that the master names are absent."""


class GeometryError(InputError):
    """A geometric quantity is absent or impossible."""


class RoiError(InputError):
    """A q-ROI is empty, fully masked, off the detector or misshapen."""


class UnitError(InputError):
    """A number that only makes sense in another unit."""


class MapError(InputError):
    """Not a two-time map."""


class ContractError(InputError):
    """A scan that the input contract of a model does not cover."""


class ConfigError(GbxError):
    """A configuration file is wrong."""


class CatalogError(GbxError):
    """The Tiled catalog said no."""


class CatalogUnreachableError(CatalogError):
    """No Tiled server answers."""


class AccessDeniedError(CatalogError):
    """The Tiled server refuses the key."""


class RunNotFoundError(CatalogError):
    """No run or record of this uid."""


class RunUnfinishedError(CatalogError):
    """The run has no stop document in the catalog yet."""


class SchemaError(CatalogError):
    """A record written by a schema version that this release cannot read."""


class ServiceError(GbxError):
    """A process of ours did not start, or died."""


class BusyError(ServiceError):
    """Somebody else is doing what only one may do at a time."""


class DependencyError(GbxError):
    """An optional package is absent."""


def unforeseen(said: str) -> InputError:
    """What the record of a scan says whose analysis raised an error that nobody foresaw.

    Args:
        said: Type and message of that error.
    """
    return InputError(
        f"the analysis broke down: {said}",
        needed="an analysis that ends",
        action="report it with this run's uid; the log has the traceback",
    )
