"""Links of a page to files of the repository outside docs/: the file comes along, and a missing one is a warning.

A page is read on the site and in the repository alike, so that its links are paths. MyST offers a file of the sources
as a download; a folder is none, and is shown as its path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _resolve_folders(app: Sphinx, doctree: nodes.document) -> None:
    """A link to a folder becomes its name: nothing can be downloaded."""
    page = Path(app.env.doc2path(app.env.docname)).parent
    for reference in list(doctree.findall(addnodes.pending_xref)):
        target = reference.get("reftarget", "")
        if reference.get("refdomain") == "doc" or not target.startswith(".."):
            continue
        place = (page / target.partition("#")[0]).resolve()
        if place.is_dir():
            reference.replace_self(nodes.literal(text=reference.astext()))
        elif not place.exists():
            logger.warning("no such file: %s", target, location=reference)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook."""
    app.connect("doctree-read", _resolve_folders)
    return {"version": "1", "parallel_read_safe": True}
