"""Models that stay in memory from scan to scan."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from gbx_beamline.learning.store import ModelStore, StoredModel

if TYPE_CHECKING:
    from gbx_beamline.learning.predictor import Model

MOST = 4
"""Models in memory; the one that was asked longest ago goes first. A model has a few MB."""

_models: OrderedDict[str, Model] = OrderedDict()
_lock = threading.Lock()


def kept_model(stored: StoredModel, store: ModelStore) -> Model:
    """A model, with what the store has found of it, built once in this process; errors as ``load_model``.

    An id holds a digest of the folder's description, and with it the hash of every file; whoever found the model
    (``ModelStore.find``) has compared them. So what is in memory under an id is what lies in the folder, a folder that
    was damaged meanwhile has been refused, and a promotion has led to another id.
    """
    from gbx_beamline.learning.predictor import model_of

    with _lock:
        if stored.id not in _models:
            _models[stored.id] = model_of(stored, store.findings(stored))
        _models.move_to_end(stored.id)
        while len(_models) > MOST:
            _models.popitem(last=False)
        return _models[stored.id]
