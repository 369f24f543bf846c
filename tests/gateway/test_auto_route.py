from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causeway.contracts.chat import ChatRequest, ImagePart, Message, RawPart, TextPart, Tool, ToolCall
from causeway.contracts.vectors import Vectors
from causeway.errors import ModelUnavailableError
from causeway.gateway import auto_route
from causeway.gateway.auto_route import (
    AUTO,
    AutoRoute,
    Choice,
    Kind,
    Lexicon,
    LexiconEntry,
    Scale,
    Scorer,
    Weights,
    traits,
)
from causeway.gateway.question_vector import QuestionVector
from causeway.models.catalog import Catalog

_ROUTE = AutoRoute.packaged()
_LEXICON = Lexicon.packaged()
_PROMPTS = Path(__file__).parents[2] / "bench/auto_route"

_SMALL_LEXICON = Lexicon(
    [
        LexiconEntry("words", high="long", low="short"),
        LexiconEntry("proof", high="asks for a proof", words=("prove", "show that", "beweis*")),
        LexiconEntry("greeting", high="a greeting", words=("hi",)),
    ]
)
_TRAITS_ALONE = Scorer(
    bias=0.5,
    traits={
        "words": Scale(weight=1.0, mean=math.log1p(4), deviation=1.0),
        "proof": Scale(weight=3.0, mean=0.0, deviation=1.0),
        "greeting": Scale(weight=-2.0, mean=0.0, deviation=0.5),
    },
)
_WITH_VECTOR = Scorer(
    bias=0.0,
    traits=_TRAITS_ALONE.traits,
    kinds=(
        Kind("debugging", Scale(weight=4.0, mean=0.0, deviation=1.0), (1.0, 0.0)),
        Kind("small talk", Scale(weight=-4.0, mean=0.0, deviation=1.0), (0.0, 1.0)),
    ),
)
_SMALL = AutoRoute(Weights("tiny", "ab" * 32, _WITH_VECTOR, _TRAITS_ALONE), _SMALL_LEXICON, patience_s=0.01)

_DOUBTFUL = "so and so it is"
"""The traits alone give it a score of 0.66."""


def _request(text: str, *before: Message, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    return ChatRequest(model=AUTO, messages=(*before, Message("user", text)), tools=tools)


class _Embedder:
    """Counts how often it is asked; answers with one vector."""

    def __init__(self, vector: tuple[float, ...] = (1.0, 0.0)) -> None:
        self.calls = 0
        self._vector = np.array(vector, np.float32)

    async def __call__(self, text: str) -> Vectors:
        self.calls += 1
        return self._vector


def _vector(embedder: _Embedder, model: str = "tiny") -> QuestionVector:
    return QuestionVector("", embedder, model=model)


async def _by_traits(text: str, *before: Message, threshold: float = 0.5) -> Choice:
    return await _ROUTE.choose(_request(text, *before), _vector(_Embedder(), ""), threshold=threshold)


@pytest.mark.parametrize(
    "text",
    [
        "good evening",
        "What is the capital of Norway?",
        'Translate into French: "Prove that every design must be compared."',
        "Is this review positive or negative? 'Never again.'",
        "Was bedeutet das Wort Zwieback?",
        "¿Cuál es la capital de Perú?",
        "Merci beaucoup !",
        "谢谢",
    ],
)
async def test_simple_question_goes_to_the_cheap_model(text: str) -> None:
    choice = await _by_traits(text)
    assert not choice.is_hard
    assert choice.reason.startswith(f"simple {choice.score:.2f}: ")


@pytest.mark.parametrize(
    "text",
    [
        "Prove that the product of two compact spaces is compact and explain each step.",
        "Design a job queue that survives the loss of a data centre, and compare two ways to shard it.",
        "Why does our worker deadlock under load after the upgrade, and how would you prove the cause?",
        "Vergleiche zwei Architekturen für unser Lagersystem und begründe deine Empfehlung ausführlich.",
        "Analiza los riesgos legales de este contrato y evalúa las opciones del arrendador paso a paso.",
        "分析这份合同的法律风险、比较两种方案的优缺点、详细说明理由。",
    ],
)
async def test_hard_question_goes_to_the_strong_model(text: str) -> None:
    choice = await _by_traits(text)
    assert choice.is_hard
    assert choice.reason.startswith(f"hard {choice.score:.2f}: ")


async def test_threshold_moves_the_border_and_not_the_score() -> None:
    text = "Explain how bread rises."
    low = await _by_traits(text, threshold=0.01)
    high = await _by_traits(text, threshold=0.99)
    assert low.score == high.score
    assert (low.is_hard, high.is_hard) == (True, False)


async def test_threshold_zero_is_always_strong_and_one_always_cheap() -> None:
    assert (await _by_traits("hi", threshold=0.0)).is_hard
    tools = _request("Prove it.", tools=(Tool("search"),))
    assert not (await _ROUTE.choose(tools, _vector(_Embedder()), threshold=1.0)).is_hard


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (_request("hi", tools=(Tool("search"),)), "offers tools"),
        (
            _request("hi", Message("assistant", tool_calls=(ToolCall("1", "search", "{}"),))),
            "used tools",
        ),
        (_request("hi", Message("tool", "found", tool_call_id="1")), "used tools"),
        (
            _request("hi", Message("user", (TextPart("see"), ImagePart("https://example.org/a.png")))),
            "a picture",
        ),
        (_request("hi", Message("user", (RawPart({"type": "input_audio"}),))), "an attachment"),
    ],
)
async def test_what_the_cheap_model_may_not_read_is_hard_without_a_vector(
    request_: ChatRequest, why: str
) -> None:
    embedder = _Embedder()
    choice = await _SMALL.choose(request_, _vector(embedder), threshold=0.99)
    assert choice == Choice(True, 1.0, f"hard 1.00: {why}")
    assert embedder.calls == 0


