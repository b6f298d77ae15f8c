"""Links of a page to files outside docs/, so that pages read on the site and in the repository alike.

A Markdown file that a page includes (``{include} ../../deploy/queueserver/README.md``) is linked as that page. Any
other file or folder of the repository is shown as its path: the site has no copy of it. One that is not there is a
warning.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

_INCLUDE = re.compile(r"^```\{include\} (\S+)", re.MULTILINE)


def _included(source: Path) -> dict[Path, str]:
    """Page by the file that it includes."""
    return {
        (page.parent / target).resolve(): page.relative_to(source).with_suffix("").as_posix()
        for page in source.rglob("*.md")
        for target in _INCLUDE.findall(page.read_text())
    }


def _lead_somewhere(app: Sphinx, doctree: nodes.document) -> None:
    source = Path(app.srcdir).resolve()
    pages = _included(source)
    kinds = (addnodes.pending_xref, addnodes.download_reference)
    for reference in [found for kind in kinds for found in doctree.findall(kind)]:
        place = _outside(reference, source)
        if place is None:
            continue
        if (page := pages.get(place)) is not None:
            reference["reftarget"] = page
        elif place.exists():
            path = os.path.relpath(place, source.parent)
            reference.replace_self([*reference.children, nodes.Text(" ("), nodes.literal(text=path), nodes.Text(")")])
        else:
            logger.warning("no such file: %s", place, location=reference)


def _outside(reference: nodes.Element, source: Path) -> Path | None:
    """Where a link leads that leaves docs/; None where it stays."""
    target = reference.get("reftarget", "")
    if reference.get("refdomain") == "doc":
        place = Path(os.path.normpath(source / target))
        place = place.with_suffix(".md") if not place.exists() else place
    elif isinstance(reference, addnodes.download_reference) or target.startswith(".."):
        place = Path(os.path.normpath(source / Path(reference.get("refdoc", ".")).parent / target.partition("#")[0]))
    else:
        return None
    return None if place.is_relative_to(source) else place.resolve()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook."""
    app.connect("doctree-read", _lead_somewhere)
    return {"version": "1", "parallel_read_safe": True}
