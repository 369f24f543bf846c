"""What the guards find and miss, what they cost, and how hostile text slows them.

    python -m bench.guard [--more FILE.json ...] > bench/results/guard.md

Personal data: made rows (`bench.guard_values`), split by format, not at random: the formats and sentences of the second
half were not in sight when the finder was written (docs/adr/0008-guards.md tells what was changed after the first look). Injections: `bench.guard_texts`, split the same way, and ordinary
text from ``../shared/data`` beside the repository. Further sets are JSON lists of objects with ``text`` and ``label`` (1
is an attack).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench import guard_texts, guard_values
from bench.guard_values import Row
from bench.machine import describe
from causeway.contracts.chat import ChatRequest, Message
from causeway.gateway.screening import Screening
from causeway.guard.injection import suspicion
from causeway.guard.output_filter import MarkdownFilter
from causeway.guard.pii import Finder
from causeway.settings import GuardSettings, TierSettings

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
SEED = 20_260_101
ROWS_A_KIND = 60
NEGATIVES = 320
THRESHOLD = GuardSettings().injection_threshold

Find = Callable[[str], Iterable[tuple[str, int, int]]]

# what guardrails built of patterns alone look for
_PATTERNS_ALONE = {
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "phone": re.compile(r"(?:\+?\d{1,3}[ .-]?)?\(?\d{2,4}\)?[ .-]?\d{3,4}[ .-]?\d{3,4}"),
    "card": re.compile(r"\b(?:\d[ -]?){13,16}\b"),
    "iban": re.compile(r"\b[A-Z]{2}\d{2}[ ]?(?:[A-Z0-9]{4}[ ]?){2,7}[A-Z0-9]{1,4}\b"),
    "national_id": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "date_of_birth": re.compile(r"\b\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}\b"),
    "secret": re.compile(r"\b(?:sk-|ghp_|AKIA|xoxb-|eyJ)[\w.-]{16,}|(?i:password|secret|token)\s*[:=]\s*\S+"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--more", type=Path, nargs="*", default=[], help="further sets for the injection score"
    )
    options = parser.parse_args()
    print(f"# Guards\n\nMade by `python -m bench.guard`.\n\n{describe()}\n")
    _personal_data()
    _injections(options.more)
    _times()
    _hostile()


# --- personal data -------------------------------------------------------------------------------------


@dataclass
class Count:
    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __str__(self) -> str:
        precision = self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0
        return f"{precision:.2f} / {self.right / max(1, self.right + self.missed):.2f}"


def _personal_data() -> None:
    finder = Finder(GuardSettings())
    methods: dict[str, Find] = {"fast path": _ours(finder), "patterns alone": _patterns_alone}
    halves = {
        "known": (guard_values.KNOWN_FORMATS, guard_values.KNOWN_SENTENCES, guard_values.KNOWN_NEGATIVES),
        "unseen": (guard_values.UNSEEN_FORMATS, guard_values.UNSEEN_SENTENCES, guard_values.UNSEEN_NEGATIVES),
    }
    print(
        "## Personal data and secrets\n\nPrecision / recall; a value counts as found when all of it is covered by spans of its kind.\n"
    )
    columns = [f"{method}, {half}" for half in halves for method in methods]
    print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    counts: dict[tuple[str, str], dict[str, Count]] = {}
    flagged: dict[str, str] = {}
    for half, (formats, sentences, makers) in halves.items():
        random = Random(SEED)
        made = guard_values.rows(random, formats, sentences, ROWS_A_KIND)
        made += guard_values.negatives(random, makers, NEGATIVES)
        for method, find in methods.items():
            counts[half, method] = _counted(made, find)
            wrong = sum(any(True for _ in find(row.text)) for row in made if row.kind is None)
            flagged[f"{method}, {half}"] = f"{wrong} of {NEGATIVES}"
    for kind in guard_values.KNOWN_FORMATS:
        print(f"| {kind} | " + " | ".join(str(counts[h, m][kind]) for h in halves for m in methods) + " |")
    print("| hard negatives flagged | " + " | ".join(flagged[column] for column in columns) + " |\n")
    print(_on_ordinary_text(finder))


def _counted(rows: Sequence[Row], find: Find) -> dict[str, Count]:
    counts = {kind: Count() for kind in guard_values.KNOWN_FORMATS}
    for row in rows:
        start = row.text.find(row.value) if row.kind else -1
        covered: set[int] = set()
        for kind, begin, end in find(row.text):
            if kind == row.kind and begin < start + len(row.value) and start < end:
                covered |= set(range(begin, end))
            elif kind in counts:
                counts[kind].wrong += 1
        if row.kind:
            if covered >= set(range(start, start + len(row.value))):
                counts[row.kind].right += 1
            else:
                counts[row.kind].missed += 1
    return counts


def _ours(finder: Finder) -> Find:
    return lambda text: [(one.kind.value, one.start, one.end) for one in finder.find(text)]


def _patterns_alone(text: str) -> list[tuple[str, int, int]]:
    return [
        (kind, *match.span()) for kind, pattern in _PATTERNS_ALONE.items() for match in pattern.finditer(text)
    ]


def _on_ordinary_text(finder: Finder) -> str:
    texts = ordinary_texts()
    hits = sum(len(finder.find(text)) for text in texts)
    kilobytes = sum(map(len, texts)) / 1024
    return f"On {len(texts)} ordinary texts ({kilobytes:.0f} KB: abstracts, questions to databases, the sample company's pages) {hits} spans are found.\n"


def ordinary_texts() -> list[str]:
    """Text that nobody attacks with: Cranfield, database questions, the sample company."""
    texts: list[str] = []
    for name in ("corpus.jsonl", "queries.jsonl"):
        path = SHARED / "cranfield" / name
        if path.exists():
            texts += [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    questions = SHARED / "sql" / "defog" / "questions.jsonl"
    if questions.exists():
        texts += [json.loads(line)["question"] for line in questions.read_text(encoding="utf-8").splitlines()]
    for page in sorted((ROOT / "samples" / "documents").rglob("*.*")):
        if page.suffix in (".md", ".txt", ".html", ".csv"):
            texts += [part for part in page.read_text(encoding="utf-8").split("\n\n") if part.strip()]
    return [text for text in texts if text]


# --- injections ----------------------------------------------------------------------------------------


def _injections(more: Sequence[Path]) -> None:
    sets: list[tuple[str, bool, Sequence[str]]] = [
        ("attacks, known", True, guard_texts.ATTACKS_KNOWN),
        ("attacks, unseen", True, guard_texts.ATTACKS_UNSEEN),
        ("benign that sounds like one, known", False, guard_texts.BENIGN_KNOWN),
        ("benign that sounds like one, unseen", False, guard_texts.BENIGN_UNSEEN),
        ("ordinary text", False, ordinary_texts()),
    ]
    for path in more:
        rows = json.loads(path.read_text(encoding="utf-8"))
        for label in (1, 0):
            labelled = sorted({str(row["text"]) for row in rows if row["label"] == label})
            if labelled:
                sets.append((f"`{path.stem}`, {'attacks' if label else 'benign'}", bool(label), labelled))
    print(f"## Injection score\n\nShare of texts at or above the default threshold, {THRESHOLD}.\n")
    print("| set | texts | caught | falsely flagged |\n|---|---:|---:|---:|")
    for name, is_attack, texts in sets:
        share = sum(suspicion(text).score >= THRESHOLD for text in texts) / len(texts)
        print(
            f"| {name} | {len(texts)} | {f'{share:.2f}' if is_attack else ''} | {'' if is_attack else f'{share:.3f}'} |"
        )
    print()


# --- time ----------------------------------------------------------------------------------------------


def _times() -> None:
    finder, screening, tier = Finder(GuardSettings()), Screening(GuardSettings()), TierSettings()
    texts = _kilobytes()
    # what is shorter than 512 characters is not remembered
    parts = {name: _asked(text[:510], text[510:1020]) for name, text in texts.items()}
    wholes = {name: _asked(text) for name, text in texts.items()}
    work: dict[str, Callable[[str], object]] = {
        "fast path": lambda name: finder.find(texts[name]),
        "patterns alone": lambda name: _patterns_alone(texts[name]),
        "injection score": lambda name: suspicion(texts[name]),
        "`Screening.screen`, a new text": lambda name: screening.screen(parts[name], tier, is_local=False),
        "`Screening.screen`, a text of an earlier call": lambda name: screening.screen(
            wholes[name], tier, is_local=False
        ),
        "Markdown filter": lambda name: MarkdownFilter().whole(texts[name]),
    }
    print("## Time\n\nMicroseconds of processor time a kilobyte, the best of 9 rounds.\n")
    print(f"| | {' | '.join(texts)} |\n|---|{'---:|' * len(texts)}")
    for step, run in work.items():
        print(f"| {step} | " + " | ".join(f"{_best(run, name):.1f}" for name in texts) + " |")
    print()


def _asked(*texts: str) -> ChatRequest:
    return ChatRequest(model="m", messages=tuple(Message("user", text) for text in texts))


def _kilobytes() -> dict[str, str]:
    """A kilobyte each of prose without a digit, prose, code, a log, and rows of personal data."""
    prose = (
        "The delivery leaves the warehouse on Monday and arrives two days later; nobody minds the rain. "
        "Every tent is dried, folded and checked before it goes back on the shelf. "
    )
    dated = "In 2024 the shop sold 12,400 tents at $149.90 each, 7 % more than in 2023; 31 came back. "
    code = "def total(items: list[Item]) -> int:\n    return sum(item.price_cents * item.count for item in items)\n"
    log = "2024-11-03 10:33:12.483 INFO 4711 [http-8080-1] GET /api/orders/83749201 200 17ms id=9f86d081884c7d65\n"
    dirty = (
        "Anna Weber, anna.weber@example.com, +44 20 7946 0958, card 4111 1111 1111 1111, born 3 May 1985.\n"
    )
    pieces = {"prose, no digit": prose, "prose": dated, "code": code, "log": log, "personal data": dirty}
    return {name: (piece * 12)[:1024] for name, piece in pieces.items()}


def _best(run: Callable[[str], object], name: str, rounds: int = 9, repeats: int = 200) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeats):
            run(name)
        best = min(best, (time.process_time() - started) / repeats)
    return best * 1e6


_HOSTILE = {
    "digits": "1 ",
    "pairs of digits": "12 34 56 78 90 ",
    "bad phone numbers": "+10000000000 ",
    "good phone numbers": "415 555 2671 ",
    "cards": "4111111111111111 ",
    "dates of birth": "born 1.1.1999 ",
    "key heads": "-----BEGIN RSA PRIVATE KEY-----",
    "token heads": "eyJ",
    "passwords": "password ",
    "injection words": "ignore all ",
    "brackets": "[",
    "link heads": "[a](",
    "backticks": "` ``",
    "tags": "<a ",
}


def _hostile() -> None:
    """Time per kilobyte of 64 kB and of 256 kB: equal when the work is linear."""
    finder = Finder(GuardSettings())
    work: dict[str, Callable[[str], object]] = {
        "fast path": finder.find,
        "injection score": suspicion,
        "Markdown filter": lambda text: MarkdownFilter().whole(text),
    }
    print("## Hostile text\n\nMilliseconds of processor time a kilobyte, over 64 kB / over 256 kB.\n")
    print(f"| | {' | '.join(work)} |\n|---|{'---:|' * len(work)}")
    for name, piece in _HOSTILE.items():
        cells = []
        for run in work.values():
            times = []
            for size in (65_536, 262_144):
                text = (piece * (size // len(piece) + 1))[:size]
                started = time.process_time()
                run(text)
                times.append((time.process_time() - started) * 1e3 / (size / 1024))
            cells.append(f"{times[0]:.2f} / {times[1]:.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