async def test_tools_that_must_not_be_used_do_not_count() -> None:
    request = ChatRequest(
        model=AUTO, messages=(Message("user", "hi"),), tools=(Tool("search"),), tool_choice="none"
    )
    assert not (await _SMALL.choose(request, _vector(_Embedder(), ""), threshold=0.5)).is_hard


async def test_score_is_the_logistic_of_the_weighted_traits() -> None:
    choice = await _SMALL.choose(_request("prove this now"), _vector(_Embedder(), ""), threshold=0.5)
    logit = 0.5 + (math.log1p(3) - math.log1p(4)) + 3 * math.log1p(1) - 2 * 0.0
    assert choice.score == pytest.approx(1 / (1 + math.exp(-logit)))


async def test_vector_adds_its_likeness_to_kinds_of_task() -> None:
    like_debugging = await _SMALL.choose(_request(_DOUBTFUL), _vector(_Embedder((1.0, 0.0))), threshold=0.5)
    like_small_talk = await _SMALL.choose(_request(_DOUBTFUL), _vector(_Embedder((0.0, 1.0))), threshold=0.5)
    assert like_debugging.reason == "hard 0.98: like debugging, long"
    assert like_small_talk.reason == "simple 0.02: like small talk"


async def test_reason_names_what_pushed_to_the_chosen_side_strongest_first() -> None:
    hard = await _SMALL.choose(
        _request("hi prove it and then show that it holds"), _vector(_Embedder(), ""), threshold=0.5
    )
    assert hard.reason == f"hard {hard.score:.2f}: asks for a proof, long (no embedding model)"
    simple = await _SMALL.choose(_request("hi"), _vector(_Embedder(), ""), threshold=0.5)
    assert simple.reason == f"simple {simple.score:.2f}: a greeting, short"


async def test_reason_without_anything_to_name_says_so() -> None:
    choice = await _SMALL.choose(_request("one two three four"), _vector(_Embedder(), ""), threshold=0.5)
    assert choice.reason == "hard 0.62: nothing stands out (no embedding model)"


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=400))
async def test_reason_is_made_of_the_lexicons_words_alone(text: str) -> None:
    choice = await _by_traits(text)
    verdict, _, rest = choice.reason.partition(": ")
    assert verdict in (f"hard {choice.score:.2f}", f"simple {choice.score:.2f}")
    named = rest.removesuffix(" (no embedding model)").split(", ")
    known = {word for entry in _LEXICON.entries.values() for word in (entry.high, entry.low)}
    assert len(named) <= 3
    assert set(named) <= known | {"nothing stands out"}


