"""Whether a prompt may be published: it parses, keeps the rules, names only what it is given, and can be rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from causeway.contracts.chat import Message
from causeway.errors import InvalidInputError
from causeway.prompts.prompt import Prompt, parse, with_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found.

    Attributes:
        prompt: None when the text could not be read.
        problems: Why it may not be published; empty when it may.
        warnings: What its author may not have meant.
        messages: What it makes of its examples.
    """

    prompt: Prompt | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()


def check(text: str, *, origin: str, packaged: Prompt | None) -> Checked:
    """Check a ``.prompt`` file's text.

    Args:
        text: The file.
        origin: What errors call it.
        packaged: The prompt of that name that comes with Causeway, whose inputs are what code gives it; None for a
            prompt that only people and programs ask for.
    """
    try:
        prompt = parse(text, origin=origin)
        used = prompt.names_used()
        with_version(text, prompt.version)
    except InvalidInputError as exc:
        return Checked(prompt=None, problems=(exc.message,))
    declared = {each.name for each in prompt.inputs}
    problems = [
        f"'{name}' is used but not declared; add it to 'inputs' with a type and an example"
        for name in sorted(used - declared)
    ]
    problems += _not_given(prompt, packaged)
    if problems:
        return Checked(prompt=prompt, problems=tuple(problems))
    try:
        messages = prompt.messages(prompt.examples)
    except InvalidInputError as exc:
        return Checked(prompt=prompt, problems=(f"with its examples {exc.message}",))
    return Checked(
        prompt=prompt, problems=(), warnings=tuple(_warnings(prompt, used, messages)), messages=messages
    )


def unfillable(prompt: Prompt, packaged: Prompt | None) -> frozenset[str]:
    """What a prompt names that the code which fills it does not give; everything is given by whoever fills others."""
    if packaged is None:
        return frozenset()
    return prompt.names_used() - {each.name for each in packaged.inputs}


def _not_given(prompt: Prompt, packaged: Prompt | None) -> list[str]:
    if packaged is None:
        return []
    given = {each.name: each.type for each in packaged.inputs}
    known = ", ".join(given)
    found = [
        f"'{each.name}' is never given to the prompt '{prompt.name}', which is filled with {known}"
        for each in prompt.inputs
        if each.name not in given
    ]
    return found + [
        f"'{each.name}' is a {given[each.name]}, not a {each.type}"
        for each in prompt.inputs
        if each.type != given.get(each.name, each.type)
    ]


def _warnings(prompt: Prompt, used: frozenset[str], messages: tuple[Message, ...]) -> Iterator[str]:
    for each in prompt.inputs:
        if each.name not in used:
            yield f"'{each.name}' is not used"
    if messages[-1].role == "assistant":
        yield "the last message is the assistant's own: most models expect the user's"
    for n, message in enumerate(messages, start=1):
        if not message.content:
            yield f"message {n} is empty with the examples"
    for name, values in _variants(prompt):
        try:
            prompt.messages(values)
        except InvalidInputError as exc:
            yield f"without '{name}' {exc.message}"


def _variants(prompt: Prompt) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples with one of them empty, or the other way about."""
    for each in prompt.inputs:
        empty: Any = {"text": "", "list": [], "flag": not each.example, "mapping": None}.get(each.type)
        if each.type != "number":
            yield each.name, {**prompt.examples, each.name: empty}
