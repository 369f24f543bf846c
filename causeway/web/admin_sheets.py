"""Sheets: what is filled in or confirmed, in a dialog over its list, or as a page of its own without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from causeway.web.rendering import is_fragment, page


def sheet(request: Request, body: str, values: Mapping[str, Any], *, status_code: int = 200) -> Response:
    """The template ``body``, alone when a dialog asks for it: then with 200, since what is wrong stands in the form."""
    if is_fragment(request):
        return page(request, body, {**values, "level": "h2"})
    own = {**values, "body": body, "level": "h1"}
    return page(request, "admin_sheet.html", own, status_code=status_code)


def onward(request: Request, target: str) -> Response:
    """On to ``target`` after a post; a dialog's script goes there itself."""
    if is_fragment(request):
        return Response(status_code=204, headers={"hx-redirect": target})
    return RedirectResponse(target, status_code=303)


def confirm(
    request: Request, *, title: str, about: str, verb: str, action: str, back: str, hours: bool = False
) -> Response:
    """Ask before something that cannot be undone.

    Args:
        request: The question's.
        title: The question.
        about: What it will do.
        verb: On the button.
        action: Where the button posts to.
        back: The list.
        hours: Also ask for how many hours the old secret still works.
    """
    values = {"title": title, "about": about, "verb": verb, "action": action, "back": back, "hours": hours}
    return sheet(request, "admin_confirm.html", values)