async def test_vector_is_computed_only_where_the_traits_leave_a_doubt() -> None:
    embedder = _Embedder()
    for text, threshold in (("hi", 0.5), (_DOUBTFUL, 0.01), (_DOUBTFUL, 0.0), (_DOUBTFUL, 1.0)):
        await _SMALL.choose(_request(text), _vector(embedder), threshold=threshold)
    assert embedder.calls == 0
    await _SMALL.choose(_request(_DOUBTFUL), _vector(embedder), threshold=0.4)
    assert embedder.calls == 1


async def test_model_is_known_by_its_hash_as_well() -> None:
    embedder = _Embedder()
    choice = await _SMALL.choose(_request(_DOUBTFUL), _vector(embedder, "ab" * 32), threshold=0.5)
    assert embedder.calls == 1
    assert "(" not in choice.reason


async def test_vector_of_another_model_is_not_used_and_not_computed() -> None:
    embedder = _Embedder()
    choice = await _SMALL.choose(_request(_DOUBTFUL), _vector(embedder, "large"), threshold=0.5)
    assert choice.reason.endswith(" (not trained for vectors of large)")
    assert embedder.calls == 0


async def test_vector_of_another_length_is_not_used() -> None:
    choice = await _SMALL.choose(_request(_DOUBTFUL), _vector(_Embedder((1.0, 0.0, 0.0))), threshold=0.5)
    assert choice.reason.endswith(" (not trained for vectors of 3 numbers)")


async def test_failing_embedder_leaves_the_traits_to_decide() -> None:
    async def broken(_text: str) -> Vectors:
        msg = "the embedding model is starting"
        raise ModelUnavailableError(msg)

    alone = await _SMALL.choose(_request(_DOUBTFUL), _vector(_Embedder(), ""), threshold=0.5)
    choice = await _SMALL.choose(_request(_DOUBTFUL), QuestionVector("", broken, model="tiny"), threshold=0.5)
    assert choice.score == alone.score
    assert choice.reason.endswith(" (no vector: model_unavailable)")


async def test_slow_embedder_is_not_waited_for() -> None:
    async def never(_text: str) -> Vectors:
        await asyncio.Event().wait()
        raise AssertionError

    choice = await _SMALL.choose(_request(_DOUBTFUL), QuestionVector("", never, model="tiny"), threshold=0.5)
    assert choice.reason.endswith(" (no vector in time)")


