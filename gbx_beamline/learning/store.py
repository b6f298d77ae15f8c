"""The models of one place: those that come with the package, and those of a folder of one's own.

::

    <models.directory>/
      <id>/                 one model (see ``write_model``)
      evaluations/<id>/     what `gbx evaluate` found of a model: evaluation.json, embedding.*
      lineage.jsonl         who was promoted when, from what, and why

``default`` and ``candidate`` stand for whoever the lineage says. Where nothing was promoted, the default is the one
that comes with the package. Nothing is deleted: a rollback names an earlier model, whose folder is still there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gbx_beamline.config import ModelsConfig
from gbx_beamline.errors import InputError
from gbx_beamline.learning._store_description import ModelDescription, in_json
from gbx_beamline.learning._store_evaluations import EVALUATIONS, findings_of, read_evaluation, write_evaluation
from gbx_beamline.learning._store_files import PARTIAL
from gbx_beamline.learning._store_folder import DESCRIPTION, WEIGHTS, StoredModel, read_model
from gbx_beamline.learning._store_lineage import (
    LINEAGE,
    Event,
    Standing,
    append_event,
    read_lineage,
    standing_of,
    store_lock,
)
from gbx_beamline.learning._store_writing import copy_model, write_model
from gbx_beamline.learning.promotion import Verdict

__all__ = [
    "DESCRIPTION",
    "LINEAGE",
    "SHIPPED",
    "WEIGHTS",
    "Entry",
    "Event",
    "ModelDescription",
    "ModelStore",
    "StoredModel",
    "read_model",
    "write_model",
]

SHIPPED = Path(__file__).parent / "shipped"
"""Models that come with the package, a folder each, and ``aliases.json``, which names their default."""

ALIASES = ("default", "candidate")

Judge = Callable[[StoredModel, StoredModel | None], Verdict]
"""Compares a candidate with the default, where there is one."""


@dataclass(frozen=True)
class Entry:
    """One folder of the store, as a list shows it."""

    id: str
    folder: Path
    shipped: bool
    """It came with the package."""
    aliases: tuple[str, ...]
    description: ModelDescription | None
    """None where the folder is no model that can be used."""
    problem: str
    """Why not; empty where it is."""


class ModelStore:
    """Models by alias, id or folder.

    Args:
        settings: where models lie.
        shipped: where those of the package lie; None = in the package.
    """

    def __init__(self, settings: ModelsConfig | None = None, *, shipped: Path | None = None) -> None:
        self._settings = settings or ModelsConfig()
        self.directory = self._settings.directory
        self._shipped = SHIPPED if shipped is None else shipped

    def find(self, name: str | Path | None = None) -> StoredModel:
        """The model that ``name`` means, every file compared with its hash.

        Args:
            name: an alias, an id or the beginning of one, or a folder: a ``Path``, or a text with a separator in it.
                None = as configured.

        Raises:
            InputError: nobody is meant, or the folder cannot be believed.
        """
        chosen = self._settings.model if name is None else name
        if isinstance(chosen, Path) or "/" in chosen:
            return read_model(Path(chosen))
        return _named(read_model(self._folder(self.resolve(chosen))))

    def resolve(self, name: str) -> str:
        """id of the model that an alias, an id or the beginning of one stands for.

        Raises:
            InputError: it stands for none, or for several.
        """
        if name in ALIASES:
            return self._aliased(name)
        known = [identity for identity, _folder in self._folders()]
        fitting = [identity for identity in known if identity == name] or [
            identity for identity in known if identity.startswith(name)
        ]
        if len(fitting) != 1:
            meant = f"stands for {', '.join(fitting)}" if fitting else f"is none of the {len(known)} known here"
            raise InputError(
                f"the model {name!r} {meant}",
                needed=f"default, candidate, or the id of one model in {self.directory} or in the package",
                action="see `gbx models list`; a folder is named by its path, with a / in it",
            )
        return fitting[0]

    def entries(self) -> tuple[Entry, ...]:
        """Every folder of both places, the package's first; what cannot be used is listed with its reason."""
        standing = self.standing()
        names = {"default": self.default_id(standing), "candidate": standing.candidate}
        return tuple(
            self._entry(identity, folder, tuple(alias for alias, who in names.items() if who == identity))
            for identity, folder in self._folders()
        )

    def lineage(self) -> tuple[Event, ...]:
        """All promotions, oldest first.

        Raises:
            InputError: the file was tampered with.
        """
        return read_lineage(self.directory)

    def standing(self) -> Standing:
        """Who was promoted and is in force."""
        return standing_of(self.lineage())

    def default_id(self, standing: Standing | None = None) -> str | None:
        """id of the default; None where nothing was promoted and the package brings none."""
        now = standing or self.standing()
        return now.defaults[-1] if now.defaults else self._shipped_default()

    def add(self, model: StoredModel) -> StoredModel:
        """Copy a model into the store, whole or not at all; one that is there already stays as it is.

        Raises:
            InputError: it cannot be written, or what is there under this id is damaged.
        """
        with store_lock(self.directory):
            return self._added(model)

    def name_candidate(self, name: str | Path, *, why: str) -> Event:
        """Let ``candidate`` mean this model. It passes no gate: nothing uses a candidate unasked.

        Raises:
            InputError: as :meth:`find`, or another process is changing the store.
        """
        model = self.find(name)
        with store_lock(self.directory):
            self._added(model)
            before = self.standing().candidate
            return append_event(self.directory, action="candidate", model=model.id, replaces=before, why=why)

    def promote(self, name: str | Path, judge: Judge) -> tuple[Event | None, Verdict]:
        """Let ``default`` mean this model, where the judge lets it pass.

        The judge is heard while the store is held: nobody can become default between the comparison and the change.

        Args:
            name: as of :meth:`find`.
            judge: the gate.

        Returns:
            The new line of the lineage, None where the gate is closed; and what the gate said.

        Raises:
            InputError: as :meth:`find`; the model is default already; another process is changing the store.
        """
        model = self.find(name)
        with store_lock(self.directory):
            reigning = self.default_id()
            if reigning == model.id:
                raise InputError(
                    f"{model.id} is default already", needed="another model", action="see `gbx models list`"
                )
            rival, why = self._rival(reigning)
            verdict = judge(model, rival)
            if not verdict.passed:
                return None, verdict
            self._added(model)
            event = append_event(
                self.directory,
                action="promote",
                model=model.id,
                replaces=reigning,
                why=why,
                gate=in_json(verdict.in_json()),
            )
            return event, verdict

    def rollback(self, *, why: str) -> Event:
        """Let ``default`` mean the model that it meant before the last promotion that still stands.

        No gate: it has been default before.

        Raises:
            InputError: nothing was promoted, or the earlier model cannot be used any more.
        """
        with store_lock(self.directory):
            standing = self.standing()
            if not standing.defaults:
                raise InputError(
                    f"nothing was promoted in {self.directory}, or all of it is rolled back",
                    needed="a promotion to take back",
                    action="see `gbx models list`",
                )
            earlier = self.default_id(Standing(defaults=standing.defaults[:-1]))
            if earlier is None:
                raise InputError(
                    f"{standing.defaults[-1]} is the first default there was",
                    needed="a model to go back to",
                    action="promote another one: `gbx models promote ID`",
                )
            read_model(self._folder(earlier))
            return append_event(
                self.directory, action="rollback", model=earlier, replaces=standing.defaults[-1], why=why
            )

    def evaluation(self, model: StoredModel) -> dict[str, Any] | None:
        """What `gbx evaluate` found of a model, the newest; None where it was never evaluated.

        Raises:
            InputError: a file that is no evaluation of this model.
        """
        return read_evaluation(self.directory, model)

    def keep_evaluation(self, model: StoredModel, report: Mapping[str, Any]) -> Path:
        """Keep what was found of a model, in place of an earlier evaluation.

        Returns:
            The file.

        Raises:
            InputError: it cannot be written.
        """
        return write_evaluation(self.directory, model, report)

    def findings(self, model: StoredModel) -> tuple[Path, Path]:
        """Folders with what was found of a model after its training: the one to write into, and the model's own, where
        findings lie that came with it."""
        return findings_of(self.directory, model)

    def _aliased(self, alias: str) -> str:
        standing = self.standing()
        found = self.default_id(standing) if alias == "default" else standing.candidate
        if found is None:
            raise InputError(
                f"no model is {alias}: none was promoted in {self.directory}"
                + (", and none comes with the package" if alias == "default" else ""),
                needed=f"a {alias} model",
                action=f"`gbx models promote ID{'' if alias == 'default' else ' --to candidate'}`; "
                "`gbx train` makes models",
            )
        return found

    def _rival(self, reigning: str | None) -> tuple[StoredModel | None, str]:
        """The default that a candidate must not be worse than, and why it may be promoted then."""
        if reigning is None:
            return None, "the first default"
        try:
            return read_model(self._folder(reigning)), "no worse than the default in any measure of the gate"
        except InputError as error:
            # A default that nobody can load must not keep its place for ever.
            return None, f"the default could not be used: {error}"

    def _shipped_default(self) -> str | None:
        path = self._shipped / "aliases.json"
        return json.loads(path.read_bytes())["default"] if path.is_file() else None

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """Ids and folders, each id once: the package's copy is the one that cannot have been changed here."""
        seen: set[str] = set()
        for root in (self._shipped, self.directory):
            for folder in sorted(root.iterdir()) if root.is_dir() else ():
                if folder.name in seen or folder.name.startswith(".") or folder.name == EVALUATIONS:
                    continue
                if folder.is_dir():
                    seen.add(folder.name)
                    yield folder.name, folder

    def _folder(self, identity: str) -> Path:
        folder = dict(self._folders()).get(identity)
        if folder is None:
            raise InputError(
                f"the folder of model {identity} is gone from {self.directory}",
                needed="it, because the lineage names it",
                action="restore it from a backup, or `gbx models rollback`, or promote another model",
            )
        real = folder.resolve()
        if real.parent not in (self._shipped.resolve(), self.directory.resolve()):
            raise InputError(
                f"{folder} is a link to {real}, outside the store",
                needed="a folder of the store itself",
                action="copy the folder in place of the link",
            )
        return folder

    def _entry(self, identity: str, folder: Path, aliases: tuple[str, ...]) -> Entry:
        description, problem = None, ""
        try:
            description = _named(read_model(self._folder(identity), verify=False)).description
        except InputError as error:
            problem = str(error)
        return Entry(identity, folder, folder.parent == self._shipped, aliases, description, problem)

    def _added(self, model: StoredModel) -> StoredModel:
        for left in self.directory.glob(f".*{PARTIAL}"):
            shutil.rmtree(left, ignore_errors=True)
        there = dict(self._folders()).get(model.id)
        return _named(read_model(self._folder(model.id))) if there else copy_model(model, self.directory)


def _named(model: StoredModel) -> StoredModel:
    """The model, refused where its folder bears another name: ids are found by the names of folders."""
    if model.folder.name != model.id:
        raise InputError(
            f"the folder {model.folder} holds the model {model.id}",
            needed="a folder named after its model",
            action="rename the folder",
        )
    return model
