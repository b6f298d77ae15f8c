"""Where a point lies in a map, from where its neighbours lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = 30
"""Of Weiszfeld's iteration for the geometric median; it is within 1e-3 of the map's size long before."""


def nearest(
    new: NDArray[np.float32], points: NDArray[np.float32], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(m, count) numbers of the nearest points, and (m, count) distances, rising."""
    squares = (new**2).sum(axis=1)[:, np.newaxis] + (points**2).sum(axis=1) - 2.0 * (new @ points.T)
    found = np.argpartition(squares, count - 1, axis=1)[:, :count]
    distances = np.linalg.norm(new[:, np.newaxis] - points[found], axis=2).astype(np.float64)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(distances, order, axis=1)


def smooth_weights(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, k) UMAP's weights of neighbours at these rising distances, 1 in total."""
    beyond = distances - distances[:, :1]
    target = np.log2(distances.shape[1])
    low, high = np.zeros((len(distances), 1)), np.maximum(beyond[:, -1:], np.finfo(np.float64).tiny) * 64.0
    for _ in range(40):
        sigma = (low + high) / 2.0
        more = np.exp(-beyond / sigma).sum(axis=1, keepdims=True) > target
        low, high = np.where(more, low, sigma), np.where(more, sigma, high)
    weights = np.exp(-beyond / high)
    return weights / weights.sum(axis=1, keepdims=True)


def geometric_median(places: NDArray[np.float64], weights: NDArray[np.float64], soft: float) -> NDArray[np.float64]:
    """(m, 2) points with the smallest weighted sum of distances to (m, k, 2) places (Weiszfeld 1937)."""
    middle = np.einsum("mk,mkd->md", weights, places)
    for _ in range(_STEPS):
        pull = weights / np.hypot(np.linalg.norm(places - middle[:, np.newaxis], axis=2), soft)
        middle = np.einsum("mk,mkd->md", pull, places) / pull.sum(axis=1, keepdims=True)
    return middle
