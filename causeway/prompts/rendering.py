"""Fills in a prompt's template: minijinja with fuel.

Plain Jinja2 lets a template walk from a value to Python's internals, and its sandbox does not stop a loop that never
ends. minijinja sees plain values only and stops when its fuel is spent.
"""

from __future__ import annotations

from collections.abc import Mapping

from minijinja import Environment, TemplateError

from causeway.errors import InvalidInputError

_FUEL = 200_000


def render(template: str, values: Mapping[str, object]) -> str:
    """``template`` with ``values``, which must be plain: text, numbers, lists and dicts of these.

    Raises:
        InvalidInputError: The template is malformed, names a value that is not given, or runs out of fuel.
    """
    environment = Environment(
        undefined_behavior="strict", auto_escape_callback=lambda _name: False, fuel=_FUEL, trim_blocks=True
    )
    try:
        return environment.render_str(template, **dict(values))
    except TemplateError as exc:
        raise InvalidInputError(f"a prompt cannot be rendered: {str(exc).splitlines()[0]}") from exc
