"""A picture of features in two dimensions: UMAP, fitted once; new scans are placed in it in a millisecond.

UMAP (McInnes, Healy and Melville, arXiv:1802.03426) is fitted with a fixed seed and kept as features and coordinates,
so that nothing is unpickled and neither UMAP nor its compiler is loaded when a scan is placed. A new scan goes to the
weighted geometric median of its nearest neighbours' coordinates. The weights are UMAP's own, Eq. 1 and 2 there:
``exp(-(d - rho) / sigma)`` with rho the smallest distance and sigma such that they add up to log2 of the number of
neighbours. A median, because the mean of neighbours in two islands of the map lies in the water between them.

Positions in such a picture say which scans are alike. They are no measure of truth: see ``gbx evaluate``.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import DependencyError, InputError
from gbx_beamline.learning._embedding_places import geometric_median, nearest, smooth_weights
from gbx_beamline.learning._store_arrays import Arrays, read_arrays, write_arrays
from gbx_beamline.records import Place

__all__ = [
    "EMBEDDING_ARRAYS",
    "EMBEDDING_SETTINGS",
    "KINDS",
    "NEIGHBOURS",
    "Embedding",
    "Placed",
    "find_embedding",
    "fit_embedding",
    "picture_of",
]

logger = logging.getLogger(__name__)

EMBEDDING_ARRAYS = "embedding.safetensors"
EMBEDDING_SETTINGS = "embedding.json"
"""Names of the two files, in a model's folder or in one of their own."""

KINDS = ("simulation", "experiment")
"""What a point of the map is; ``Embedding.kind`` counts in this order."""

NEIGHBOURS = 15
"""That make the local shape: UMAP's own default."""

_VERSION = 1
_COMPONENTS = 32
"""Principal components that are kept: the rest of some hundred features is noise that costs bytes and time."""

_SOFT = 1e-3
"""Of the map's size: below it, distances in the map count as none."""


