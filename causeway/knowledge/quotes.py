"""Finds a quoted passage on a page: which words it is, and the rectangles to mark them with.

A quote comes from Markdown and a page from geometry, so only letters and digits are compared: what joins lines, splits
words or rules tables differs between the two. Where the words of the quote do not stand one after another on the page,
because it is set in columns or a table, the longest runs of them are taken, as long as they say most of the quote.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate

from causeway.knowledge.document import SIDE, Place
from causeway.knowledge.page_words import PageWord, PageWords

LONGEST_QUOTE = 8000
"""In characters; a chunk is never longer."""

_LEAST_SHARE = 0.55
_LEAST_RUN = 2
_LONG_RUN = 5
"""Words in a row that are no chance: the quote goes on from another page, or to one."""
_MOST_COMPARED = 6000
"""Words of a page that are compared with a quote run by run; a full newspaper page has as many."""
_MOST_WANTED = 500
"""Words of a quote that are: a chunk has fewer. A page and a quote of one word over and over then take a second."""
_LINE = 0.5
_GAP = 4
_LONG_WORD = 4
_SLACK = 120
"""How far a word may stand out of the place it is looked for in: about its own height."""


def find_quote(
    page: PageWords, number: int, quote: str, *, within: Sequence[Place] = ()
) -> tuple[Place, ...]:
    """Where ``quote`` stands on page ``number``: a rectangle for each line of it; none where it is not found.

    ``within`` are the places of the passage that it is from: looked for there first, and then on the whole page.
    """
    wanted = [plain for word in quote[:LONGEST_QUOTE].split() if (plain := _plain(word))]
    if not wanted:
        return ()
    inside = [word for word in page.words if _is_inside(word, number, within)]
    for words in (inside, list(page.words)) if inside else (list(page.words),):
        found = _in_a_row(words, "".join(wanted)) or _in_runs(words, wanted)
        if found:
            return tuple(_lines([words[index] for index in found], number))
    return ()


def _plain(text: str) -> str:
    """Letters and digits alone, alike however they are composed."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed.casefold() if letter.isalnum())


def _is_inside(word: PageWord, number: int, places: Sequence[Place]) -> bool:
    x, y = (word.x0 + word.x1) / 2, (word.y0 + word.y1) / 2
    return any(
        place.page == number
        and place.x0 * SIDE - _SLACK <= x <= place.x1 * SIDE + _SLACK
        and place.y0 * SIDE - _SLACK <= y <= place.y1 * SIDE + _SLACK
        for place in places
    )


def _in_a_row(words: Sequence[PageWord], wanted: str) -> list[int]:
    """The numbers of the words that are the quote, one after another."""
    plain = [_plain(word.text) for word in words]
    begin = "".join(plain).find(wanted)
    if begin < 0:
        return []
    ends = list(accumulate(map(len, plain)))
    return [
        number
        for number, end in enumerate(ends)
        if plain[number] and end > begin and end - len(plain[number]) < begin + len(wanted)
    ]


def _in_runs(words: Sequence[PageWord], wanted: Sequence[str]) -> list[int]:
    """The numbers of the words in the longest runs that page and quote share; none where these say too little of it."""
    wanted = wanted[:_MOST_WANTED]
    plain = [_plain(word.text) for word in words[:_MOST_COMPARED]]
    blocks = SequenceMatcher(None, wanted, plain, autojunk=False).get_matching_blocks()
    runs = [block for block in blocks if block.size >= min(_LEAST_RUN, len(wanted))]
    said = sum(len(wanted[n]) for block in runs for n in range(block.a, block.a + block.size))
    is_told = said >= _LEAST_SHARE * sum(map(len, wanted))
    if not is_told:
        runs = [block for block in runs if block.size >= _LONG_RUN]
    return [n for block in runs for n in range(block.b, block.b + block.size)]


def _lines(words: Sequence[PageWord], number: int) -> Iterator[Place]:
    """A rectangle around the words of each line; on a page that lies on its side lines run up or down."""
    long = [word for word in words if len(word.text) >= _LONG_WORD]
    is_aside = 2 * sum(word.y1 - word.y0 > word.x1 - word.x0 for word in long) > len(long)
    line: list[PageWord] = []
    for word in words:
        pair = [_aside(each) if is_aside else each for each in (*line[-1:], word)]
        if line and not _goes_on(*pair):
            yield _around(line, number)
            line = []
        line.append(word)
    if line:
        yield _around(line, number)


def _goes_on(last: PageWord, word: PageWord) -> bool:
    """Whether a word stands beside the last one on its line."""
    height = max(last.y1 - last.y0, word.y1 - word.y0, 1)
    is_level = abs((last.y0 + last.y1) - (word.y0 + word.y1)) / 2 < _LINE * height
    gap = max(word.x0 - last.x1, last.x0 - word.x1)  # upside down the next word stands to the left
    return is_level and -height < gap < _GAP * height


def _aside(word: PageWord) -> PageWord:
    return PageWord(word.text, word.y0, word.x0, word.y1, word.x1)


def _around(words: Sequence[PageWord], number: int) -> Place:
    return Place(
        number,
        min(word.x0 for word in words) / SIDE,
        min(word.y0 for word in words) / SIDE,
        max(word.x1 for word in words) / SIDE,
        max(word.y1 for word in words) / SIDE,
    )
