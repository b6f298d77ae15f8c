"""The model that infers: there, whole, and the one that was promoted."""

from __future__ import annotations

from collections.abc import Iterator

from gbx_beamline.config import Config
from gbx_beamline.errors import GbxError
from gbx_services.doctor.checking import Check, Level, bad, good, refused


def check_models(config: Config) -> Iterator[Check]:
    """Files against their hashes, the alias, a load, and frozen models."""
    from gbx_beamline.learning.kept import kept_model
    from gbx_beamline.learning.store import ModelStore
    from gbx_services.serve.checks import check_frozen

    if not config.models.infer:
        yield good("model", "none is asked (models.infer is false)")
        return
    store = ModelStore(config.models)
    try:
        stored = store.find()
        kept_model(stored, store)
    except GbxError as error:
        yield refused("model", error)
        return
    named = next((entry.aliases for entry in store.entries() if entry.id == stored.id), ())
    said = f"{stored.id} loads, its files have their hashes"
    if config.models.model == "default" and "default" not in named:
        found = f"{stored.id} is not the default"
        yield bad("model", found, "the promoted model", "see `gbx models list`", level=Level.WARNING)
    else:
        yield good("model", f"{said}; {', '.join(named) or 'named by its id'}")
    broken = [f"{entry.id} ({entry.problem})" for entry in store.entries() if entry.problem]
    if broken:
        found = f"cannot be used: {', '.join(broken)}"
        action = "restore them with `gbx restore`, or move their folders away"
        yield bad("models", found, "whole folders", action, level=Level.WARNING)
    try:
        check_frozen(config.models)
    except GbxError as error:
        yield refused("models: frozen", error)
    else:
        if config.models.frozen:
            yield good("models: frozen", f"{len(config.models.frozen)} proposals have theirs")
