"""What learning needs of torch: that it is there, its threads, and networks with stored weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from gbx_beamline.errors import DependencyError, InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

NEEDED = ("torch", "zuko", "safetensors")


def check_torch() -> None:
    """Refuse before any work.

    Raises:
        DependencyError: a package is absent.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise DependencyError(
            f"{', '.join(absent)} not installed",
            needed="the package's extra `learning`",
            action="install gbx-beamline[learning]",
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """torch and numpy on one thread while the context lasts: networks as small as ours gain nothing from more, and lose
    much when they wait for each other on cores that others use. Nor would scans that are simulated here be those of
    processes that simulate, which have one: sums over threads round differently."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Arrays as a network takes them."""
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def fill(network: nn.Module, weights: Mapping[str, Tensor], model_id: str) -> None:
    """Give a network the weights of a model.

    Raises:
        InputError: they are of another network.
    """
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"the weights of model {model_id} do not fit its network ({' '.join(str(error).split())[:200]})",
            needed="weights of the network that model.json describes",
            action="restore the folder from where it came, or choose another model (`gbx models list`)",
        ) from error
