"""The prompts that are live as a subject: every text that they take is filled with a case's question, and nobody is asked.

What a value is must not matter to a template: the messages have to be those that a harmless word makes, with the value in
the word's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError
from causeway.evals.checks import Aspect
from causeway.evals.outcome import Outcome
from causeway.evals.suite import Inputs
from causeway.prompts.prompt import Prompt
from causeway.prompts.shelf import Shelf

AS_WRITTEN: Final = "as written"
_HARMLESS: Final = "harmlessword"


class PromptsSubject:
    """Every live prompt that says what it is filled with."""

    name = "prompts"
    aspects: tuple[Aspect, ...] = ("text", "label")
    is_exact = True

    def __init__(self, prompts: Shelf, clock: Clock) -> None:
        self._prompts = prompts
        self._clock = clock

    async def identity(self) -> Mapping[str, object]:
        """The versions and digests of the prompts."""
        return {
            prompt.name: f"{prompt.reference} {prompt.sha256}"
            for prompt in map(self._prompts.get, self._prompts.names())
        }

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:  # noqa: ARG002 - no model is called
        """What differs from a harmless word's messages, and by which prompt and input; else that nothing does."""
        started = self._clock.monotonic()
        differs, filled = [], 0
        rendered: list[str] = []
        for prompt in map(self._prompts.get, self._prompts.names()):
            for each in prompt.inputs:
                if each.type == "text" and isinstance(each.example, str):
                    filled += 1
                    made, problem = _filled(prompt, each.name, inputs.question)
                    rendered.append(made)
                    differs += [f"{prompt.reference} {each.name}: {problem}"] if problem else []
        if not filled:
            msg = "no prompt says which texts it takes; declare 'inputs' in one"
            raise InvalidInputError(msg)
        return Outcome(
            text="\n\n".join(differs or rendered),
            label="; ".join(differs) or AS_WRITTEN,
            took_ms=round((self._clock.monotonic() - started) * 1000),
        )


def _filled(prompt: Prompt, name: str, value: str) -> tuple[str, str]:
    """The messages with ``value``, in one, and what is wrong with them."""
    try:
        harmless = prompt.messages({**prompt.examples, name: _HARMLESS})
        hostile = prompt.messages({**prompt.examples, name: value})
    except InvalidInputError as exc:
        return "", f"cannot be filled: {exc.message}"
    made = "\n\n".join(message.text for message in hostile)
    if [message.role for message in hostile] != [message.role for message in harmless]:
        return made, "other messages"
    wanted = "\n\n".join(message.text for message in harmless).replace(_HARMLESS, value)
    return made, "" if made == wanted else "other text"
