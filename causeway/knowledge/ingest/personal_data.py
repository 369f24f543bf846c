"""A collection's policy on personal data, applied to a document before anything is cut, embedded or kept of it.

What is found is `causeway.guard.pii`'s to say. The text is looked at as a whole, so that a label in one block and its
value in the next count as beside each other. Counts and kinds leave this file, values never do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

from causeway.guard.pii import Finder, Found
from causeway.knowledge.collection_options import Pii
from causeway.knowledge.document import Block, ParsedDocument
from causeway.settings import GuardSettings

_BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A document after its collection's policy.

    Attributes:
        title: What it is called, as it may be shown.
        found: How often each kind was found.
        notice: What was replaced, for its owner; None when nothing was.
        refusal: Why it must not be ingested; None when it may.
    """

    parsed: ParsedDocument
    title: str
    found: Mapping[str, int]
    notice: str | None = None
    refusal: str | None = None


class PersonalData:
    """Applies policies; keeps a finder for each set of kinds that collections name."""

    def __init__(self, settings: GuardSettings) -> None:
        """``settings`` name the countries whose phone numbers are known; kinds are each collection's own."""
        self._settings = settings
        self._finders: dict[tuple[str, ...], Finder] = {}

    def screen(self, parsed: ParsedDocument, *, title: str, pii: Pii) -> Screened:
        """``parsed`` as its collection may have it. Linear in its length: call it in a thread.

        Raises:
            MissingCapabilityError: Names of people are wanted and the extra is not installed.
        """
        if pii.action == "keep":
            return Screened(parsed=parsed, title=title, found={})
        finder = self._finder(pii)
        found: Counter[str] = Counter()
        mask = partial(_masked, finder, found)
        blocks = _masked_blocks(finder, found, parsed.blocks)
        screened = replace(
            parsed,
            title=mask(parsed.title),
            blocks=blocks,
            metadata={key: mask(value) for key, value in parsed.metadata.items()},
            page_words={},  # the words of a page's picture are its text once more
        )
        shown = mask(title) if title != parsed.title else screened.title
        if not found:
            return Screened(parsed=replace(parsed, page_words={}), title=title, found={})
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
        if pii.action == "refuse":
            refusal = f"it holds personal data that this collection refuses: {said}"
            return Screened(parsed=screened, title=shown, found=found, refusal=refusal)
        return Screened(parsed=screened, title=shown, found=found, notice=f"masked: {said}")

    def _finder(self, pii: Pii) -> Finder:
        if pii.kinds not in self._finders:
            settings = self._settings.model_copy(update={"kinds": list(pii.kinds), "ner": False})
            self._finders[pii.kinds] = Finder(settings)
        return self._finders[pii.kinds]


def _masked(finder: Finder, found: Counter[str], text: str) -> str:
    return _replaced(text, list(_counted(finder.find(text), found)))


def _masked_blocks(finder: Finder, found: Counter[str], blocks: Sequence[Block]) -> tuple[Block, ...]:
    """``blocks`` with placeholders; what runs over the end of one is masked in both."""
    starts = [0, *accumulate(len(block.text) + len(_BETWEEN) for block in blocks)][:-1]
    whole = _BETWEEN.join(block.text for block in blocks)
    theirs: dict[int, list[Found]] = {}
    for one in _counted(finder.find(whole), found):
        first = bisect_right(starts, one.start) - 1
        for index in range(first, bisect_right(starts, one.end - 1)):
            start, end = one.start - starts[index], one.end - starts[index]
            within = Found(one.kind, max(0, start), min(len(blocks[index].text), end))
            if within.start < within.end:
                theirs.setdefault(index, []).append(within)
    return tuple(
        replace(block, text=_replaced(block.text, theirs[index])) if index in theirs else block
        for index, block in enumerate(blocks)
    )


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
