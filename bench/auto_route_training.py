"""Learns the weights of `causeway.gateway.auto_route` from ``bench/auto_route/train.jsonl``; ``bench.auto_route`` runs it.

A logistic regression with an L2 penalty, by Newton's method. Its inputs are the traits and, for each kind of task (a
domain's hard or its simple questions), the question's vector times the direction from the mean of all to the mean of that
kind. Calibration is Platt's (1999), on scores of questions whose whole topic was left out of the training.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.gateway.auto_route import AUTO, Floats, Kind, Lexicon, Scale, Scorer, traits
from causeway.models.catalog import Catalog
from causeway.models.model_folder import model_folder
from causeway.models.onnx_embedder import OnnxEmbedder
from causeway.settings import load

EMBEDDING_MODEL = "bge-small-en"
PROMPTS = Path(__file__).parent / "auto_route"
PENALTY_TRAITS = 0.01
PENALTY_KINDS = 0.1
"""Per row; of .005 to .3 the strongest within .003 of the best log loss on topics left out of the training."""
_FOLDS = 5
_LEAST_OF_A_KIND = 8
_NEWTON_STEPS = 30
_SEED = 20

_KIND_NAMES = {
    ("smalltalk", False): "small talk",
    ("facts", False): "facts to look up",
    ("extraction", False): "extraction",
    ("classification", False): "classification",
    ("rewriting", False): "small rewrites",
    ("translation", False): "translation of a phrase",
    ("summary", False): "a short summary",
    ("arithmetic", False): "simple arithmetic",
    ("coding", False): "simple questions on code",
    ("business", False): "office chores",
    ("writing", False): "a few lines of text",
    ("planning", False): "small ideas",
    ("proof", True): "proofs",
    ("reasoning", True): "reasoning",
    ("debugging", True): "debugging",
    ("design", True): "software design",
    ("law", True): "legal analysis",
    ("medicine", True): "medical cases",
    ("planning", True): "planning",
    ("analysis", True): "analysis of numbers",
    ("writing", True): "long texts",
    ("science", True): "explaining science",
    ("business", True): "business decisions",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled request."""

    domain: str
    topic: str
    language: str
    is_hard: bool
    request: ChatRequest

    @property
    def group(self) -> str:
        """What is never split between training and test."""
        return f"{self.domain}/{self.topic}/{self.language}"

    @property
    def kind(self) -> str | None:
        """The kind of task that it is an example of."""
        return _KIND_NAMES.get((self.domain, self.is_hard))


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows as arrays: ``values (n, traits)``, ``vectors (n, 384)``, ``labels (n,)`` of 0 and 1."""

    rows: tuple[Row, ...]
    values: Floats
    vectors: Vectors
    labels: Floats

    def only(self, which: Sequence[int] | npt.NDArray[np.intp]) -> Examples:
        """Some of the rows, by index."""
        at = np.asarray(which, dtype=np.intp)
        return Examples(tuple(self.rows[n] for n in at), self.values[at], self.vectors[at], self.labels[at])


def read(name: str) -> tuple[Row, ...]:
    """The rows of ``bench/auto_route/NAME.jsonl``."""
    lines = (PROMPTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(_row(json.loads(line)) for line in lines)


def _row(line: dict[str, Any]) -> Row:
    messages = [Message("system", line["system"])] if "system" in line else []
    for at, text in enumerate(line.get("earlier", ())):
        messages.append(Message("assistant" if at % 2 else "user", text))
    messages.append(Message("user", line["text"]))
    fields = line.get("schema")
    schema = {"type": "object", "properties": {field: {} for field in fields}} if fields else None
    request = ChatRequest(model=AUTO, messages=tuple(messages), json_schema=schema)
    return Row(line["domain"], line["topic"], line["language"], line["is_hard"], request)


async def embed(texts: Sequence[str]) -> Vectors:
    """A vector a text, each computed alone, as the gateway does."""
    card = Catalog.load().get(EMBEDDING_MODEL)
    embedder = OnnxEmbedder(card, model_folder(card, load().storage.models_dir))
    try:
        rows = [
            (await embedder.embed(EmbedRequest(model=card.id, texts=(text,), kind="query"))).vectors
            for text in texts
        ]
    finally:
        await embedder.close()
    return np.concatenate(rows)


async def examples(rows: Sequence[Row], lexicon: Lexicon) -> Examples:
    """The rows with their traits and vectors."""
    values = np.array([list(traits(row.request, lexicon).values()) for row in rows])
    vectors = await embed([row.request.messages[-1].text for row in rows])
    return Examples(tuple(rows), values, vectors, np.array([float(row.is_hard) for row in rows]))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A regression over raw inputs, calibrated or not."""

    bias: float
    weight: Floats
    mean: Floats
    deviation: Floats
    kinds: tuple[str, ...]
    directions: Floats
    uses_traits: bool = True

    def logits(self, some: Examples) -> Floats:
        """The log-odds of being hard."""
        read = _inputs(some, self.directions, uses_traits=self.uses_traits)
        result: Floats = (read - self.mean) / self.deviation @ self.weight + self.bias
        return result

    def calibrated(self, slope: float, offset: float) -> Fitted:
        """The same with Platt's correction folded in."""
        return Fitted(
            self.bias * slope + offset,
            self.weight * slope,
            self.mean,
            self.deviation,
            self.kinds,
            self.directions,
            self.uses_traits,
        )

    def scorer(self, lexicon: Lexicon) -> Scorer:
        """What is written to ``auto_route.json``."""
        scales = [
            Scale(weight=round(w, 4), mean=round(m, 4), deviation=round(d, 4))
            for w, m, d in zip(self.weight.tolist(), self.mean.tolist(), self.deviation.tolist(), strict=True)
        ]
        count = len(lexicon.entries)
        kinds = tuple(
            Kind(name=name, scale=scale, direction=tuple(round(x, 3) for x in direction))
            for name, scale, direction in zip(
                self.kinds, scales[count:], self.directions.tolist(), strict=True
            )
        )
        return Scorer(
            bias=round(self.bias, 4), traits=dict(zip(lexicon.entries, scales, strict=False)), kinds=kinds
        )


