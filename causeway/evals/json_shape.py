"""Whether a text is JSON of a given shape: the part of JSON Schema that model providers accept for structured output.

``type``, ``enum``, ``const``, ``properties``, ``required``, ``additionalProperties`` (false), ``items``, ``minItems``,
``maxItems``, ``minimum``, ``maximum``, ``minLength``, ``maxLength``, ``pattern``, ``anyOf``. A keyword that is not among
these is an error and not passed over, since a check that did less than it says would pass what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from causeway.errors import InvalidInputError

_SILENT: Final = frozenset({"$schema", "title", "description", "default", "examples"})
_KNOWN: Final = frozenset(
    [
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "anyOf",
    ]
)
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def misshapen(text: str, schema: Mapping[str, Any]) -> str:
    """Where ``text`` departs from ``schema``, in a few words; empty when it does not.

    Raises:
        InvalidInputError: The schema uses a keyword that is not known here.
    """
    try:
        value = json.loads(text)
    except ValueError as exc:
        return f"not JSON: {exc}"
    return _departure(value, schema, "$")


def _departure(value: Any, schema: Mapping[str, Any], where: str) -> str:
    unknown = set(schema) - _KNOWN - _SILENT
    if unknown:
        raise InvalidInputError(
            f"the JSON schema keyword '{min(unknown)}' is not checked; use {', '.join(sorted(_KNOWN))}"
        )
    if "anyOf" in schema and all(_departure(value, each, where) for each in schema["anyOf"]):
        return f"{where} is none of the {len(schema['anyOf'])} shapes allowed"
    wanted = schema.get("type")
    if wanted is not None and not _is_a(value, wanted):
        return f"{where} is not {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is {value!r}, none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        return f"{where} is {value!r} in place of {schema['const']!r}"
    return _inside(value, schema, where)


def _is_a(value: Any, wanted: str | Sequence[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _TYPES.get(name, ())) for name in names)


def _inside(value: Any, schema: Mapping[str, Any], where: str) -> str:
    match value:
        case dict():
            return _of_object(value, schema, where)
        case list():
            if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
                return f"{where} has {len(value)} items"
            inner = (
                _departure(each, schema.get("items", {}), f"{where}[{n}]") for n, each in enumerate(value)
            )
            return next((found for found in inner if found), "")
        case str():
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
                return f"{where} has {len(value)} characters"
            fits = "pattern" not in schema or re.search(schema["pattern"], value)
            return "" if fits else f"{where} does not match {schema['pattern']!r}"
        case int() | float():
            fits = schema.get("minimum", value) <= value <= schema.get("maximum", value)
            return "" if fits else f"{where} is {value}"
        case _:
            return ""


def _of_object(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> str:
    absent = [name for name in schema.get("required", ()) if name not in value]
    if absent:
        return f"{where}.{absent[0]} is missing"
    known = schema.get("properties", {})
    more = [name for name in value if name not in known]
    if more and schema.get("additionalProperties") is False:
        return f"{where}.{more[0]} is not wanted"
    inner = (_departure(value[name], known[name], f"{where}.{name}") for name in known if name in value)
    return next((found for found in inner if found), "")