class Placed(NamedTuple):
    """Where scans lie in the map."""

    coordinates: NDArray[np.float32]
    """(m, 2)."""
    remoteness: NDArray[np.float32]
    """(m,) distance to the nearest point over the median of that distance among the map's own points: 1 is ordinary,
    10 is somewhere the map knows nothing about, whatever the coordinates."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """A fitted map."""

    coordinates: NDArray[np.float32]
    """(n, 2) of its points."""
    kind: NDArray[np.uint8]
    """(n,) what each point is, by its number in ``KINDS``."""
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """(n,) each: numbers to colour the points by, e.g. log10_diffusivity."""
    points: NDArray[np.float32]
    """(n, c) principal components of the features."""
    centre: NDArray[np.float32]
    """(d,) that features are freed of before projection."""
    projection: NDArray[np.float32]
    """(d, c) from centred features to principal components; divides by each feature's spread."""
    spacing: float
    """Median distance of a point to its nearest one."""
    neighbours: int
    seed: int

    def place(self, features: ArrayLike) -> Placed:
        """Places of new scans.

        Args:
            features: (m, d) or (d,), as the map was fitted to.

        Raises:
            InputError: another number of features, or some that are not finite.
        """
        found = _checked(features, self.centre.size)
        new = ((found - self.centre) @ self.projection).astype(np.float32)
        alike, distances = nearest(new, self.points, self.neighbours)
        places = self.coordinates[alike].astype(np.float64)
        coordinates = geometric_median(places, smooth_weights(distances), _SOFT * self.size)
        return Placed(coordinates.astype(np.float32), (distances[:, 0] / self.spacing).astype(np.float32))

    def place_of(self, features: ArrayLike) -> Place:
        """The place of one scan; arguments and errors as those of ``place``."""
        found = self.place(features)
        (x, y), remoteness = found.coordinates[0], found.remoteness[0]
        return Place(x=float(x), y=float(y), remoteness=float(remoteness))

    @property
    def size(self) -> float:
        """Root mean square distance of the points from their middle, in the map."""
        return float(np.sqrt(self.coordinates.var(axis=0, dtype=np.float64).sum()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What ``embedding.safetensors`` holds."""
        own = {name: getattr(self, name) for name in ("coordinates", "kind", "points", "centre", "projection")}
        return own | {f"column.{name}": values for name, values in self.columns.items()}

    def settings(self) -> dict[str, Any]:
        """What ``embedding.json`` holds."""
        return {
            "version": _VERSION,
            "kinds": list(KINDS),
            "columns": sorted(self.columns),
            "spacing": self.spacing,
            "neighbours": self.neighbours,
            "seed": self.seed,
        }

    @classmethod
    def of(cls, arrays: Arrays, settings: Mapping[str, Any]) -> Embedding:
        """The map of :meth:`arrays` and :meth:`settings`.

        Raises:
            InputError: of another version, or parts that do not fit together.
        """
        try:
            if (settings["version"], tuple(settings["kinds"])) != (_VERSION, KINDS):
                raise InputError(
                    f"an embedding of version {settings['version']}",
                    needed=f"version {_VERSION}",
                    action="use the release that wrote it, or fit it again",
                )
            found = cls(
                columns={name: arrays[f"column.{name}"] for name in settings["columns"]},
                **{name: arrays[name] for name in ("coordinates", "kind", "points", "centre", "projection")},
                **{name: settings[name] for name in ("spacing", "neighbours", "seed")},
            )
        except (KeyError, TypeError) as error:
            absent = f"without {error}" if isinstance(error, KeyError) else f"that says something else ({error})"
            raise InputError(f"an embedding {absent}", needed="all its parts", action="fit it again") from error
        if not found._fits():
            raise InputError(
                f"an embedding of {found.points.shape} points with coordinates {found.coordinates.shape}",
                needed="finite parts that fit together",
                action="fit it again",
            )
        return found

    def _fits(self) -> bool:
        """Whether a scan can be placed: files may say anything."""
        points = self.points.shape[:1]
        shapes = (
            self.points.ndim == 2
            and self.projection.shape == (self.centre.size, self.points.shape[1])
            and self.centre.ndim == 1
            and self.coordinates.shape == (*points, 2)
            and self.kind.shape == points
            and all(column.shape == points for column in self.columns.values())
        )
        numbers = (self.coordinates, self.points, self.centre, self.projection)
        finite = all(part.dtype.kind == "f" and bool(np.isfinite(part).all()) for part in numbers)
        spacing = isinstance(self.spacing, float) and 0.0 < self.spacing < np.inf
        counted = isinstance(self.neighbours, int) and 1 < self.neighbours <= len(self.points)
        return shapes and finite and spacing and counted and self.kind.dtype == np.uint8

    def save(self, folder: Path) -> None:
        """Write both files into a folder, which is made when absent.

        Raises:
            InputError: it cannot be written.
        """
        write_arrays(folder, {EMBEDDING_ARRAYS: self.arrays(), EMBEDDING_SETTINGS: self.settings()})

    @classmethod
    def load(cls, folder: Path) -> Embedding:
        """The map in a folder, which may be a model's.

        Raises:
            InputError: there is none, or one that cannot be read.
        """
        found = read_arrays(folder, (EMBEDDING_ARRAYS, EMBEDDING_SETTINGS))
        return cls.of(found[EMBEDDING_ARRAYS], found[EMBEDDING_SETTINGS])


def fit_embedding(
    features: ArrayLike,
    *,
    kind: ArrayLike | None = None,
    columns: Mapping[str, ArrayLike] | None = None,
    most: int = 2000,
    neighbours: int = NEIGHBOURS,
    seed: int = 42,
) -> Embedding:
    """Fit the map. Takes seconds, and as many again to compile UMAP on its first use in a process.

    Args:
        features: (n, d) of scans, e.g. a network's context vectors.
        kind: (n,) numbers of ``KINDS``; None: all simulated.
        columns: (n,) each, kept beside the points.
        most: points kept; where there are more, all experiments and a random choice of simulations.
        neighbours: how many make the local shape, in the fit and when placing.
        seed: of the choice and of UMAP.

    Raises:
        InputError: too few scans, features that are not finite or do not differ, columns of another length.
        DependencyError: umap-learn is absent.
    """
    values = np.asarray(features, dtype=np.float64)
    kinds = np.zeros(len(values), np.uint8) if kind is None else np.asarray(kind, dtype=np.uint8)
    named = {name: np.asarray(column, dtype=np.float32) for name, column in (columns or {}).items()}
    _refuse_misfits(values, {"kind": kinds, **named}, neighbours)
    chosen = _chosen(kinds, most, seed)
    centre, projection = _principal(values[chosen])
    points = ((values[chosen] - centre) @ projection).astype(np.float32)
    spacing = float(np.median(nearest(points, points, 2)[1][:, 1]))
    if spacing == 0.0:
        raise InputError(
            f"{len(points)} scans of which most have the same features",
            needed="scans that differ",
            action="leave repeated scans out",
        )
    return Embedding(
        coordinates=_umap(points, neighbours, seed),
        kind=kinds[chosen],
        columns={name: column[chosen] for name, column in named.items()},
        points=points,
        centre=centre.astype(np.float32),
        projection=projection.astype(np.float32),
        spacing=spacing,
        neighbours=neighbours,
        seed=seed,
    )


def find_embedding(folders: Sequence[Path]) -> Embedding | None:
    """The first map that there is in these folders (``ModelStore.findings``); None where there is none.

    Raises:
        InputError: one that cannot be read.
    """
    found = next((folder for folder in folders if (folder / EMBEDDING_SETTINGS).is_file()), None)
    return None if found is None else Embedding.load(found)


def picture_of(folders: Sequence[Path], features: int) -> Embedding | None:
    """The first map that there is, for a model of so many features. One that does not fit costs a picture, not an
    answer: it is left out with a word in the log."""
    try:
        found = find_embedding(folders)
    except (InputError, DependencyError) as error:
        logger.warning("no picture of similar scans: %s", error)
        return None
    if found is not None and found.centre.size != features:
        logger.warning("no picture of similar scans: it has %d features, the model %d", found.centre.size, features)
        return None
    return found


def _umap(points: NDArray[np.float32], neighbours: int, seed: int) -> NDArray[np.float32]:
    try:
        with warnings.catch_warnings():
            # It says on import that TensorFlow, which we do not use, is absent.
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ModuleNotFoundError as error:
        raise DependencyError(
            "the package 'umap-learn' is not installed",
            needed="the package's extra `learning`",
            action="install gbx-beamline[learning]",
        ) from error
    # One job: with more, the same seed would not give the same map.
    fitted = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit(points)
    return np.asarray(fitted.embedding_, dtype=np.float32)


def _checked(features: ArrayLike, width: int) -> NDArray[np.float32]:
    values = np.atleast_2d(np.asarray(features, dtype=np.float32))
    if values.ndim != 2 or values.shape[1] != width:
        raise InputError(
            f"features of shape {values.shape}",
            needed=f"(m, {width}), as the map was fitted to",
            action="use the embedding that belongs to the model",
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} features that are not finite",
            needed="finite features",
            action="leave such scans out",
        )
    return values


def _refuse_misfits(values: NDArray[np.float64], beside: Mapping[str, NDArray[Any]], neighbours: int) -> None:
    if values.ndim != 2 or len(values) <= 2 * neighbours:
        raise InputError(
            f"features of shape {values.shape}",
            needed=f"(n, d) of more than {2 * neighbours} scans",
            action="fit the map to more scans",
        )
    _checked(values, values.shape[1])
    for name, column in beside.items():
        if column.shape != (len(values),):
            raise InputError(f"{name} of shape {column.shape}", needed=f"({len(values)},)", action=f"correct {name}")
    if beside["kind"].max() >= len(KINDS):
        raise InputError(f"a kind {beside['kind'].max()}", needed=f"0 to {len(KINDS) - 1}", action="correct kind")


def _chosen(kinds: NDArray[np.uint8], most: int, seed: int) -> NDArray[np.intp]:
    """Numbers of the scans that are kept, rising."""
    rng = np.random.default_rng(seed)
    # Experiments come first, because there are few.
    order = np.argsort(kinds == KINDS.index("simulation"), kind="stable")
    experiments = int((kinds != KINDS.index("simulation")).sum())
    shuffled = np.concatenate([rng.permutation(order[:experiments]), rng.permutation(order[experiments:])])
    return np.sort(shuffled[:most])


def _principal(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(d,) mean and (d, c) projection of standardised features on their first principal components."""
    centre, spread = values.mean(axis=0), values.std(axis=0)
    if not spread.max() > 0:
        raise InputError(
            f"{len(values)} scans with the same features", needed="scans that differ", action="leave copies out"
        )
    # A feature that hardly moves must not be blown up to the size of the others.
    scale = np.maximum(spread, 1e-3 * spread.max())
    _, _, axes = np.linalg.svd((values - centre) / scale, full_matrices=False)
    return centre, axes[:_COMPONENTS].T / scale[:, np.newaxis]
