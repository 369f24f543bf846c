"""``/api/docs``: the OpenAPI description as a page of our own, which needs no script and nothing from elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from causeway.web import problems
from causeway.web.rendering import page
from causeway.web.sign_in import Guest

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, or a field of a body or an answer."""

    name: str
    type: str
    place: str
    is_required: bool
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call."""

    id: str
    method: str
    path: str
    title: str
    about: str
    fields: tuple[Field, ...]
    answer: tuple[Field, ...]
    answers: tuple[tuple[str, str], ...]
    example: str


@router.get("/api/openapi.json", name="openapi")
async def openapi(request: Request) -> Response:
    """The description for programs."""
    return JSONResponse(_described(request))


@router.get("/api/docs", name="reference")
async def reference(request: Request, _guest: Guest) -> Response:
    """The description for people."""
    described = _described(request)
    groups: dict[str, list[Operation]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            read = _operation(described, path, method, operation)
            groups.setdefault(operation.get("tags", ["Other"])[0], []).append(read)
    return page(request, "reference.html", {"groups": groups})


def _described(request: Request) -> dict[str, Any]:
    app: FastAPI = request.app
    root = request.scope.get("root_path", "")
    described = app.openapi()
    problems.describe(operation for methods in described["paths"].values() for operation in methods.values())
    return {**described, "servers": [{"url": root or "/"}]}


def _operation(described: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Operation:
    body = next(iter(operation.get("requestBody", {}).get("content", {}).items()), None)
    good: dict[str, Any] = next(
        (answer for code, answer in operation["responses"].items() if code.startswith("2")), {}
    )
    content = good.get("content", {}).get("application/json", {}).get("schema", {})
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        title=operation.get("summary", ""),
        about=operation.get("description", ""),
        fields=(
            *(_parameter(described, each) for each in operation.get("parameters", ())),
            *(
                _fields(described, body[1].get("schema", {}), "form" if "form" in body[0] else "body")
                if body
                else ()
            ),
        ),
        answer=_fields(described, content, "answer"),
        answers=tuple(
            (code, answer.get("description", "")) for code, answer in operation["responses"].items()
        ),
        example=_example(described, path, method, body),
    )


def _parameter(described: dict[str, Any], parameter: dict[str, Any]) -> Field:
    return Field(
        name=parameter["name"],
        type=_type(described, parameter.get("schema", {})),
        place=parameter["in"],
        is_required=parameter.get("required", False),
        about=parameter.get("description", ""),
    )


def _fields(described: dict[str, Any], schema: dict[str, Any], place: str) -> tuple[Field, ...]:
    whole = _shape(described, schema)
    return tuple(
        Field(
            name=name,
            type=_type(described, each),
            place=place,
            is_required=name in whole.get("required", ()),
            about=each.get("description", "") or _resolve(described, each).get("description", ""),
        )
        for name, each in whole.get("properties", {}).items()
    )


def _resolve(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "")
    if not reference:
        return schema
    found: dict[str, Any] = described["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _shape(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The object that ``schema`` describes, also where it may be left out."""
    whole = _resolve(described, schema)
    choices = [each for each in whole.get("anyOf", ()) if each.get("type") != "null"]
    return _resolve(described, choices[0]) if len(choices) == 1 else whole


def _type(described: dict[str, Any], schema: dict[str, Any]) -> str:
    whole = _resolve(described, schema)
    if "anyOf" in whole:
        return " or ".join(dict.fromkeys(_type(described, each) for each in whole["anyOf"]))
    if "enum" in whole:
        return " | ".join(json.dumps(value) for value in whole["enum"])
    if "const" in whole:
        return json.dumps(whole["const"])
    if whole.get("type") == "array":
        return f"list of {_type(described, whole.get('items', {}))}"
    if whole.get("format") == "binary":
        return "file"
    named = schema.get("$ref", "").rpartition("/")[2].removesuffix("Shape")
    return named.lower() or str(whole.get("type", "any"))


def _example(described: dict[str, Any], path: str, method: str, body: Any) -> str:
    """The call as a curl command."""
    head = f"curl{'' if method == 'get' else f' -X {method.upper()}'} $CAUSEWAY{path}"
    lines = [head] if path.startswith("/health") else [head, '  -H "Authorization: Bearer $KEY"']
    if body and "json" in body[0]:
        whole = _shape(described, body[1]["schema"])
        sample = {
            name: each["examples"][0] if "examples" in each else _sample(each)
            for name, each in whole.get("properties", {}).items()
            if name in whole.get("required", ())
        }
        lines.append("  -H 'Content-Type: application/json'")
        lines.append(f"  -d '{json.dumps(sample)}'")
    elif body:
        lines.append("  -F file=@handbook.pdf")
    return " \\\n".join(lines)


def _sample(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": 1, "number": 1.0, "boolean": True}.get(schema.get("type", ""), "...")
