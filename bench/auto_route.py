"""Trains the cost router, and measures it on prompts that it was not trained on.

    python -m bench.auto_route train                                   # writes causeway/gateway/auto_route.json
    python -m bench.auto_route report [--other FOLDER] [--sql FILE] > bench/results/auto_route.md

The prompts and their labels are in ``bench/auto_route/``; what the two local models replied to the questions with a
checkable answer was recorded by ``python -m bench.auto_route_answers``. ``--other`` holds prompts of other authors that
are not ours to copy: ``mt_bench.jsonl`` (FastChat, fastchat/llm_judge/data/mt_bench/question.jsonl) and ``trec.txt``
(harvardnlp/sent-conv-torch, data/TREC.test.all). ``--sql`` is a file of questions with the difficulty of their SQL. The file is long because one page is printed from it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from bench.auto_route_answers import answers, is_right, questions
from bench.auto_route_training import (
    EMBEDDING_MODEL,
    Examples,
    Row,
    embed,
    examples,
    fit_calibrated,
    read,
)
from bench.machine import describe
from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.vectors import Vectors
from causeway.gateway import auto_route
from causeway.gateway.auto_route import AUTO, AutoRoute, Choice, Floats, Lexicon, Weights, traits
from causeway.gateway.question_vector import QuestionVector
from causeway.models.catalog import Catalog

Claims = npt.NDArray[np.bool_]

_WEIGHTS = Path(auto_route.__file__).with_suffix(".json")
_THRESHOLDS = (0.3, 0.5, 0.7)
_RESAMPLES = 2_000
_SEED = 7


async def _train() -> None:
    lexicon = Lexicon.packaged()
    some = await examples(read("train"), lexicon)
    weights = Weights(
        embedding_model=EMBEDDING_MODEL,
        embedding_sha256=Catalog.load().get(EMBEDDING_MODEL).weights.sha256,
        with_vector=fit_calibrated(some, with_vector=True).scorer(lexicon),
        without_vector=fit_calibrated(some, with_vector=False).scorer(lexicon),
    )
    text = msgspec.json.format(msgspec.json.encode(weights), indent=1).decode()
    _WEIGHTS.write_text(_one_line_a_vector(text) + "\n", encoding="utf-8")
    print(f"{len(some.rows)} prompts, {_WEIGHTS.stat().st_size} bytes")


def _one_line_a_vector(text: str) -> str:
    opening = '"direction": ['
    parts = text.split(opening)
    lines = [parts[0]]
    for part in parts[1:]:
        numbers, rest = part.split("]", 1)
        lines.append("".join(numbers.split()) + "]" + rest)
    return opening.join(lines)


async def _choices(
    requests: Sequence[ChatRequest], vectors: Vectors | None, threshold: float
) -> list[Choice]:
    """What the packaged router chooses; ``vectors`` None is a gateway without an embedding model."""
    route = AutoRoute.packaged()
    return [
        await route.choose(request, _question(None if vectors is None else vectors[at]), threshold=threshold)
        for at, request in enumerate(requests)
    ]


async def _scores(requests: Sequence[ChatRequest], vectors: Vectors | None) -> Floats:
    return np.array([choice.score for choice in await _choices(requests, vectors, 0.5)])


async def _strong(requests: Sequence[ChatRequest], vectors: Vectors | None, threshold: float) -> Claims:
    """Which requests go to the strong model."""
    return np.array([choice.is_hard for choice in await _choices(requests, vectors, threshold)])


def _question(vector: Vectors | None) -> QuestionVector:
    async def known(_text: str) -> Vectors:
        assert vector is not None
        return vector

    return QuestionVector("", known, model="" if vector is None else EMBEDDING_MODEL)


# --- statistics ------------------------------------------------------------------------------------------


def _auc(labels: Floats, scores: Floats) -> float:
    hard, simple = scores[labels == 1], scores[labels == 0]
    above = (hard[:, None] > simple[None, :]).mean() + (hard[:, None] == simple[None, :]).mean() / 2
    return float(above)


def _accuracy(labels: Floats, scores: Floats) -> float:
    return float(((scores > 0.5) == (labels == 1)).mean())


def _log_loss(labels: Floats, scores: Floats) -> float:
    return float(-np.log(np.clip(np.where(labels == 1, scores, 1 - scores), 1e-9, 1)).mean())


def _with_interval(
    measure: Callable[[Floats, Floats], float], rows: Sequence[Row], labels: Floats, scores: Floats
) -> str:
    """The measure and its 95 % interval; whole topics are drawn, since prompts of a topic are alike."""
    by_topic: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        by_topic.setdefault(row.group, []).append(at)
    topics = list(by_topic.values())
    dice = random.Random(_SEED)
    drawn = []
    for _ in range(_RESAMPLES):
        picked = [at for topic in dice.choices(topics, k=len(topics)) for at in topic]
        if 0 < labels[picked].sum() < len(picked):
            drawn.append(measure(labels[picked], scores[picked]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{measure(labels, scores):.3f} [{low:.3f}, {high:.3f}]"


def _wilson(right: int, count: int) -> str:
    z = 1.96
    middle = (right + z * z / 2) / (count + z * z)
    reach = z / (count + z * z) * (right * (count - right) / count + z * z / 4) ** 0.5
    return f"{right} of {count} ({max(0.0, middle - reach):.2f} to {min(1.0, middle + reach):.2f})"


# --- the page --------------------------------------------------------------------------------------------


async def _report(other: Sequence[tuple[str, list[str]]]) -> None:
    lexicon = Lexicon.packaged()
    train, held = await examples(read("train"), lexicon), await examples(read("held_out"), lexicon)
    requests = [row.request for row in held.rows]
    both = await _scores(requests, held.vectors)
    print("# The cost router\n\nMade by `python -m bench.auto_route report --other FOLDER --sql FILE`.\n")
    print(describe())
    _print_sets(train, held)
    _print_ablation(train, held, both, await _scores(requests, None))
    _print_groups("domain", held, both)
    _print_groups("language", held, both)
    _print_calibration(held.labels, both)
    await _print_thresholds(held)
    _print_new_domains(train, held)
    await _print_other_authors(other)
    await _print_cost(held)
    await _print_quality()


def _print_sets(train: Examples, held: Examples) -> None:
    print("\n## Prompts\n\nNo topic is in both sets, and Italian and Portuguese are in the second alone.\n")
    print("| set | prompts | hard | topics | languages |\n|---|---:|---:|---:|---|")
    for name, some in (("training", train), ("held out", held)):
        languages = sorted({row.language for row in some.rows})
        topics = len({row.group for row in some.rows})
        print(f"| {name} | {len(some.rows)} | {int(some.labels.sum())} | {topics} | {', '.join(languages)} |")


def _print_ablation(train: Examples, held: Examples, both: Floats, surface: Floats) -> None:
    always = fit_calibrated(train, with_vector=True).logits(held)
    alone = fit_calibrated(train, with_vector=True, with_traits=False).logits(held)
    print("\n## Held-out prompts\n\n95 % intervals by drawing topics.\n")
    print("| scorer | AUC | accuracy at .5 | log loss |\n|---|---|---|---:|")
    scorers = {
        "as packaged: traits, and the vector in doubt": both,
        "traits and always the vector": 1 / (1 + np.exp(-always)),
        "traits alone (no embedding model)": surface,
        "vector alone": 1 / (1 + np.exp(-alone)),
        "length in characters": np.array(
            [float(len(row.request.messages[-1].text) > 80) for row in held.rows]
        ),
    }
    for name, scores in scorers.items():
        auc = _with_interval(_auc, held.rows, held.labels, scores)
        accuracy = _with_interval(_accuracy, held.rows, held.labels, scores)
        loss = f"{_log_loss(held.labels, scores):.3f}" if scores.min() > 0 else "-"
        print(f"| {name} | {auc} | {accuracy} | {loss} |")


def _print_groups(name: str, held: Examples, scores: Floats) -> None:
    print(f"\n| {name} | right at .5 (95 %, Wilson) | AUC |\n|---|---|---:|")
    for value in sorted({getattr(row, name) for row in held.rows}):
        of = np.array([getattr(row, name) == value for row in held.rows])
        labels, theirs = held.labels[of], scores[of]
        right = int(((theirs > 0.5) == (labels == 1)).sum())
        auc = f"{_auc(labels, theirs):.3f}" if 0 < labels.sum() < len(labels) else "one label"
        print(f"| {value} | {_wilson(right, len(labels))} | {auc} |")


def _print_calibration(labels: Floats, scores: Floats) -> None:
    print("\n## Calibration\n\n| score | prompts | mean score | really hard |\n|---|---:|---:|---:|")
    edges = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    gap = 0.0
    for low, high in itertools.pairwise(edges):
        of = (scores > low) & (scores <= high)
        if of.any():
            mean, share = float(scores[of].mean()), float(labels[of].mean())
            gap += of.mean() * abs(mean - share)
            print(f"| {low} to {high} | {int(of.sum())} | {mean:.2f} | {share:.2f} |")
    brier = float(((scores - labels) ** 2).mean())
    print(f"\nExpected calibration error {gap:.3f}, Brier score {brier:.3f}.")


async def _print_thresholds(held: Examples) -> None:
    requests = [row.request for row in held.rows]
    print("\n## Thresholds\n")
    print(
        "| threshold | to the strong model | hard ones among them | simple ones among them | vectors asked for |"
    )
    print("|---:|---:|---:|---:|---:|")
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        strong = await _strong(requests, held.vectors, threshold)
        hard, simple = strong[held.labels == 1].mean(), strong[held.labels == 0].mean()
        without = await _choices(requests, None, threshold)
        asked = np.mean(["no embedding model" in choice.reason for choice in without])
        print(
            f"| {threshold} | {strong.mean():.0%} | {hard:.0%} of all hard | {simple:.0%} of all simple | {asked:.0%} |"
        )


def _print_new_domains(train: Examples, held: Examples) -> None:
    """Each domain scored by a router that saw no prompt of that domain."""
    scores, surface = np.zeros(len(held.rows)), np.zeros(len(held.rows))
    for domain in sorted({row.domain for row in held.rows}):
        rest = train.only([at for at, row in enumerate(train.rows) if row.domain != domain])
        of = [at for at, row in enumerate(held.rows) if row.domain == domain]
        scores[of] = fit_calibrated(rest, with_vector=True).logits(held.only(of))
        surface[of] = fit_calibrated(rest, with_vector=False).logits(held.only(of))
    print(
        "\n## Domains it never saw\n\nEach domain's held-out prompts, by a router trained without that domain.\n"
    )
    print("| scorer | AUC | accuracy at .5 |\n|---|---|---|")
    for name, logits in (("traits and vector", scores), ("traits alone", surface)):
        chance = 1 / (1 + np.exp(-logits))
        auc = _with_interval(_auc, held.rows, held.labels, chance)
        print(f"| {name} | {auc} | {_with_interval(_accuracy, held.rows, held.labels, chance)} |")


def _other_sets(other: Path | None, sql: Path | None) -> list[tuple[str, list[str]]]:
    sets: list[tuple[str, list[str]]] = []
    if other is not None:
        lines = (other / "trec.txt").read_text(encoding="utf-8").splitlines()
        sets.append(("TREC questions for a fact (simple)", [line.split(" ", 1)[1] for line in lines]))
        rows = [json.loads(line) for line in (other / "mt_bench.jsonl").read_text().splitlines()]
        for kind in sorted({row["category"] for row in rows}):
            of_kind = [row["turns"][0] for row in rows if row["category"] == kind]
            sets.append((f"MT-bench, {kind}", of_kind))
    if sql is not None:
        rows = [json.loads(line) for line in sql.read_text(encoding="utf-8").splitlines()]
        for level in ("easy", "medium", "hard"):
            of_level = [row["question"] for row in rows if row["difficulty"] == level]
            sets.append((f"Questions to a database, {level} SQL", of_level))
    return sets


async def _print_other_authors(sets: Sequence[tuple[str, list[str]]]) -> None:
    if not sets:
        return
    print("\n## Prompts of other authors\n")
    print(
        "| prompts | count | median score | to the strong model at .3 | at .5 | at .7 | at .5, traits alone |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, texts in sets:
        requests = [ChatRequest(model=AUTO, messages=(Message("user", text),)) for text in texts]
        vectors = await embed(texts)
        strong = [await _strong(requests, vectors, threshold) for threshold in _THRESHOLDS]
        surface = await _strong(requests, None, 0.5)
        shares = " | ".join(f"{share.mean():.0%}" for share in (*strong, surface))
        print(f"| {name} | {len(texts)} | {np.median(await _scores(requests, vectors)):.2f} | {shares} |")


async def _print_cost(held: Examples) -> None:
    lexicon, route = Lexicon.packaged(), AutoRoute.packaged()
    requests = [row.request for row in held.rows]
    asked = [_question(vector) for vector in held.vectors]
    long = ChatRequest(model=AUTO, messages=(Message("user", "Compare the two clauses below. " * 2_000),))

    async def read_all() -> None:
        for request in requests:
            traits(request, lexicon)

    async def decide_all() -> None:
        for request, question in zip(requests, asked, strict=True):
            await route.choose(request, question, threshold=0.5)

    async def decide_long() -> None:
        for _ in requests:
            await route.choose(long, asked[0], threshold=0.5)

    texts = [request.messages[-1].text for request in requests]
    loading_s = await _spent_s(lambda: embed(texts[:1]))
    rows = {
        "traits, mean of the held-out prompts": await _spent_s(read_all),
        "a whole decision, the same": await _spent_s(decide_all),
        "a whole decision, a prompt of 62,000 characters": await _spent_s(decide_long),
        "an embedding, mean of the held-out prompts": await _spent_s(lambda: embed(texts)) - loading_s,
    }
    print("\n## What a decision costs\n\nProcessor time; the decisions are given their vectors.\n")
    print("| what | us |\n|---|---:|")
    for name, seconds in rows.items():
        print(f"| {name} | {seconds / len(requests) * 1e6:.0f} |")


async def _spent_s(work: Callable[[], Awaitable[object]]) -> float:
    began = time.process_time()
    await work()
    return time.process_time() - began


async def _print_quality() -> None:
    """Quality against the share of calls that the strong model gets, on recorded replies."""
    known = answers()
    print("\n## Quality kept, money saved\n")
    print(
        "Questions whose answer is checked by a program, asked of the local models `fast` (0.5 B parameters) and `chat` "
        "(1.5 B). None is in the training. The first set was asked before the weights were final, and led to more "
        "training prompts of its kinds of task (other texts); the second was written after they were final."
    )
    for round_, name in ((1, "First set"), (2, "Second set")):
        asked = [question for question in questions() if question["round"] == round_]
        texts = [question["text"] for question in asked]
        requests = [ChatRequest(model=AUTO, messages=(Message("user", text),)) for text in texts]
        vectors = await embed(texts)
        scores = await _scores(requests, vectors)
        routes = {
            f"auto at {threshold}": await _strong(requests, vectors, threshold)
            for threshold in (0.02, 0.1, *_THRESHOLDS)
        }
        cheap, strong = (
            np.array([float(is_right(one, known[one["id"]][side])) for one in asked])
            for side in ("cheap", "strong")
        )
        cut = sum(known[one["id"]][side]["is_cut"] for one in asked for side in ("cheap", "strong"))
        print(
            f"\n### {name}: {len(asked)} questions\n\n{cut} of {2 * len(asked)} replies were cut at 240 tokens.\n"
        )
        _print_curve(routes, cheap, strong)
        _print_order(scores, cheap, strong)
        _print_kinds([question["kind"] for question in asked], scores, cheap, strong)


def _print_curve(routes: Mapping[str, Claims], cheap: Floats, strong: Floats) -> None:
    print("| route | calls to the strong model | right | at random, same share | auto minus random (95 %) |")
    print("|---|---:|---:|---:|---:|")
    nothing = np.zeros(len(cheap), dtype=bool)
    for name, is_strong in {"always cheap": nothing, **routes, "always strong": ~nothing}.items():
        right = np.where(is_strong, strong, cheap)
        share = float(is_strong.mean())
        by_chance = share * strong.mean() + (1 - share) * cheap.mean()
        margin = _margin(is_strong, cheap, strong) if 0 < share < 1 else "-"
        print(f"| {name} | {share:.0%} | {right.mean():.3f} | {by_chance:.3f} | {margin} |")


def _print_order(scores: Floats, cheap: Floats, strong: Floats) -> None:
    is_hard = scores > 0.5
    print(
        f"\nOf what scores as simple the cheap model has {cheap[~is_hard].mean():.0%} right and the strong one "
        f"{strong[~is_hard].mean():.0%}; of what scores as hard {cheap[is_hard].mean():.0%} and "
        f"{strong[is_hard].mean():.0%}."
    )
    gain = strong - cheap
    order = np.argsort(-scores, kind="stable")
    print("\n| share to the strong model, highest scores first | right | at random | best possible |")
    print("|---:|---:|---:|---:|")
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        count = round(share * len(scores))
        right_there = (cheap.sum() + gain[order[:count]].sum()) / len(scores)
        best = (cheap.sum() + np.sort(gain)[::-1][:count].clip(0).sum()) / len(scores)
        print(f"| {share:.0%} | {right_there:.3f} | {cheap.mean() + share * gain.mean():.3f} | {best:.3f} |")


def _margin(is_strong: Claims, cheap: Floats, strong: Floats) -> str:
    """How much more is right than at random, with an interval by drawing questions."""
    dice = np.random.default_rng(_SEED)
    gain = strong - cheap

    def above(at: npt.NDArray[np.intp]) -> float:
        return float((gain[at] * (is_strong[at] - is_strong[at].mean())).mean())

    everything = np.arange(len(gain))
    drawn = [above(dice.choice(everything, len(gain))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{above(everything):+.3f} [{low:+.3f}, {high:+.3f}]"


def _print_kinds(kinds: Sequence[str], scores: Floats, cheap: Floats, strong: Floats) -> None:
    print("\n| kind | questions | cheap right | strong right | median score |\n|---|---:|---:|---:|---:|")
    for kind in dict.fromkeys(kinds):
        of = [at for at, other in enumerate(kinds) if other == kind]
        print(
            f"| {kind} | {len(of)} | {cheap[of].sum():.0f} | {strong[of].sum():.0f} | {np.median(scores[of]):.2f} |"
        )
    pairs = list(zip(cheap, strong, strict=True))
    print(
        f"\nOnly the strong model is right on {pairs.count((0, 1))}, only the cheap one on {pairs.count((1, 0))}, "
        f"both on {pairs.count((1, 1))}, neither on {pairs.count((0, 0))}."
    )


def main() -> None:
    """Train, or print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("train", "report"))
    parser.add_argument("--other", type=Path)
    parser.add_argument("--sql", type=Path)
    asked = parser.parse_args()
    asyncio.run(_train() if asked.what == "train" else _report(_other_sets(asked.other, asked.sql)))


if __name__ == "__main__":
    main()
