"""The cost router: decides for ``model: "auto"`` whether the cheap model will do or the strong one is needed.

A logistic regression over some thirty traits of the question, most of them counts of words (``auto_route.toml``), and the
question's likeness to kinds of task, by the vector that the semantic cache wants too. No chat model is asked. The weights are
``auto_route.json``; how they were learned and what they are worth: ``bench/results/auto_route.md``, ADR 14. The idea
of a router that is trained on the question alone: RouteLLM, https://arxiv.org/abs/2406.18665.

The score is a calibrated probability that the question is hard: that a good reply takes several dependent steps,
weighing, special knowledge or a long text, and not one step of recall, copying, rewriting or deciding.
"""

from __future__ import annotations

import asyncio
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TypeAlias

import msgspec

from causeway.contracts.chat import ChatRequest, ImagePart, Message, RawPart
from causeway.contracts.vectors import Vectors
from causeway.errors import CausewayError
from causeway.gateway.question_vector import QuestionVector
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = deferred("numpy")

AUTO = "auto"
"""The model's name for which the gateway chooses."""

Floats: TypeAlias = "npt.NDArray[np.float64]"

_HERE = Path(__file__)
_HEAD_CHARS, _TAIL_CHARS = 6_000, 2_000
"""What is read of a long text; instructions stand at its beginning or its end."""
_DOUBT = 2.0
"""In log-odds: when the traits alone are further from the threshold, no vector is asked for, which costs forty times as
much as they do. On topics left out of the training a vector turned no decision beyond 1.5, and four in five lie there."""
_MOST_REASONS = 3
_NOTICEABLE = 0.15
"""A smaller contribution to the log-odds than this is not worth a word."""

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTED = re.compile(r"`[^`\n]*`|\"[^\"]*\"|“[^“”]*”|„[^„“”\"]*[“”\"]|«[^«»]*»|「[^「」]*」")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")  # noqa: RUF001 - the apostrophe that word processors write
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ITEM = re.compile(r"(?:^|\s)(?:[-*•]|\(?(?:\d{1,2}|[a-h])[.)])\s", re.MULTILINE)
_FAILURE = re.compile(
    r"Traceback|\b\w*(?:Error|Exception)\b|^[ \t]+at \w[\w.$]*\(|\bexit code\b|\bsegfault|\bpanic:",
    re.MULTILINE,
)
_CODE = re.compile(
    r"```|[{};][ \t]*$|\w\(\)|=>|\b(?:def|func|SELECT|import|class|const|public)\b[^\n(:{;]{0,60}[(:{;]",
    re.MULTILINE,
)
_BRANCH = re.compile(r"\b(?:for|while|if|elif|else|case|def|function|lambda|JOIN|HAVING|GROUP BY|CASE)\b")
_MATHS = re.compile(r"\\[a-z]+|\$[^$\n]+\$|\w\^[\w({]|[∑∫√≤≥≠∀∃∈→∞]")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CLAUSE = re.compile(r"[,;:，；：、]")  # noqa: RUF001 - Chinese marks
_QUESTION = re.compile(r"[?？]")  # noqa: RUF001
_LONG_WORD_CHARS = 9
_CHARS_PER_CHINESE_WORD = 1.7

_HARD = ("proof", "weigh", "build", "trouble", "cause", "thorough", "mathematics", "specialist")
_SIMPLE = ("transform", "pick", "brief", "lookup")
_EARLIER_MESSAGES, _SYSTEM_MESSAGES = 2, 4
"""How many of the user's messages before the last, and of the first instructions, are read."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        is_hard: The strong model is needed.
        score: 0 to 1; how probable it is that the question is hard.
        reason: A few words for the trace, none of them from the prompt: ``hard 0.71: asks for a proof, long``.
    """

    is_hard: bool
    score: float
    reason: str


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the regression: its weight after ``(value - mean) / deviation``."""

    weight: float
    mean: float
    deviation: Annotated[float, msgspec.Meta(gt=0)]


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of task; its input is the question's vector times ``direction``."""

    name: str
    scale: Scale
    direction: tuple[float, ...]


