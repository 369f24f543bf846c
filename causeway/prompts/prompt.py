"""A prompt: a named, versioned template of a chat's messages.

A ``.prompt`` file is YAML front matter (``name``, ``version``, ``description``) and then one section a message, each
opened by a line ``=== system`` or ``=== user``; the sections are minijinja templates.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import yaml

from causeway.contracts.chat import Message
from causeway.errors import InvalidInputError
from causeway.prompts.rendering import render

_FRONT_MATTER = re.compile(r"\A---\n(?P<head>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
_SECTION = re.compile(r"^=== (system|user|assistant)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One version of a prompt.

    Attributes:
        sha256: Of the file, so that two texts under one version are told apart.
        sections: Role and template of each message.
    """

    name: str
    version: int
    description: str
    sha256: str
    sections: tuple[tuple[Literal["system", "user", "assistant"], str], ...]

    @property
    def reference(self) -> str:
        """What traces and ledgers record: ``answer@1``."""
        return f"{self.name}@{self.version}"

    def messages(self, values: Mapping[str, object]) -> tuple[Message, ...]:
        """The chat this prompt makes of ``values``.

        Raises:
            InvalidInputError: A value is missing or the template cannot be rendered.
        """
        return tuple(Message(role, render(template, values)) for role, template in self.sections)


def parse(text: str, *, origin: str) -> Prompt:
    """The prompt in a file's text; ``origin`` names the file in errors.

    Raises:
        InvalidInputError: The file is not as this module describes.
    """
    matched = _FRONT_MATTER.match(text)
    if matched is None:
        raise InvalidInputError(f"{origin}: a prompt begins with front matter between two lines of '---'")
    head = yaml.safe_load(matched["head"])
    pieces = _SECTION.split(matched["body"])
    if pieces[0].strip() or len(pieces) < 3:
        raise InvalidInputError(f"{origin}: after the front matter comes a line '=== system' or '=== user'")
    roles = cast("list[Literal['system', 'user', 'assistant']]", pieces[1::2])
    try:
        return Prompt(
            name=str(head["name"]),
            version=int(head["version"]),
            description=str(head.get("description", "")),
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            sections=tuple(
                (role, template.strip()) for role, template in zip(roles, pieces[2::2], strict=True)
            ),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidInputError(f"{origin}: front matter needs 'name' and an integer 'version'") from exc
