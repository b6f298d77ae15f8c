"""A model is a folder, believed only as far as its hashes reach.

::

    <id>/
      model.json            what it is; sha256 and size of every other file that is loaded
      weights.safetensors   arrays; nothing is ever unpickled
      *.safetensors, *.json what the family keeps beside: belief, embedding
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning._store_arrays import RESTORE, arrays_in, json_in
from gbx_beamline.learning._store_description import FORMAT, FORMAT_VERSION, ModelDescription, digest_of
from gbx_beamline.learning._store_files import inside, said_in_words
from gbx_beamline.learning._store_parts import part_of
from gbx_beamline.untrusted import read_json

DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class StoredModel:
    """A model folder whose description has been read and found consistent."""

    folder: Path
    description: ModelDescription

    @property
    def id(self) -> str:
        """Names the model everywhere."""
        return self.description.id

    def of_family(self, family: str) -> ModelDescription:
        """Its description.

        Raises:
            InputError: it is of another family.
        """
        if self.description.family != family:
            raise InputError(
                f"model {self.id} is of the family {self.description.family!r}",
                needed=f"the family {family!r}",
                action="choose another model (`gbx models list`)",
            )
        return self.description

    def weights(self) -> dict[str, NDArray[Any]]:
        """Arrays of the network, as they were stored.

        Raises:
            InputError: the file is absent or is not the one that ``model.json`` describes.
        """
        return self.arrays(WEIGHTS)

    def arrays(self, file: str) -> dict[str, NDArray[Any]]:
        """Arrays of one of the folder's safetensors files.

        Args:
            file: its name in ``description.files``.

        Raises:
            InputError: as :meth:`weights`, or the model has no such file.
        """
        return arrays_in(self.content(file), self.folder / file)

    def json(self, file: str) -> Any:
        """Content of one of the folder's JSON files; errors as :meth:`arrays`."""
        return json_in(self.content(file), self.folder / file)

    def verify(self) -> None:
        """Read every file and compare it with ``model.json``.

        Raises:
            InputError: the first that differs.
        """
        for file in self.description.files:
            self.content(file)

    def content(self, file: str) -> bytes:
        """Bytes of one of the folder's files, compared with ``model.json``; errors as :meth:`arrays`."""
        facts = self.description.files.get(file)
        if facts is None:
            raise InputError(
                f"model {self.id} has no {file}",
                needed=f"one of {', '.join(sorted(self.description.files))}",
                action="use a model that was trained with it",
            )
        path = inside(self.folder, file)
        with said_in_words(path, action=RESTORE):
            # One byte more than there should be tells enough: a larger file is not to fill the memory.
            with path.open("rb") as opened:
                content = opened.read(facts.bytes + 1)
            size = path.stat().st_size
        found = hashlib.sha256(content).hexdigest()
        if found != facts.sha256:
            raise InputError(
                f"{path} has the sha256 {found[:12]}... and {size:,} bytes",
                needed=f"{facts.sha256[:12]}... and {facts.bytes:,} bytes, as {DESCRIPTION} says",
                action=f"do not use it: the file was changed or damaged; {RESTORE}",
            )
        return content


def read_model(folder: Path, *, verify: bool = True) -> StoredModel:
    """Open a model folder.

    Args:
        folder: of one model.
        verify: False leaves the content of the big files unread: for lists.

    Raises:
        InputError: no model folder, a foreign format or version, an id that does not belong to the content, or a file
            that is absent, outside the folder or not the one described.
    """
    content = _read_description(folder)
    description = part_of(ModelDescription, content, f"{folder / DESCRIPTION}: a description")
    expected = digest_of(description.model_dump(mode="json"))
    if not description.id.endswith(f"-{expected}"):
        raise InputError(
            f"{folder / DESCRIPTION} was changed after it was written: its id is {description.id}",
            needed=f"an id that ends in {expected}, as the rest of the file makes it",
            action=f"do not use it: contract, network or hashes may be false; {RESTORE}",
        )
    if WEIGHTS not in description.files:
        raise InputError(f"{folder / DESCRIPTION} names no {WEIGHTS}", needed="one", action=RESTORE)
    for file in description.files:
        path = inside(folder, file)
        if not path.is_file():
            raise InputError(f"{path} is missing", needed=f"it, as {DESCRIPTION} says", action=RESTORE)
    model = StoredModel(folder, description)
    if verify:
        model.verify()
    return model


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not folder.is_dir():
        raise InputError(
            f"no folder {folder}", needed="a model folder", action="check the path, or see `gbx models list`"
        )
    try:
        content = read_json(inside(folder, DESCRIPTION))
        found = (content["format"], content["format_version"])
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no {DESCRIPTION}",
            needed="a model folder",
            action="check the path: `gbx train --out DIR` says where it leaves its model",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not describe a model", needed="what GBX writes", action=RESTORE) from error
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", needed="a readable file", action="check its permissions"
        ) from error
    if found != (FORMAT, FORMAT_VERSION):
        raise InputError(
            f"{path} is of format {found[0]} {found[1]}",
            needed=f"{FORMAT} {FORMAT_VERSION}",
            action="use the release of GBX that wrote it, or train the model again with this one",
        )
    return content
