"""The prompts that come with Causeway, from ``texts/*.prompt``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from causeway.errors import NotFoundError
from causeway.prompts.prompt import Prompt, parse


class Shelf:
    """Prompts by name."""

    def __init__(self, prompts: Mapping[str, Prompt]) -> None:
        self._prompts = prompts

    @classmethod
    def packaged(cls) -> Shelf:
        """The prompts that come with Causeway."""
        texts = files("causeway.prompts") / "texts"
        found = [
            parse(entry.read_text(encoding="utf-8"), origin=entry.name)
            for entry in texts.iterdir()
            if entry.name.endswith(".prompt")
        ]
        return cls({prompt.name: prompt for prompt in found})

    def get(self, name: str) -> Prompt:
        """The prompt called ``name``.

        Raises:
            NotFoundError: There is none.
        """
        if name not in self._prompts:
            raise NotFoundError(f"no prompt is called '{name}'; there are {', '.join(sorted(self._prompts))}")
        return self._prompts[name]

    def replacing(self, prompt: Prompt) -> Shelf:
        """A shelf that is the same but for this prompt."""
        return Shelf({**self._prompts, prompt.name: prompt})
