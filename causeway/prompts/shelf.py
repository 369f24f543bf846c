"""The prompts in force in this process: those that come with Causeway, and what the registry says instead.

Everything is in memory, so that asking for a prompt costs no query; `causeway.prompts.registry.Registry` keeps it true.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from causeway.errors import NotFoundError
from causeway.prompts.checking import unfillable
from causeway.prompts.prompt import Prompt, parse
from causeway.prompts.rollout import Pointer

log = logging.getLogger(__name__)

LIVE = "live"
"""The label that is meant where none is said."""
NEWEST = "newest"
"""In a label's place: the version with the highest number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """A prompt as the registry has it.

    Attributes:
        labels: What each label points to.
    """

    versions: Mapping[int, Prompt]
    labels: Mapping[str, Pointer] = field(default_factory=dict)


def packaged_texts() -> Mapping[str, str]:
    """The files that come with Causeway, by the names of their prompts."""
    texts = files("causeway.prompts") / "texts"
    return {
        entry.name.removesuffix(".prompt"): entry.read_text(encoding="utf-8")
        for entry in texts.iterdir()
        if entry.name.endswith(".prompt")
    }


class Shelf:
    """Prompts by name.

    Args:
        prompts: Those that come with Causeway.
    """

    def __init__(self, prompts: Mapping[str, Prompt]) -> None:
        self._packaged = dict(prompts)
        self._shelved: dict[str, Shelved] = {}
        self._unfit: dict[str, Mapping[int, frozenset[str]]] = {}
        self._is_split = True

    @classmethod
    def packaged(cls) -> Shelf:
        """The prompts that come with Causeway."""
        found = [parse(text, origin=f"{name}.prompt") for name, text in packaged_texts().items()]
        return cls({prompt.name: prompt for prompt in found})

    def names(self) -> list[str]:
        """The names of all prompts."""
        return sorted({*self._packaged, *self._shelved})

    def description(self, name: str) -> str:
        """What the version that is live, or the newest where none is, says it is for."""
        shelved = self._shelved.get(name)
        if shelved is None:
            return self._packaged[name].description if name in self._packaged else ""
        live = shelved.labels.get(LIVE)
        known = shelved.versions.get(live.version if live else max(shelved.versions))
        return known.description if known else ""

    def packaged_prompt(self, name: str) -> Prompt | None:
        """The one that comes with Causeway; None when none does."""
        return self._packaged.get(name)

    def get(self, name: str, *, key: str | None = None) -> Prompt:
        """The prompt that is live under a name, or another one by ``name@label``, ``name@version`` or ``name@newest``.

        Args:
            name: The prompt's name.
            key: The id of the conversation, or of the trace, that it is for: under a rollout the same key always gets
                the same version. Without a key it is the version that most get.

        Raises:
            NotFoundError: There is none.
        """
        called, _, which = name.partition("@")
        shelved = self._shelved.get(called)
        if shelved is None:
            return self._unregistered(called, which)
        if which.isdecimal():
            return self._version(called, shelved, int(which))
        if which == NEWEST:
            return self._version(called, shelved, max(shelved.versions))
        pointer = shelved.labels.get(which or LIVE)
        if pointer is None:
            known = ", ".join(sorted(shelved.labels)) or "none"
            raise NotFoundError(f"the prompt '{called}' has no label '{which or LIVE}'; it has {known}")
        number = pointer.choose(called, key if self._is_split else None)
        packaged = self._packaged.get(called)
        if packaged is not None and number in self._unfit.get(called, {}):
            return packaged
        return self._version(called, shelved, number)

    def put(self, name: str, shelved: Shelved | None) -> None:
        """Take what the registry says of a prompt; None takes its word back."""
        if shelved is None:
            self._shelved.pop(name, None)
            return
        packaged = self._packaged.get(name)
        missing = {number: unfillable(prompt, packaged) for number, prompt in shelved.versions.items()}
        self._shelved[name] = shelved
        self._unfit[name] = {number: names for number, names in missing.items() if names}
        for number in self.unfit_live(name):
            about = {"prompt": f"{name}@{number}", "names": ", ".join(sorted(self._unfit[name][number]))}
            log.warning("a live prompt names what it is not given; the packaged one is used", extra=about)

    def unfit_live(self, name: str) -> list[int]:
        """Live versions that code of this release cannot fill, so that the packaged one is used in their place."""
        shelved = self._shelved.get(name)
        live = shelved.labels.get(LIVE) if shelved else None
        return [n for n in self._unfit.get(name, ()) if live and n in (live.version, live.trial)]

    def steady(self) -> Shelf:
        """The same shelf without rollouts: for what must not be answered by one version today and by two tomorrow."""
        other = Shelf(self._packaged)
        other._shelved, other._unfit, other._is_split = self._shelved, self._unfit, False
        return other

    def replacing(self, prompt: Prompt) -> Shelf:
        """A shelf that is the same, as it is now, but for this prompt."""
        other = Shelf({**self._packaged, prompt.name: prompt})
        other._shelved = {name: held for name, held in self._shelved.items() if name != prompt.name}
        other._unfit, other._is_split = self._unfit, self._is_split
        return other

    def _version(self, name: str, shelved: Shelved, number: int) -> Prompt:
        prompt = shelved.versions.get(number)
        if prompt is None:
            raise NotFoundError(f"the prompt '{name}' has no version {number}")
        return prompt

    def _unregistered(self, name: str, which: str) -> Prompt:
        prompt = self._packaged.get(name)
        if prompt is None:
            raise NotFoundError(f"no prompt is called '{name}'; there are {', '.join(self.names())}")
        if which not in ("", LIVE, str(prompt.version)):
            raise NotFoundError(f"the prompt '{name}' has no label or version '{which}'")
        return prompt
