"""Templates: the Jinja environment, links that hold under any base path, and how values are written for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response
from starlette.routing import NoMatchFound

from causeway import __version__
from causeway.contracts.identity import Principal
from causeway.contracts.money import to_dollars
from causeway.seams import deferred
from causeway.web import navigation, static_files
from causeway.web.svg_charts import label

if TYPE_CHECKING:
    import markdown_it
else:
    markdown_it = deferred("markdown_it")

THEME_COOKIE = "causeway_theme"
_TEMPLATES = Path(__file__).parent / "templates"
_MARK = re.compile(r"( ?)\[(\d{1,2})\]")


def link(request: Request, name: str, query: Mapping[str, object] | None = None, **places: Any) -> str:
    """The path of a route, base path included; empty values of ``query`` are left out."""
    path = request.scope.get("root_path", "") + request.app.router.url_path_for(name, **places)
    asked = {key: value for key, value in (query or {}).items() if value not in (None, "")}
    return f"{path}?{urlencode(asked)}" if asked else str(path)


def has_route(request: Request, name: str) -> bool:
    """Whether this web has a page or call of that name, without places in its path."""
    try:
        request.app.router.url_path_for(name)
    except NoMatchFound:
        return False
    return True


def static_link(request: Request, path: str) -> str:
    """The path of a static file, with its version."""
    return link(request, "static", version=static_files.digest(), path=path)


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a piece of a page."""
    return request.headers.get("hx-request") == "true"


def page(
    request: Request,
    template: str,
    values: Mapping[str, Any] | None = None,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A rendered template; whoever is signed in is taken from the request."""
    theme = request.cookies.get(THEME_COOKIE)
    principal: Principal | None = getattr(request.state, "principal", None)
    csrf = getattr(request.state, "csrf_token", "")
    html = (
        _environment()
        .get_template(template)
        .render(
            link=lambda name, query=None, **places: link(request, name, query, **places),
            static=lambda path: static_link(request, path),
            theme=theme if theme in ("light", "dark") else None,
            principal=principal,
            is_administered=request.app.state.parts.admin is not None,
            has_collections=request.app.state.parts.ingest is not None,
            icon=lambda name: _icon(request, name),
            admin_tabs=navigation.ADMIN_TABS,
            **_navigation(request, principal),
            csrf_token=csrf,
            csrf_field=Markup('<input type="hidden" name="csrf_token" value="{}">').format(csrf),
            root_path=request.scope.get("root_path", ""),
            version=__version__,
            **(values or {}),
        )
    )
    return HTMLResponse(html, status_code=status_code, headers=dict(headers or {}))


def _navigation(request: Request, principal: Principal | None) -> dict[str, Any]:
    """The menu and the palette of who is signed in; a piece of a page has neither."""
    if principal is None or is_fragment(request):
        return {"menu": (), "commands": ()}
    there = (principal, request.app.state.parts, lambda name: has_route(request, name))
    return {
        "menu": navigation.menu(*there),
        "commands": navigation.commands(*there, link=lambda name: link(request, name)),
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        size=file_size,
        took=duration,
        about=about_time,
        dollars=dollars,
        number=lambda value: f"{value:,}",
        moment=_moment,
        axis=_axis,
        short=label,
        kind=file_kind,
        markdown=markdown,
        inline_markdown=inline_markdown,
        cited_markdown=cited_markdown,
        place=place,
    )
    return environment


def _icon(request: Request, name: str) -> Markup:
    return Markup(
        '<svg class="icon icon-{}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>'
    ).format(name, static_link(request, "icons.svg"), name)


# --- values for people -------------------------------------------------------------------------------


def file_size(size_bytes: int) -> str:
    """Bytes as people say them: ``1.4 MB``."""
    value, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def duration(ms: float) -> str:
    """Milliseconds as people say them: ``640 ms``, ``3.4 s``, ``2 min 5 s``."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds} s"


def about_time(seconds: float) -> str:
    """Seconds still to go as people say them: ``less than a minute``, ``about 5 minutes``, ``about 3 hours``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {minutes} minute{'s' if minutes > 1 else ''}"
    return f"about {round(minutes / 60)} hours"


def dollars(micros: int) -> str:
    """Micros in dollars, with as many places as it takes to see something."""
    value = to_dollars(micros)
    if not micros:
        return "$0"
    return f"${value:.2f}" if value >= 1 else f"${value:.6f}".rstrip("0")


def file_kind(media_type: str) -> str:
    """A media type in a word."""
    known = {
        "application/pdf": "PDF",
        "text/markdown": "Markdown",
        "text/html": "HTML",
        "text/plain": "Text",
        "text/csv": "CSV",
        "": "File",
    }
    if media_type in known:
        return known[media_type]
    for part, word in (("word", "Word"), ("sheet", "Sheet"), ("presentation", "Slides"), ("image/", "Image")):
        if part in media_type:
            return word
    return media_type.rpartition("/")[2].upper()


def place(heading: str, title: str) -> str:
    """A heading path without the document's title, which is shown above it."""
    parts = [part for part in heading.split(" > ") if part]
    if parts and parts[0] == title:
        parts = parts[1:]
    return " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(parts)


def _moment(at: datetime) -> Markup:
    """A ``<time>`` in UTC, which the page's script turns into the reader's own time and ``3 min ago``."""
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), at.strftime("%d %b %Y %H:%M UTC"))


def _axis(at: datetime, form: Literal["hour", "day", "whole"]) -> Markup:
    """A ``<time>`` in UTC for charts and exact lists; the page's script writes it in the reader's own time."""
    written = at.strftime({"hour": "%H:%M", "day": "%d %b", "whole": "%d %b %Y %H:%M UTC"}[form])
    return Markup('<time datetime="{}" data-axis="{}">{}</time>').format(at.isoformat(), form, written)


# --- Markdown ----------------------------------------------------------------------------------------


@cache
def _markdown() -> markdown_it.MarkdownIt:
    """CommonMark with tables; raw HTML is shown as text, and nothing can be fetched or led to.

    Passages and answers are other people's words: a picture would tell its server who reads, and a link could say
    one thing and go elsewhere, so both are shown as they were written.
    """
    return (
        markdown_it.MarkdownIt("commonmark", {"html": False})
        .enable("table")
        .disable(["image", "link", "autolink"])
    )


def markdown(text: str) -> Markup:
    """Untrusted Markdown as safe HTML."""
    return Markup(_markdown().render(text))  # noqa: S704 - raw HTML is off in the renderer, which escapes all text


def inline_markdown(text: str) -> Markup:
    """One line of Markdown as safe HTML without a paragraph around it."""
    return Markup(_markdown().renderInline(text))  # noqa: S704 - as above


def cited_markdown(text: str, targets: Mapping[int, str]) -> Markup:
    """An answer as safe HTML, with each ``[n]`` a link to ``targets[n]``."""

    def mark(found: re.Match[str]) -> str:
        target = targets.get(int(found[2]))
        if target is None:
            return found[0]
        gap = "\N{NO-BREAK SPACE}" if found[1] else ""  # a mark stays on its sentence's line
        return gap + Markup('<a class="cite" href="{}">{}</a>').format(target, found[2])

    return Markup(_MARK.sub(mark, markdown(text)))  # noqa: S704 - as above, and `mark` escapes
