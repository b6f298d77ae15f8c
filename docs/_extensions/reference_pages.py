"""Reference pages made from the code at build time: settings, records and public names.

Used inside ``{eval-rst}``, because docstrings are reStructuredText::

    .. gbx-configuration::          every key of a configs/*.yaml, from the pydantic models
    .. gbx-records::                the dataclasses of gbx_beamline.records
    .. gbx-versions::               numbers of schema and algorithm
    .. gbx-public:: gbx_beamline    classes and functions in a module's __all__
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from configuration_tables import KeyRow, configuration_sections, label_of
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import gbx_beamline
from gbx_beamline import records


def attribute_docs(cls: type) -> dict[str, str]:
    """What stands under each attribute of a class in its source, by name; bases first."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0].startswith("gbx_"):
            found = ModuleAnalyzer.for_module(base.__module__).find_attr_docs()
            docs |= {
                name: " ".join(lines).strip() for (owner, name), lines in found.items() if owner == base.__qualname__
            }
    return docs


def as_restructured_text(text: str) -> str:
    """``|q|`` and ``configs/*.yaml`` as people write them, which reStructuredText takes for markup."""
    return re.sub(r"\|(\w+)\|", r"\\|\1\\|", text).replace("/*", r"/\*")


class _Generated(SphinxDirective):
    """Sections and tables out of reStructuredText snippets."""

    has_content = False

    def section(self, title: str, label: str, text: str) -> nodes.section:
        """A section with a title that is code, and a first paragraph."""
        section = nodes.section(ids=[label], names=[label])
        section += nodes.title("", "", nodes.literal(text=title))
        section.extend(self.parsed(text))
        return section

    def parsed(self, text: str) -> list[nodes.Node]:
        """Nodes of a docstring."""
        return self.parse_text_to_nodes(as_restructured_text(text)) if text else []

    def table(self, head: Iterable[str], rows: Iterable[Iterable[str]], widths: Iterable[int]) -> nodes.table:
        """A table whose cells are reStructuredText."""
        widths = list(widths)
        group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in widths], cols=len(widths))
        group += nodes.thead("", self._row([nodes.paragraph(text=title)] for title in head))
        group += nodes.tbody("", *[self._row(self.parsed(cell) for cell in row) for row in rows])
        return nodes.table("", group, classes=["table", "gbx-reference"])

    @staticmethod
    def _row(cells: Iterable[Iterable[nodes.Node]]) -> nodes.row:
        return nodes.row("", *[nodes.entry("", *cell) for cell in cells])


class ConfigurationDirective(_Generated):
    """``gbx-configuration``: a section for each part of the configuration."""

    def run(self) -> list[nodes.Node]:
        """One section a model, in the order in which they are met."""
        return [self._section(*section) for section in configuration_sections(attribute_docs)]

    def _section(self, path: str, model: type, rows: list[KeyRow]) -> nodes.section:
        title = path or "top level"
        section = self.section(title, label_of(path), inspect.getdoc(model) or "")
        section += self.table(
            ("key", "value", "default", "meaning"),
            ((f"``{row.key}``", row.value, row.default, row.meaning) for row in rows),
            (16, 26, 14, 44),
        )
        return section


class RecordsDirective(_Generated):
    """``gbx-records``: a section for each record."""

    def run(self) -> list[nodes.Node]:
        """One section a dataclass, in alphabetical order."""
        return [self._section(name, cls) for name, cls in _dataclasses_of(records)]

    def _section(self, name: str, cls: type) -> nodes.section:
        docs = attribute_docs(cls)
        section = self.section(name, f"record-{name.lower()}", inspect.getdoc(cls) or "")
        section += self.table(
            ("field", "type", "meaning"),
            ((f"``{field.name}``", f"``{field.type}``", docs.get(field.name, "")) for field in dataclasses.fields(cls)),
            (20, 28, 52),
        )
        return section


def _dataclasses_of(module: Any) -> Iterator[tuple[str, type]]:
    for name in sorted(module.__all__):
        if inspect.isclass(found := getattr(module, name)) and dataclasses.is_dataclass(found):
            yield name, found


class VersionsDirective(_Generated):
    """``gbx-versions``: what this release writes and reads."""

    def run(self) -> list[nodes.Node]:
        """One table."""
        readable = ", ".join(map(str, records.READABLE_SCHEMAS))
        rows = (
            ("schema version", str(records.SCHEMA_VERSION), f"layout of correlation records; read: {readable}"),
            ("algorithm version", records.ALGORITHM_VERSION, "changes only when numbers of a correlation record do"),
            ("correlation version", records.CORRELATION_VERSION, "changes only when the maps of given counts do"),
            ("live version", str(records.LIVE_VERSION), "layout of live records"),
            ("average version", str(records.AVERAGE_VERSION), "layout of averages over repeats"),
        )
        return [self.table(("what", "now", "meaning"), rows, (25, 10, 65))]


class PublicDirective(_Generated):
    """``gbx-public``: the names that a module offers, as autodoc shows them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One object description a name, in the order of ``__all__``."""
        module = self.arguments[0]
        offered = importlib.import_module(module)
        # What the package itself offers stands there, once.
        names = [
            name for name in offered.__all__ if module == gbx_beamline.__name__ or name not in gbx_beamline.__all__
        ]
        text = "\n".join(_described(module, name, getattr(offered, name)) for name in sorted(names, key=str.lower))
        return self.parse_text_to_nodes(text, allow_section_headings=False)


def _described(module: str, name: str, found: Any) -> str:
    if inspect.isclass(found):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    return f".. autofunction:: {module}.{name}\n" if inspect.isroutine(found) else ""


def _in_docstring(_app: Sphinx, _what: str, _name: str, _found: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = [as_restructured_text(line) for line in lines]


def _in_help(_app: Sphinx, _context: Any, lines: list[str]) -> None:
    lines[:] = [as_restructured_text(line) for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    directives: dict[str, Callable[..., Any]] = {
        "gbx-configuration": ConfigurationDirective,
        "gbx-records": RecordsDirective,
        "gbx-versions": VersionsDirective,
        "gbx-public": PublicDirective,
    }
    for name, directive in directives.items():
        app.add_directive(name, directive)
    app.connect("autodoc-process-docstring", _in_docstring)
    for part in ("description", "options", "arguments"):
        app.connect(f"sphinx-click-process-{part}", _in_help)
    return {"version": "1", "parallel_read_safe": True}