def fit(
    some: Examples,
    *,
    with_vector: bool,
    with_traits: bool = True,
    penalties: tuple[float, float] = (PENALTY_TRAITS, PENALTY_KINDS),
) -> Fitted:
    """A regression that is not calibrated yet."""
    kinds, directions = _kinds(some) if with_vector else ((), np.zeros((0, some.vectors.shape[1])))
    read = _inputs(some, directions, uses_traits=with_traits)
    mean, deviation = read.mean(axis=0), read.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    traits_count = read.shape[1] - len(kinds)
    penalty = np.repeat(penalties, (traits_count, len(kinds))) * len(some.rows)
    bias, weight = _newton((read - mean) / deviation, some.labels, penalty)
    return Fitted(bias, weight, mean, deviation, kinds, directions, with_traits)


def fit_calibrated(some: Examples, *, with_vector: bool, with_traits: bool = True) -> Fitted:
    """A regression with its calibration."""
    left_out = out_of_topic_logits(some, with_vector=with_vector, with_traits=with_traits)
    offset, slope = _newton(left_out[:, None], some.labels, np.zeros(1))
    return fit(some, with_vector=with_vector, with_traits=with_traits).calibrated(float(slope[0]), offset)


def out_of_topic_logits(
    some: Examples,
    *,
    with_vector: bool,
    with_traits: bool = True,
    penalties: tuple[float, float] = (PENALTY_TRAITS, PENALTY_KINDS),
) -> Floats:
    """The log-odds of each row by a regression that saw no row of its topic."""
    groups = sorted({row.group for row in some.rows})
    random.Random(_SEED).shuffle(groups)
    fold_of = {group: at % _FOLDS for at, group in enumerate(groups)}
    folds = np.array([fold_of[row.group] for row in some.rows])
    logits = np.zeros(len(some.rows))
    for fold in range(_FOLDS):
        rest, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fitted = fit(some.only(rest), with_vector=with_vector, with_traits=with_traits, penalties=penalties)
        logits[test] = fitted.logits(some.only(test))
    return logits


def _inputs(some: Examples, directions: Floats, *, uses_traits: bool) -> Floats:
    projected = some.vectors @ directions.T
    return np.concatenate([some.values, projected], axis=1) if uses_traits else projected


def _kinds(some: Examples) -> tuple[tuple[str, ...], Floats]:
    names, directions = [], []
    overall = some.vectors.mean(axis=0)
    for name in _KIND_NAMES.values():
        of_kind = [at for at, row in enumerate(some.rows) if row.kind == name]
        if len(of_kind) >= _LEAST_OF_A_KIND:
            direction = some.vectors[of_kind].mean(axis=0) - overall
            names.append(name)
            directions.append(direction / np.linalg.norm(direction))
    return tuple(names), np.array(directions)


def _newton(inputs: Floats, labels: Floats, penalty: Floats) -> tuple[float, Floats]:
    """The bias, which is not penalised, and the weights of least loss."""
    design = np.concatenate([np.ones((len(inputs), 1)), inputs], axis=1)
    ridge = np.diag(np.concatenate([[1e-6], penalty + 1e-6]))
    weights = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (chance - labels) + ridge @ weights
        curvature = (design.T * (chance * (1 - chance))) @ design + ridge
        step = np.linalg.solve(curvature, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return float(weights[0]), weights[1:]