class Scorer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A regression, its calibration included. ``kinds`` is empty in the one that works without vectors."""

    bias: float
    traits: dict[str, Scale]
    kinds: tuple[Kind, ...] = ()


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was learned.

    Attributes:
        embedding_model: The catalogue's id of the model whose vectors the kinds are for.
        embedding_sha256: The hash of its weights, which is what it really is.
        with_vector, without_vector: Two scorers, each trained and calibrated on its own.
    """

    embedding_model: str
    embedding_sha256: str
    with_vector: Scorer
    without_vector: Scorer


class AutoRoute:
    """Scores questions; without state or chance, so equal requests get equal scores while their vectors can be had.

    Args:
        weights: What was learned.
        lexicon: What each trait is called, and its words.
        patience_s: A question waits no longer for its vector, since the traits alone decide almost as well.
    """

    def __init__(self, weights: Weights, lexicon: Lexicon, *, patience_s: float = 1.0) -> None:
        self._lexicon = lexicon
        self._patience_s = patience_s
        self._models = (weights.embedding_model, weights.embedding_sha256)
        self._shape = (len(weights.with_vector.kinds[0].direction),)
        self._weights = weights

    @classmethod
    def packaged(cls) -> Self:
        """The router that comes with Causeway."""
        weights = msgspec.json.decode(_HERE.with_suffix(".json").read_bytes(), type=Weights)
        return cls(weights, Lexicon.packaged())

    @cached_property
    def _with_vector(self) -> _Regression:
        return _Regression(self._weights.with_vector, self._lexicon)

    @cached_property
    def _without_vector(self) -> _Regression:
        return _Regression(self._weights.without_vector, self._lexicon)

    async def choose(self, request: ChatRequest, question: QuestionVector, *, threshold: float) -> Choice:
        """Whether ``request`` needs the strong model; never raises for want of a vector.

        Tools, pictures and other attachments need it whatever the question: a model that cannot read them fails
        instead of answering less well.

        Args:
            request: As the caller sent it, or masked.
            question: The vector of its last user message. Asked for if the traits leave a doubt, and
                ``question.model`` is the embedding model that the weights were trained for, by its id or its hash.
            threshold: 0 to 1; scores above it are hard. 0 sends everything to the strong model, 1 nothing.
        """
        if (needs := _needs(request)) is not None:
            return _choice(1.0, threshold, needs)
        values = traits(request, self._lexicon)
        score, reasons = self._without_vector.score(values, None, threshold)
        lack = ""
        if abs(_log_odds(score) - _log_odds(threshold)) < _DOUBT:
            vector, lack = await self._vector(question)
            if vector is not None:
                score, reasons = self._with_vector.score(values, vector, threshold)
        return _choice(score, threshold, ", ".join(reasons) + lack)

    async def _vector(self, question: QuestionVector) -> tuple[Vectors | None, str]:
        """The vector, or what the reason says about its absence."""
        if not question.model:
            return None, " (no embedding model)"
        if question.model not in self._models:
            return None, f" (not trained for vectors of {question.model})"
        try:
            async with asyncio.timeout(self._patience_s):
                vector = await question.get()
        except CausewayError as exc:
            return None, f" (no vector: {exc.code})"
        except TimeoutError:
            return None, " (no vector in time)"
        if vector.shape != self._shape:
            return None, f" (not trained for vectors of {vector.size} numbers)"
        return vector, ""


