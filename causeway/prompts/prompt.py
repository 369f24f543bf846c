"""A prompt: a named, versioned template of a chat's messages.

A ``.prompt`` file is YAML front matter (``name``, ``version``, ``description``, ``inputs``) and then one section a message,
each opened by a line ``=== system``, ``=== user`` or ``=== assistant``; the sections are minijinja templates. ``inputs``
says what the templates are filled with: a type and an example of each, which checks, previews and the playground use.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import yaml

from causeway.contracts.chat import Message
from causeway.errors import InvalidInputError
from causeway.prompts.rendering import names_used, render

MOST_TEXT: Final = 200_000
"""Characters of a whole file."""
NAME: Final = r"^[a-z][a-z0-9_]{0,59}$"
InputType = Literal["text", "number", "flag", "list", "mapping"]
Sections: TypeAlias = tuple[tuple[Literal["system", "user", "assistant"], str], ...]

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "text": (str,),
    "number": (int, float),
    "flag": (bool,),
    "list": (list,),
    "mapping": (dict,),
}
_KEYS: Final = frozenset({"name", "version", "description", "inputs"})
_INPUT_KEYS: Final = frozenset({"type", "example", "about"})
_FRONT_MATTER: Final = re.compile(r"\A---\n(?P<head>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
_SECTION: Final = re.compile(r"^=== (system|user|assistant)[ \t]*\n", re.MULTILINE)
_INPUTS: Final = re.compile(r"\ninputs:.*(?:\n(?:[ \t-].*)?)*(?=\n\S|\Z)")
_VERSION: Final = re.compile(r"^version:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One value that a prompt is filled with.

    Attributes:
        example: A value of that type; None, for any type, is a value that is not there.
    """

    name: str
    type: InputType
    example: Any
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One version of a prompt.

    Attributes:
        sha256: Of the file less its ``inputs``, which no model sees: two texts under one version are told apart.
        sections: Role and template of each message.
        inputs: What the templates are filled with, as the file declares; empty where it does not.
    """

    name: str
    version: int
    description: str
    sha256: str
    sections: Sections
    inputs: tuple[Input, ...] = ()

    @property
    def reference(self) -> str:
        """What traces and ledgers record: ``answer@1``."""
        return f"{self.name}@{self.version}"

    @property
    def examples(self) -> dict[str, Any]:
        """The declared example values by name."""
        return {each.name: each.example for each in self.inputs}

    def messages(self, values: Mapping[str, object]) -> tuple[Message, ...]:
        """The chat this prompt makes of ``values``.

        Raises:
            InvalidInputError: A value is missing or the template cannot be rendered.
        """
        return tuple(Message(role, render(template, values)) for role, template in self.sections)

    def names_used(self) -> frozenset[str]:
        """The values that its templates name.

        Raises:
            InvalidInputError: A template breaks the rules or cannot be parsed.
        """
        return frozenset[str]().union(*(names_used(template) for _, template in self.sections))


def parse(text: str, *, origin: str) -> Prompt:
    """The prompt in a file's text; ``origin`` names the file in errors.

    Raises:
        InvalidInputError: The file is not as this module describes.
    """
    text = text.replace("\r\n", "\n")
    if len(text) > MOST_TEXT:
        raise InvalidInputError(f"{origin}: a prompt has {MOST_TEXT:,} characters at most")
    if "\0" in text or _is_torn(text):
        raise InvalidInputError(
            f"{origin}: it holds the character NUL, or half of one, which cannot be stored"
        )
    matched = _FRONT_MATTER.match(text)
    if matched is None:
        raise InvalidInputError(f"{origin}: a prompt begins with front matter between two lines of '---'")
    head = _head(matched["head"], origin)
    pieces = _SECTION.split(matched["body"])
    if pieces[0].strip() or len(pieces) < 3:
        raise InvalidInputError(f"{origin}: after the front matter comes a line '=== system' or '=== user'")
    roles = cast("list[Literal['system', 'user', 'assistant']]", pieces[1::2])
    try:
        name, version = str(head["name"]), int(head["version"])
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidInputError(f"{origin}: front matter needs 'name' and an integer 'version'") from exc
    if not re.fullmatch(NAME, name) or not 1 <= version < 2**31:
        raise InvalidInputError(
            f"{origin}: a prompt's name is lower-case letters, digits and '_', up to 60; its version is 1 or more"
        )
    return Prompt(
        name=name,
        version=version,
        description=" ".join(str(head.get("description", "")).split()),
        sha256=_digest(f"---\n{_INPUTS.sub('', matched['head'])}\n---\n{matched['body']}"),
        sections=tuple((role, template.strip()) for role, template in zip(roles, pieces[2::2], strict=True)),
        inputs=_inputs(head.get("inputs", {}), origin),
    )


def with_version(text: str, version: int) -> str:
    """A file's text with another version in its front matter, and nothing else changed.

    Raises:
        InvalidInputError: It has no front matter with a line ``version:``.
    """
    text = text.replace("\r\n", "\n")
    matched = _FRONT_MATTER.match(text)
    if matched is None:
        msg = "a prompt begins with front matter between two lines of '---'"
        raise InvalidInputError(msg)
    head, count = _VERSION.subn(f"version: {version}", matched["head"], count=1)
    if not count:
        msg = "front matter needs a line of its own that says 'version: ' and the number"
        raise InvalidInputError(msg)
    return f"---\n{head}\n---\n{matched['body']}"


def content_sha256(text: str) -> str:
    """A digest of a file's text that is the same whatever its version: equal content is one version."""
    return _digest(with_version(text, 0).strip())


