"""Model folders: damaged, changed, and changed with hashes that fit."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

from fuzzing.values import damage, mutate_value


def write_model(draw: random.Random, folder: Path) -> Path:
    """A model of either family, with a file damaged or changed; now and then its hashes are made to fit."""
    source = draw.choice((_shipped, _shipped, _of_paper))(folder.parent)
    place = folder / source.name
    shutil.copytree(source, place)
    description = place / "model.json"
    victim = draw.choice(sorted(place.iterdir()))
    match draw.randrange(6):
        case 0:
            victim.unlink()
            victim.symlink_to(
                draw.choice(("/dev/zero", "../../../outside/secret.h5", victim.name, "/proc/self/environ"))
            )
        case 1 | 2:
            changed = mutate_value(draw, json.loads(description.read_bytes()))
            description.write_text(_as_text(changed))
            _refit(draw, place)
        case 3:
            _safetensors_header(draw, victim if victim.suffix == ".safetensors" else place / "weights.safetensors")
            _refit(draw, place)
        case _:
            damage(draw, victim)
            if draw.random() < 0.7:
                _refit(draw, place)
    return place


def _shipped(_: Path) -> Path:
    from gbx_beamline.learning.store import ModelStore

    return ModelStore().find().folder


def _of_paper(folder: Path) -> Path:
    """One of the paper's family that was never trained, made once for a folder."""
    from gbx_beamline.learning.paper.model import FAMILY, PaperModel, Surrogate
    from gbx_beamline.learning.paper.networks import PaperNetwork, SurrogateNetwork
    from gbx_beamline.learning.paper.scales import SScale, TargetScale
    from gbx_beamline.learning.store import write_model as keep

    found = next((folder / "paper").glob("*"), None)
    if found is None:
        surrogate = Surrogate(SurrogateNetwork(), SScale(0.1, 0.9), "corrected")
        model = PaperModel("new", PaperNetwork(), TargetScale(), size=16, resize="area", surrogate=surrogate)
        made = {"training": {}, "data": {}, "seeds": {}, "metrics": {}}
        found = keep(
            folder / "paper", family=FAMILY, name="paper-new", weights=model.state(), **made, **model.about()
        ).folder
    return found


def _as_text(value: Any) -> str:
    """JSON; of what is nested more deeply than it can be written, something as deep."""
    try:
        return json.dumps(value, default=str)
    except RecursionError:
        return "[" * 3000 + "]" * 3000


def _safetensors_header(draw: random.Random, path: Path) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    try:
        header = _as_text(mutate_value(draw, json.loads(content[8 : 8 + length]))).encode()
    except ValueError:
        header = b"{}"
    size = draw.choice((len(header), len(header), 2**62, 0, length))
    path.write_bytes(size.to_bytes(8, "little") + header + content[8 + length :])


def _refit(draw: random.Random, place: Path) -> None:
    """Hashes and id as if the folder had been written so."""
    from gbx_beamline.learning._store_description import digest_of

    try:
        told = json.loads((place / "model.json").read_bytes())
        for name, facts in told["files"].items():
            content = (place / name).read_bytes()
            facts["sha256"], facts["bytes"] = hashlib.sha256(content).hexdigest(), len(content)
        told["id"] = f"{told['id'].rsplit('-', 1)[0]}-{digest_of(told)}"
        (place / "model.json").write_text(json.dumps(told))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def read_folder(path: Path, root: Path) -> None:
    """As the runner does before the first scan, or who compares both families."""
    from gbx_beamline.learning.paper.model import load_paper_model
    from gbx_beamline.learning.predictor import load_model

    (load_paper_model if path.name.startswith("paper") else load_model)(path)
