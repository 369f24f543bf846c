"""Derives the word lists of ``causeway/gateway/words`` that come from WordNet 3.1.

    python -m bench.derive_synonyms DICT

DICT is WordNet's folder of that name, with ``index.sense`` and ``data.*``
(https://wordnet.princeton.edu/download/current-version). Written are

- ``wordnet.txt``: words of one sense, if that sense makes up at least 30 % of each one's uses in the tagged texts,
- ``wordnet_wide.txt``: words of one sense that the tagged texts use at all,
- ``derived.txt``: nouns of an action or a quality (-tion, -ment, -ness ...) with the verb or adjective they are made of,
- ``verbs_in_e.txt``: verbs that end in -e,
- ``adjectives.txt``: words that are adjectives in at least 30 % of their uses.

Pairs whose sides are opposites, such as lend and borrow, and those in `UNFIT`, found by reading the frequent ones, are left out.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

WORDS = Path(__file__).parent.parent / "causeway" / "gateway" / "words"
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
PART_OF_SENSE = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
LEAST_SHARE = 0.3
LEAST_ADJECTIVE = 0.3
VULGAR = frozenset(("ass", "bastard", "prick", "shit", "whore"))
NOUN_ENDINGS = ("tion", "sion", "ment", "al", "ance", "ence", "ure", "age", "ity", "ness", "th")
OPPOSITE_PAIRS = (
    "learn teach;lend borrow;buy sell;give get;give receive;give take;send receive;come go;bring take;import export;rent let;"
    "win lose;ask answer;push pull;open close;open shut;start stop;begin end;enter leave;arrive leave;arrive depart;"
    "increase decrease;add remove;include exclude;accept reject;allow forbid;day night;man woman;boy girl;hot cold;big small;"
    "old new;old young;good bad;rich poor;fast slow;high low;long short;early late;hard easy;wet dry;full empty;true false;"
    "right wrong;love hate;live die;employer employee;inside outside;deposit withdraw;lease borrow;remember forget;"
    "create destroy;attack defend;save spend;rise fall;borrow loan;pass fail;agree disagree;hire fire;cause effect;"
    "question answer;problem solution;memory storage;teacher student;buyer seller;winner loser;host guest;parent child;child adult"
)
UNFIT_PAIRS = (
    "create creature;commit commission;major majority;please pleasure;rock stone;director manager;coach manager;"
    "inform information;lend contribute;allot assign;earlier before;directly straight;committee commission;"
    "object objection;individual single;report describe;print publish;practice pattern;transportation transfer;"
    "present presence;present presentation;float drift;put place lay;degree level;stairs steps;red crimson;"
    "being existence;class grade;plan program;team squad;particular peculiar special;wit humor;sensitive sensitivity;"
    "project projection;press pressure;pass passage;real reality;move movement;phase stage;battle engagement;"
    "electric electricity;personal personality;execute execution;enterprise endeavor"
)
OPPOSITES = [set(pair.split()) for pair in OPPOSITE_PAIRS.split(";")]
UNFIT = {frozenset(pair.split()) for pair in UNFIT_PAIRS.split(";")}


class WordNet:
    """Senses with their counts, and the words of each."""

    def __init__(self, folder: Path) -> None:
        self.uses: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        self.total: Counter[str] = Counter()
        for line in (folder / "index.sense").read_text().splitlines():
            key, sense, _, uses = line.split()
            word, _, rest = key.partition("%")
            self.uses[word, PART_OF_SENSE[rest[0]]][sense] = int(uses)
            self.total[word] += int(uses)
        self.lines = {
            part: [
                line.split(" ")
                for line in (folder / f"data.{name}").read_text().splitlines()
                if not line.startswith(" ")
            ]
            for part, name in PARTS.items()
        }
        self.words = {
            (fields[0], part): _words(fields) for part, lines in self.lines.items() for fields in lines
        }

    def groups(self, least_share: float) -> set[str]:
        """Words of one sense, of whose uses it is at least that share."""
        found = set()
        for (sense, part), words in self.words.items():
            group = {
                word
                for word in words
                if re.fullmatch("[a-z]{3,}", word)
                and (uses := self.uses[word, part].get(sense, 0)) > 0
                and uses / self.total[word] >= least_share
            }
            is_fit = frozenset(group) not in UNFIT and not any(pair <= group for pair in OPPOSITES)
            is_fit = is_fit and group.isdisjoint(VULGAR)
            if len(group) > 1 and is_fit:
                found.add(" ".join(sorted(group)))
        return found

    def derived(self) -> Iterator[tuple[str, str]]:
        """Verbs and adjectives with nouns made of them."""
        for fields in self.lines["n"]:
            nouns = _words(fields)
            first = 5 + 2 * len(nouns)
            for at in range(int(fields[first - 1])):
                symbol, sense, part, ends = fields[first + 4 * at : first + 4 * at + 4]
                if symbol != "+" or part not in "va":
                    continue
                noun = nouns[int(ends[:2], 16) - 1]
                source = self.words[sense, part][int(ends[2:], 16) - 1]
                is_frequent = self.total[noun] >= 2 and self.total[source] >= 2
                is_plain = re.fullmatch("[a-z]{4,}", noun) and re.fullmatch("[a-z]{3,}", source)
                if not is_frequent or not is_plain or frozenset((noun, source)) in UNFIT:
                    continue
                if noun.endswith(NOUN_ENDINGS) and noun[:3] == source[:3] and len(noun) > len(source):
                    yield source, noun

    def adjectives(self) -> set[str]:
        """Words that the tagged texts use as adjectives most of the time."""
        found = set()
        for (word, part), senses in self.uses.items():
            uses = sum(senses.values())
            if (
                part == "a"
                and re.fullmatch("[a-z]{3,}", word)
                and 0 < uses >= LEAST_ADJECTIVE * self.total[word]
            ):
                found.add(word)
        return found

    def verbs_in_e(self) -> set[str]:
        """Verbs whose -e is lost before -ing and -ed."""
        return {
            word for word, part in self.uses if part == "v" and re.fullmatch("[a-z]{2,9}e", word)
        } - VULGAR


def main() -> None:
    wordnet = WordNet(Path(sys.argv[1]))
    usual = wordnet.groups(LEAST_SHARE)
    sources: dict[str, set[str]] = defaultdict(set)
    for source, noun in wordnet.derived():
        sources[noun].add(source)
    nouns: dict[str, set[str]] = defaultdict(set)
    for noun, found in sources.items():
        nouns[max(sorted(found), key=wordnet.total.__getitem__)].add(noun)
    write("wordnet.txt", sorted(usual))
    write("wordnet_wide.txt", sorted(wordnet.groups(0) - usual))
    write("derived.txt", (" ".join([source, *sorted(nouns[source])]) for source in sorted(nouns)))
    write("adjectives.txt", textwrap.wrap(" ".join(sorted(wordnet.adjectives())), 118))
    write("verbs_in_e.txt", textwrap.wrap(" ".join(sorted(wordnet.verbs_in_e())), 118))


def write(file: str, lines: Iterable[str]) -> None:
    """Put ``lines`` under the comments that the file begins with."""
    path = WORDS / file
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


def _words(fields: list[str]) -> list[str]:
    return [re.sub(r"\(.*\)$", "", fields[4 + 2 * at]) for at in range(int(fields[3], 16))]


if __name__ == "__main__":
    main()