class Lexicon:
    """Names and words of the traits.

    Args:
        entries: The tables of ``auto_route.toml``.
    """

    def __init__(self, entries: Iterable[LexiconEntry]) -> None:
        self.entries = {entry.name: entry for entry in entries}
        self._exact: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        self._phrases: list[tuple[str, str]] = []
        self._openings: list[tuple[str, str]] = []
        for entry in self.entries.values():
            for word in entry.words:
                self._add(word, entry.name)
            self._openings.extend((f" {opening} ", entry.name) for opening in entry.opens)
        self._stem_sizes = sorted({len(stem) for stem in self._stems})

    @classmethod
    def packaged(cls) -> Self:
        """The one that comes with Causeway."""
        table = tomllib.loads(_HERE.with_suffix(".toml").read_text(encoding="utf-8"))
        return cls(msgspec.convert(table["trait"], list[LexiconEntry]))

    def count(self, text: str) -> Counter[str]:
        """How often each trait's words occur in ``text``, which is in lower case."""
        words = _WORD.findall(text)
        found: Counter[str] = Counter()
        for word in words:
            found.update(self._exact.get(word, ()))
            for size in self._stem_sizes:
                if size > len(word):
                    break
                found.update(self._stems.get(word[:size], ()))
        line = f" {' '.join(words)} "
        for phrase, name in self._phrases:
            if phrase in line:
                found[name] += 1
        found.update({name for opening, name in self._openings if line.startswith(opening)})
        return found

    def _add(self, word: str, name: str) -> None:
        if word.endswith("*"):
            self._stems.setdefault(word[:-1], []).append(name)
        elif _IDEOGRAPH.search(word):
            self._phrases.append((word, name))
        elif len(parts := _WORD.findall(word)) > 1:
            self._phrases.append((f" {' '.join(parts)} ", name))
        else:
            self._exact.setdefault(word, []).append(name)


class LexiconEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trait; ``auto_route.toml`` says what its fields are."""

    name: str
    high: str = ""
    low: str = ""
    words: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()


def traits(request: ChatRequest, lexicon: Lexicon) -> dict[str, float]:
    """What the scorer reads off ``request`` without a vector: one number a trait, counts as ``log(1 + n)``.

    Only the first 6,000 and the last 2,000 characters of a message are read, so the time is bounded.
    """
    spoken = [message for message in request.messages if message.role in ("user", "assistant")]
    asked = [message for message in spoken if message.role == "user"]
    counts = _question_counts(_excerpt(asked[-1]) if asked else "", lexicon)
    earlier = _lexical(asked[-1 - _EARLIER_MESSAGES : -1], lexicon)
    instructions = [message for message in request.messages if message.role == "system"]
    system = _lexical(instructions[:_SYSTEM_MESSAGES], lexicon)
    counts |= {
        "earlier": sum(earlier[name] for name in _HARD),
        "turns": max(0, len(spoken) - 1),
        "system_hard": sum(system[name] for name in _HARD),
        "system_simple": sum(system[name] for name in _SIMPLE),
        "schema": request.json_schema is not None,
    }
    return {name: math.log1p(counts[name]) for name in lexicon.entries}


def _question_counts(text: str, lexicon: Lexicon) -> Counter[str]:
    # What is quoted is material, not wish: "Translate 'prove it'" asks for no proof.
    # So is what follows the colon of a small task: "Summarise in one sentence: ...".
    fenced = _FENCED.findall(text)
    asked = _FENCED.sub(" ", text)
    material = [*fenced, *_QUOTED.findall(asked)]
    unquoted = wish = _QUOTED.sub(" ", asked).lower()
    task, colon, rest = wish.partition(":")
    if colon and _is_small(lexicon.count(task)):
        wish = task
        material.append(rest)
    words = _WORD.findall(wish)
    ideographs = len(_IDEOGRAPH.findall(wish))
    counts = lexicon.count(wish)
    counts["words"] = len(words) + round(ideographs / _CHARS_PER_CHINESE_WORD)
    counts["material"] = sum(len(part.split()) for part in material)
    counts["questions"] = max(0, len(_QUESTION.findall(wish)) - 1)
    counts["items"] = len(_ITEM.findall(asked))
    counts["clauses"] = len(_CLAUSE.findall(wish))
    counts["branches"] = sum(len(_BRANCH.findall(part)) for part in fenced)
    counts["code"] = len(_CODE.findall(text))
    counts["failure"] = len(_FAILURE.findall(text))
    counts["numbers"] = len(_NUMBER.findall(unquoted))
    counts["long_words"] = sum(len(word) >= _LONG_WORD_CHARS for word in words)
    counts["mathematics"] += len(_MATHS.findall(asked))
    counts["ideographs"] = ideographs > len(wish) // 4
    return counts


def _is_small(counts: Counter[str]) -> bool:
    return any(counts[name] for name in _SIMPLE) and not any(counts[name] for name in _HARD)


def _lexical(messages: Sequence[Message], lexicon: Lexicon) -> Counter[str]:
    return lexicon.count("\n".join(map(_excerpt, messages))[:_HEAD_CHARS].lower()) if messages else Counter()


def _excerpt(message: Message) -> str:
    text = message.text
    return text if len(text) <= _HEAD_CHARS + _TAIL_CHARS else f"{text[:_HEAD_CHARS]}\n{text[-_TAIL_CHARS:]}"


def _needs(request: ChatRequest) -> str | None:
    """What the cheap model may not be able to read at all."""
    if request.tools and request.tool_choice != "none":
        return "offers tools"
    for message in request.messages:
        if message.role == "tool" or message.tool_calls:
            return "used tools"
        if not isinstance(message.content, str):
            for part in message.content:
                if isinstance(part, ImagePart):
                    return "a picture"
                if isinstance(part, RawPart):
                    return "an attachment"
    return None


def _choice(score: float, threshold: float, why: str) -> Choice:
    is_hard = score > threshold
    return Choice(is_hard, score, f"{'hard' if is_hard else 'simple'} {score:.2f}: {why}")


def _log_odds(chance: float) -> float:
    if chance <= 0 or chance >= 1:
        return math.copysign(math.inf, chance - 0.5)
    return math.log(chance / (1 - chance))


class _Regression:
    """A `Scorer` as arrays, with the words for its inputs."""

    def __init__(self, scorer: Scorer, lexicon: Lexicon) -> None:
        self._names = tuple(scorer.traits)
        self._entries = [lexicon.entries[name] for name in self._names]
        scales = [*scorer.traits.values(), *(kind.scale for kind in scorer.kinds)]
        self._bias = scorer.bias
        self._weight = np.array([scale.weight for scale in scales])
        self._mean = np.array([scale.mean for scale in scales])
        self._deviation = np.array([scale.deviation for scale in scales])
        self._kinds = tuple(kind.name for kind in scorer.kinds)
        self._directions = np.array([kind.direction for kind in scorer.kinds], dtype=np.float32)

    def score(
        self, values: Mapping[str, float], vector: Vectors | None, threshold: float
    ) -> tuple[float, list[str]]:
        """The probability, and what spoke most for the side of ``threshold`` that it is on."""
        read = np.array([values[name] for name in self._names])
        if vector is not None:
            read = np.concatenate([read, self._directions @ vector])
        standard = (read - self._mean) / self._deviation
        parts = standard * self._weight
        score = 1 / (1 + math.exp(-max(-30.0, min(30.0, self._bias + float(parts.sum())))))
        return score, self._reasons(standard, parts, toward=1 if score > threshold else -1)

    def _reasons(self, standard: Floats, parts: Floats, *, toward: int) -> list[str]:
        """At most three inputs by ``weight * value``; the vector's many inputs speak with one voice."""
        spoken: list[tuple[float, str]] = []
        pushes = parts * toward
        for entry, value, push in zip(self._entries, standard, pushes, strict=False):
            if word := entry.high if value > 0 else entry.low:
                spoken.append((float(push), word))
        if self._kinds:
            of_kinds = pushes[len(self._names) :]
            alike = np.where(standard[len(self._names) :] > 0, of_kinds, -np.inf)
            if alike.max() > 0:
                spoken.append((float(of_kinds.sum()), f"like {self._kinds[int(alike.argmax())]}"))
        spoken.sort(key=lambda one: -one[0])
        return [word for push, word in spoken[:_MOST_REASONS] if push > _NOTICEABLE] or ["nothing stands out"]
