"""The documentation site: `make docs` builds it, warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_extensions"))

from gbx_beamline import __version__  # noqa: E402

project = "GBX"
author = "The GBX developers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "reference_pages",
    "repository_links",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
# Single backticks in docstrings are code, as on the pages.
default_role = "code"
# Trees and formulas in docstrings are no Python, and -- is how an option begins.
highlight_language = "none"
smartquotes = False
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# "c" and "roi" in tables are no links; only what has a scheme that people click is.
myst_url_schemes = ("http", "https", "mailto")

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Environment", "params_style")]
python_use_unqualified_type_names = True
# Where a name is an alias of the public one, as `two_time` is, the short name is what people type.
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = f"GBX {release}"
html_static_path = ["_static"]
html_css_files = ["gbx.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "footer_start": [],
    "footer_end": [],
    "search_bar_text": "Search",
}
html_context = {"default_mode": "light"}