def as_file(prompt: Prompt) -> str:
    """A prompt as the text of a ``.prompt`` file."""
    head: dict[str, object] = {
        "name": prompt.name,
        "version": prompt.version,
        "description": prompt.description,
    }
    if prompt.inputs:
        head["inputs"] = {
            each.name: {
                "type": each.type,
                **({"about": each.about} if each.about else {}),
                "example": each.example,
            }
            for each in prompt.inputs
        }
    written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)
    body = "\n\n".join(f"=== {role}\n{template}" for role, template in prompt.sections)
    return f"---\n{written}---\n{body}\n"


def _is_torn(text: str) -> bool:
    return any("\ud800" <= mark <= "\udfff" for mark in text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _head(written: str, origin: str) -> Mapping[str, Any]:
    try:
        head = yaml.load(written, _Plain)  # noqa: S506 - a safe loader, without aliases
    except yaml.YAMLError as exc:
        said = " ".join(str(exc).split())
        raise InvalidInputError(f"{origin}: the front matter is no YAML: {said}") from exc
    except RecursionError as exc:
        raise InvalidInputError(f"{origin}: the front matter is nested too deep") from exc
    if not isinstance(head, dict):
        raise InvalidInputError(f"{origin}: front matter needs 'name' and an integer 'version'")
    unknown = sorted(str(key) for key in head if key not in _KEYS)
    if unknown:
        raise InvalidInputError(
            f"{origin}: front matter has no '{unknown[0]}'; there are {', '.join(sorted(_KEYS))}"
        )
    return head


class _Plain(yaml.SafeLoader):
    """YAML without aliases: nine of them inside each other are a billion values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, unless it is an alias."""
        if self.check_event(yaml.events.AliasEvent):
            msg = "aliases such as *name are not for front matter"
            raise yaml.constructor.ConstructorError(msg)
        return super().compose_node(parent, index)


def _inputs(written: Any, origin: str) -> tuple[Input, ...]:
    if not isinstance(written, dict):
        raise InvalidInputError(f"{origin}: 'inputs' is a mapping of names to a type and an example")
    return tuple(_input(str(name), about, origin) for name, about in written.items())


def _input(name: str, written: Any, origin: str) -> Input:
    of = f"{origin}: the input '{name}'"
    if not re.fullmatch(NAME, name):
        raise InvalidInputError(f"{of} is not named in lower-case letters, digits and '_'")
    if not isinstance(written, dict) or not {"type", "example"} <= set(written) <= _INPUT_KEYS:
        raise InvalidInputError(f"{of} needs 'type' and 'example', and may have 'about'")
    kind, example = written["type"], written["example"]
    if kind not in _TYPES:
        raise InvalidInputError(f"{of} has the type '{kind}'; there are {', '.join(_TYPES)}")
    is_flag = isinstance(example, bool)
    if example is not None and (not isinstance(example, _TYPES[kind]) or is_flag != (kind == "flag")):
        raise InvalidInputError(f"{of} has an example that is no {kind}")
    return Input(name=name, type=kind, example=example, about=str(written.get("about", "")))
