"""The templates of the page. Every value that they show is escaped, and a name that is missing is an error."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from autoreg.lazy import lazy_module
from autoreg.report.plots.interactive import plotly_source

if TYPE_CHECKING:
    import jinja2
    import markupsafe
else:
    jinja2, markupsafe = lazy_module("jinja2"), lazy_module("markupsafe")


@functools.cache
def page_environment() -> jinja2.Environment:
    """Templates of this package, with autoescape and strict undefined names."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autoreg.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["unbroken"] = unbroken
    return environment


def page_assets() -> dict[str, markupsafe.Markup]:
    """Style sheet and scripts of this package and of plotly, which are not escaped: nothing of a study is in them."""
    environment = page_environment()
    assert environment.loader is not None
    style, script = (environment.loader.get_source(environment, name)[0] for name in ("style.css", "front.js"))
    assets = {"style": style, "script": script, "plotly": plotly_source()}
    return {name: markupsafe.Markup(text) for name, text in assets.items()}


def unbroken(text: str) -> str:
    """Text in which no line breaks within `1e-4`."""
    return re.sub(r"(\de)-(?=\d)", "\\1\u2011", text)
