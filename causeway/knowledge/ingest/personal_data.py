"""A collection's policy on personal data, applied to a document before anything is cut, embedded or kept of it.

What is found is `causeway.guard.pii`'s to say, of each block by itself: a label tells nothing of a value in another
block, nor a table's header of the cells below it. Counts and kinds leave this file, values never do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from causeway.guard.pii import Finder, Found
from causeway.knowledge.collection_options import Pii
from causeway.knowledge.document import ParsedDocument
from causeway.settings import GuardSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A document after its collection's policy.

    Attributes:
        title: What it is called, as it may be shown.
        metadata: All that its owner, its source and the file say about it, as it may be shown; None to leave it as it is.
        found: How often each kind was found.
        notice: What was replaced, for its owner; None when nothing was.
        refusal: Why it must not be ingested; None when it may.
    """

    parsed: ParsedDocument
    title: str
    found: Mapping[str, int]
    metadata: Mapping[str, object] | None = None
    notice: str | None = None
    refusal: str | None = None


class PersonalData:
    """Applies policies; keeps a finder for each set of kinds that collections name."""

    def __init__(self, settings: GuardSettings) -> None:
        """``settings`` name the countries whose phone numbers are known; kinds are each collection's own."""
        self._settings = settings
        self._finders: dict[tuple[str, ...], Finder] = {}

    def screen(
        self, parsed: ParsedDocument, *, title: str, metadata: Mapping[str, object], pii: Pii
    ) -> Screened:
        """``parsed`` as its collection may have it. Linear in its length: call it in a thread.

        Args:
            parsed: What the file says.
            title: What it is to be called.
            metadata: What is known about it beside that; it has precedence over the file's own.
            pii: The policy.

        Raises:
            MissingCapabilityError: Names of people are wanted and the extra is not installed.
        """
        if pii.action == "keep":
            return Screened(parsed=parsed, title=title, found={})
        finder = self._finder(pii)
        found: Counter[str] = Counter()
        mask = partial(_masked, finder, found)
        shown = mask(title)
        screened = replace(
            parsed,
            title=mask(parsed.title) if parsed.title != title else shown,
            blocks=tuple(replace(block, text=mask(block.text)) for block in parsed.blocks),
            metadata={},
            page_words={},  # the words of a page's picture are its text once more
        )
        about = {key: _masked_value(mask, value) for key, value in {**parsed.metadata, **metadata}.items()}
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
        outcome = Screened(parsed=screened, title=shown, found=found, metadata=about)
        if not found:
            return outcome
        if pii.action == "refuse":
            return replace(outcome, refusal=f"it holds personal data that this collection refuses: {said}")
        return replace(outcome, notice=f"masked: {said}")

    def _finder(self, pii: Pii) -> Finder:
        if pii.kinds not in self._finders:
            settings = self._settings.model_copy(update={"kinds": list(pii.kinds), "ner": False})
            self._finders[pii.kinds] = Finder(settings)
        return self._finders[pii.kinds]


def _masked(finder: Finder, found: Counter[str], text: str) -> str:
    return _replaced(text, list(_counted(finder.find(text), found)))


def _masked_value(mask: Callable[[str], str], value: object) -> object:
    match value:
        case str():
            return mask(value)
        case list():
            return [_masked_value(mask, each) for each in value]
        case _:
            return value


def _counted(found: Sequence[Found], counts: Counter[str]) -> Iterator[Found]:
    for one in found:
        counts[str(one.kind)] += 1
        yield one


def _replaced(text: str, found: Sequence[Found]) -> str:
    pieces: list[str] = []
    end = 0
    for one in found:
        pieces += [text[end : one.start], f"[{one.kind.upper()}]"]
        end = one.end
    return "".join([*pieces, text[end:]])
