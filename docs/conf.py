"""Sphinx configuration of the documentation: `make docs` builds it into docs/_build/html."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import darkpenguin
from pydantic import BaseModel

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["REPOSITORY"] = str(HERE.parent)  # for notebooks, which run in folders of their own

project = "darkpenguin"
author = "the authors of darkpenguin"
release = darkpenguin.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.bibtex", "from_code"]
exclude_patterns = ["_build", "examples"]
nitpicky = False

html_theme = "furo"
html_title = f"darkpenguin {release}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
mathjax_path = "mathjax/tex-mml-chtml.js"

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence", "substitution"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing",
    "myst.header",
    "ref.python",
]  # links of README and CONTRIBUTING to files of the repository

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"


def copy_mathjax(app: Any) -> None:
    """Put MathJax beside the pages, without what they do not use: formulas need no network."""
    source = Path(importlib.import_module("sphinx-mathjax-offline").__file__ or "").parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy2(source / "tex-mml-chtml.js", target)


def short_signature(app: Any, kind: str, name: str, value: Any, options: Any, signature: str, returned: str) -> Any:
    """A card's signature is its table of keys on another page."""
    return ("", None) if kind == "class" and issubclass(value, BaseModel) else None


def setup(app: Any) -> None:
    """Register what is copied and shortened; Sphinx calls this."""
    app.connect("builder-inited", copy_mathjax)
    app.connect("autodoc-process-signature", short_signature)