async def test_cancelled_caller_is_not_answered_by_the_traits() -> None:
    async def never(_text: str) -> Vectors:
        await asyncio.Event().wait()
        raise AssertionError

    question = QuestionVector("", never, model="tiny")
    patient = AutoRoute(
        Weights("tiny", "ab" * 32, _WITH_VECTOR, _TRAITS_ALONE), _SMALL_LEXICON, patience_s=60
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await patient.choose(_request(_DOUBTFUL), question, threshold=0.5)


def test_quoted_text_and_code_are_material_and_not_what_is_wished() -> None:
    read = traits(_request('Translate "prove that it must be compared" and `why` to German'), _LEXICON)
    assert read["proof"] == read["weigh"] == read["cause"] == 0
    assert read["transform"] > 0
    assert read["material"] == pytest.approx(math.log1p(7))


def test_what_follows_the_colon_of_a_small_task_is_material() -> None:
    small = traits(_request("Fix the spelling: we compaer and prove evrything"), _LEXICON)
    assert small["proof"] == 0
    assert small["words"] == pytest.approx(math.log1p(3))
    large = traits(_request("Two wishes: fix the spelling and prove the lemma"), _LEXICON)
    assert large["proof"] > 0


@pytest.mark.parametrize(
    ("text", "trait"),
    [
        ("Zeige die Beweisführung", "proof"),  # a stem
        ("Please show that it holds", "proof"),  # two words
        ("请证明这个结论", "proof"),  # no spaces at all
        ("Is 1 a prime?", "lookup"),  # how it begins
        ("Rows:\n1. one\n2. two", "items"),
        ("Traceback (most recent call last)", "failure"),
        ("x^{2} and \\frac{1}{2}", "mathematics"),
        ("What? And why?", "questions"),
        ("```\nx = 1\n```", "code"),
        ("```\nwhile x:\n```", "branches"),
        ("3 of 4", "numbers"),
    ],
)
def test_trait_is_seen(text: str, trait: str) -> None:
    assert traits(_request(text), _LEXICON)[trait] > 0
    assert traits(_request("so be it"), _LEXICON)[trait] == 0


async def test_follow_up_of_a_hard_conversation_is_harder_than_of_a_simple_one() -> None:
    hard = (
        Message("user", "Prove that the algorithm terminates and derive its complexity."),
        Message("assistant", "It does, since ..."),
    )
    simple = (Message("user", "What is the capital of Peru?"), Message("assistant", "Lima."))
    after_hard, after_simple = await _by_traits("And then?", *hard), await _by_traits("And then?", *simple)
    assert after_hard.score > after_simple.score


async def test_instructions_of_the_system_count() -> None:
    labels = Message("system", "Classify each message. Reply with one label only, in one word.")
    expert = Message("system", "You compare options, justify each step and discuss risks in detail.")
    question = "Why was I charged twice?"
    assert (await _by_traits(question, labels)).score < (await _by_traits(question, expert)).score


async def test_request_without_a_question_is_scored() -> None:
    request = ChatRequest(model=AUTO, messages=(Message("system", "You are terse."),))
    choice = await _ROUTE.choose(request, _vector(_Embedder(), ""), threshold=0.5)
    assert 0 < choice.score < 1


def test_only_the_ends_of_a_long_text_are_read() -> None:
    long = "a " * 3_000 + "prove " * 50_000 + "b " * 1_000
    assert traits(_request(long), _LEXICON)["proof"] == 0
    assert traits(_request("prove it. " + long), _LEXICON)["proof"] > 0
    assert traits(_request(long + "prove it."), _LEXICON)["proof"] > 0


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=2_000))
def test_any_text_has_finite_traits(text: str) -> None:
    read = traits(_request(text), _LEXICON)
    assert list(read) == list(_LEXICON.entries)
    assert all(math.isfinite(value) and value >= 0 for value in read.values())


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2))
async def test_score_is_a_probability_and_is_compared_with_the_threshold(
    text: str, vector: list[float]
) -> None:
    question = _vector(_Embedder((vector[0], vector[1])))
    choice = await _SMALL.choose(_request(text), question, threshold=0.4)
    assert 0 < choice.score < 1
    assert choice.is_hard == (choice.score > 0.4)


def test_packaged_weights_belong_to_the_lexicon_and_the_catalogues_embedding_model() -> None:
    packed = json.loads(Path(auto_route.__file__).with_suffix(".json").read_text(encoding="utf-8"))
    card = Catalog.load().get(packed["embedding_model"])
    assert packed["embedding_sha256"] == card.weights.sha256
    for name in ("with_vector", "without_vector"):
        assert list(packed[name]["traits"]) == list(_LEXICON.entries)
    assert {len(kind["direction"]) for kind in packed["with_vector"]["kinds"]} == {card.dimensions}


def test_training_and_held_out_prompts_share_no_topic_and_no_text() -> None:
    rows = {
        name: [
            json.loads(line) for line in (_PROMPTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for name in ("train", "held_out", "checkable")
    }
    topics = {
        name: {(row["domain"], row["topic"], row["language"]) for row in rows[name]}
        for name in ("train", "held_out")
    }
    assert not topics["train"] & topics["held_out"]
    learned = {row["text"] for row in rows["train"]}
    assert not learned & {row["text"] for name in ("held_out", "checkable") for row in rows[name]}
