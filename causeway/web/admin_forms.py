"""Forms of settings: fields made from a section's own types and descriptions, and what was written in them read back.

A setting that is added to `causeway.settings` appears in its form by itself. Lists have one entry a line; fallbacks and
prices one model a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from causeway.errors import InvalidInputError
from causeway.gateway.overrides import is_changeable
from causeway.settings import PriceSettings, Section

Kind = Literal["text", "number", "switch", "choice", "lines", "key", "keys", "fallbacks", "prices"]

Groups = Sequence[tuple[str, Sequence[str]]]

_GROUPS: Mapping[str, Groups] = {
    "tiers": (
        (
            "Limits of each key",
            (
                "requests_per_minute",
                "tokens_per_minute",
                "concurrent_requests",
                "max_output_tokens",
                "priority",
                "models",
            ),
        ),
        (
            "Budgets in US dollars",
            (
                "key_budget_usd_per_day",
                "key_budget_usd_per_month",
                "budget_usd_per_day",
                "budget_usd_per_month",
            ),
        ),
        ("Guard", ("pii", "mask_local", "injection", "filter_output", "on_guard_failure")),
        ("Cache and router", ("cache", "cache_similarity", "auto_threshold")),
    ),
    "providers": (
        ("Where it is", ("kind", "base_url", "api_key", "api_keys", "api_version")),
        ("What it offers", ("models", "prices")),
        ("How it is called", ("timeout_s", "connect_timeout_s", "max_concurrent", "weight")),
    ),
    "routes": (("", ("models", "spread")),),
    "models": (("", ("chat", "fast")),),
    "gateway": (
        ("Fallbacks", ("fallbacks", "retries", "retry_budget", "breaker_failures", "breaker_rest_s")),
        ("Calls", ("default_tier", "deadline_s", "max_body_bytes", "max_messages", "body_timeout_s")),
        ("Model 'auto'", ("auto_strong", "auto_cheap")),
        ("Cache", ("cache_ttl_s", "cache_bytes")),
    ),
}
_LABELS = {
    "key_budget_usd_per_day": "Each key, a day",
    "key_budget_usd_per_month": "Each key, a month",
    "budget_usd_per_day": "Whole tier, a day",
    "budget_usd_per_month": "Whole tier, a month",
    "max_output_tokens": "Longest reply, tokens",
    "pii": "Personal data and secrets",
    "mask_local": "Mask for local models too",
    "injection": "Prompt injection",
    "filter_output": "Filter answers",
    "on_guard_failure": "When a guard breaks",
    "base_url": "Address",
    "api_key": "Key",
    "api_keys": "Further keys",
    "api_version": "API version",
    "ner": "Find names",
}
_UNITS = {"_s": "seconds", "_bytes": "bytes"}
_PLACEHOLDERS = {
    "base_url": "https://api.openai.com/v1",
    "api_key": "env:OPENAI_API_KEY",
    "api_keys": "env:SECOND_API_KEY",
    "prices": "gpt-6-sol 2.50 10 1.25",
    "fallbacks": "chat: openai/gpt-6-sol, fast",
}
_HINTS = {
    "api_key": "Where the key is, never the key itself: env:OPENAI_API_KEY, or file:openai in the data folder's secrets",
    "api_keys": "More keys of the same provider, one reference a line; used in turn",
    "prices": "A line a model: its name, then US dollars per million tokens in, out and, if less, cached",
    "fallbacks": "A line a model: its name, a colon, then the models that are tried in its place",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A setting as a form shows it.

    Attributes:
        value: As it is written in the field; for a switch ``on`` or nothing.
        may_be_empty: Empty means that there is no limit.
        origin: Where its value came from, when it is not a default.
        problem: What is wrong with what was written.
    """

    key: str
    label: str
    kind: Kind
    value: str
    hint: str = ""
    unit: str = ""
    placeholder: str = ""
    choices: tuple[str, ...] = ()
    may_be_empty: bool = False
    origin: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields under a heading."""

    title: str
    fields: tuple[Field, ...]


def form_of(
    section: str, group: Section, *, origins: Mapping[str, str], written: Mapping[str, object]
) -> tuple[Group, ...]:
    """The form of a section.

    Args:
        section: Such as ``tiers.free``.
        group: Its values in force.
        origins: Where they came from, by key.
        written: What pages said, which is how a key's reference is shown.
    """
    table = section.partition(".")[0]
    shape = type(group)
    known = _GROUPS.get(table, ())
    placed = {key for _, keys in known for key in keys}
    others = tuple(key for key in shape.model_fields if key not in placed)
    groups = []
    for title, keys in (*known, ("More" if known else "", others)):
        fields = tuple(
            _field(key, shape.model_fields[key], written.get(key, getattr(group, key)), origins.get(key, ""))
            for key in keys
            if key in shape.model_fields and is_changeable(section, key)
        )
        if fields:
            groups.append(Group(title, fields))
    return tuple(groups)


def read_form(
    groups: Sequence[Group], form: Mapping[str, str], prices: Mapping[str, PriceSettings]
) -> tuple[dict[str, object], dict[str, str]]:
    """What was changed in a form, as JSON by key, and what could not be read, by key.

    Args:
        groups: The form as it was shown.
        form: What came back.
        prices: The present ones, of which a form shows three numbers; the others stay.
    """
    values: dict[str, object] = {}
    wrong: dict[str, str] = {}
    for field in (field for group in groups for field in group.fields):
        said = "\n".join(line.rstrip() for line in form.get(field.key, "").strip().splitlines())
        if said == field.value:
            continue
        try:
            values[field.key] = _read(field, said, prices)
        except InvalidInputError as exc:
            wrong[field.key] = exc.message
    return values, wrong


def with_answers(
    groups: Sequence[Group], form: Mapping[str, str], wrong: Mapping[str, str]
) -> tuple[Group, ...]:
    """The form as it was filled in, with what is wrong beside each field."""
    return tuple(
        Group(
            group.title,
            tuple(
                replace(
                    field,
                    # a key that was written out by mistake is not sent back
                    value=""
                    if field.key in wrong and field.kind in ("key", "keys")
                    else form.get(field.key, "").strip(),
                    problem=_sentence(wrong.get(field.key, "")),
                )
                for field in group.fields
            ),
        )
        for group in groups
    )


def _field(key: str, declared: FieldInfo, value: object, origin: str) -> Field:
    inner = [each for each in get_args(declared.annotation) if each is not type(None)]
    is_optional = type(None) in get_args(declared.annotation)
    annotation: Any = inner[0] if is_optional else declared.annotation
    kind = _kind(key, annotation)
    suffix = next((suffix for suffix in _UNITS if key.endswith(suffix)), "")
    plain = key.removesuffix(suffix).removeprefix("max_") if suffix else key
    label = _LABELS.get(key) or plain.replace("_", " ").capitalize()
    return Field(
        key=key,
        label=label if not key.startswith("max_") or not suffix else f"Most {plain.replace('_', ' ')}",
        kind=kind,
        value=_shown(kind, value),
        hint=_HINTS.get(key, declared.description or ""),
        unit=_UNITS.get(suffix, ""),
        placeholder=_PLACEHOLDERS.get(key, "no limit" if is_optional and kind == "number" else ""),
        choices=tuple(str(choice) for choice in get_args(annotation)) if kind == "choice" else (),
        may_be_empty=is_optional,
        origin=origin,
    )


def _kind(key: str, annotation: Any) -> Kind:
    if key in ("fallbacks", "prices"):
        return "fallbacks" if key == "fallbacks" else "prices"
    if get_origin(annotation) is Literal:
        return "choice"
    if get_origin(annotation) is list:
        return "keys" if get_args(annotation) == (SecretStr,) else "lines"
    if annotation is bool:
        return "switch"
    if annotation is SecretStr:
        return "key"
    return "number" if annotation in (int, float, Decimal) else "text"


def _shown(kind: Kind, value: Any) -> str:
    match kind:
        case "switch":
            return "on" if value else ""
        case "lines":
            return "\n".join(value)
        case "key":
            return value if isinstance(value, str) else ""
        case "keys":
            return "\n".join(each for each in value if isinstance(each, str))
        case "fallbacks":
            return "\n".join(f"{model}: {', '.join(others)}" for model, others in value.items())
        case "prices":
            return "\n".join(_price_line(model, price) for model, price in value.items())
        case _:
            return "" if value is None else str(value)


def _price_line(model: str, written: PriceSettings | Mapping[str, object]) -> str:
    price = written if isinstance(written, PriceSettings) else PriceSettings.model_validate(written)
    numbers = [price.input, price.output, *([price.cached_input] if price.cached_input is not None else [])]
    return f"{model} {' '.join(format(number, 'f') for number in numbers)}"


def _read(field: Field, said: str, prices: Mapping[str, PriceSettings]) -> object:
    match field.kind:
        case "switch":
            return said == "on"
        case "number":
            return _number(field, said)
        case "lines" | "keys":
            return [line.strip() for line in said.splitlines() if line.strip()]
        case "fallbacks":
            return dict(_fallback(line) for line in said.splitlines() if line.strip())
        case "prices":
            return dict(_price(line, prices) for line in said.splitlines() if line.strip())
        case _:
            return said


def _number(field: Field, said: str) -> object:
    written = said.replace(" ", "").replace("_", "").replace("\N{NO-BREAK SPACE}", "")
    if not written:
        if field.may_be_empty:
            return None
        msg = "needs a number"
        raise InvalidInputError(msg)
    try:
        number = Decimal(written)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise InvalidInputError(f"'{said[:40]}' is no number; write it like 1500 or 2.50")
    return int(number) if number == number.to_integral_value() and abs(number) < 10**15 else written


def _fallback(line: str) -> tuple[str, list[str]]:
    model, colon, others = line.rpartition(":") if ": " not in line else line.partition(": ")
    names = [other.strip() for other in others.split(",") if other.strip()]
    if not colon or not model.strip() or not names:
        raise InvalidInputError(f"'{line.strip()[:80]}' is not of the form 'chat: openai/gpt-6-sol, fast'")
    return model.strip(), names


def _price(line: str, prices: Mapping[str, PriceSettings]) -> tuple[str, dict[str, object]]:
    model, *numbers = line.split()
    if not 1 <= len(numbers) <= 3 or not all(_is_amount(number) for number in numbers):
        raise InvalidInputError(f"'{line.strip()[:80]}' is not of the form 'gpt-6-sol 2.50 10 1.25'")
    present = prices.get(model)
    price: dict[str, object] = present.model_dump(mode="json", exclude_unset=True) if present else {}
    price.pop("cached_input", None)
    return model, {**price, **dict(zip(("input", "output", "cached_input"), numbers, strict=False))}


def _is_amount(written: str) -> bool:
    try:
        return Decimal(written).is_finite()
    except InvalidOperation:
        return False


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" if text else ""
