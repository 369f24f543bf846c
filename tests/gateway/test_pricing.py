from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.chat import ChatRequest, ImagePart, Message, RawPart, TextPart, Tool, Usage
from causeway.gateway.pricing import FREE, PriceTable, cost, estimate, most_cost
from causeway.settings import PriceSettings

TABLE = PriceTable.packaged()


def price(**written: str | int) -> PriceSettings:
    return PriceSettings.model_validate(written)


GPT = price(input="2.5", output="10", cached_input="1.25")
counts = st.integers(min_value=0, max_value=2_000_000)
dollars = st.decimals(min_value=0, max_value=200, places=4)


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (Usage(1000, 500), 2500 + 5000),
        (Usage(1000, 500, cached_input_tokens=400), 1500 + 500 + 5000),
        (Usage(1, 0), 2),  # 2.5, half to even
        (Usage(3, 0), 8),  # 7.5, half to even
        (Usage(), 0),
    ],
)
def test_a_call_costs_what_its_tokens_cost(usage: Usage, micros: int) -> None:
    assert cost(usage, GPT) == micros


def test_the_parts_are_added_before_they_are_rounded() -> None:
    assert cost(Usage(1, 1), price(input="0.4", output="0.4")) == 1


@given(counts, counts, st.decimals(0, 200, places=6), st.decimals(0, 200, places=3))
def test_a_plain_call_costs_to_the_micro_what_decimals_make_of_it(
    read: int, written: int, dear: Decimal, cheap: Decimal
) -> None:
    exact = (read * dear + written * cheap).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert cost(Usage(read, written), PriceSettings(input=dear, output=cheap)) == exact


def test_cache_writes_cost_their_own_price_or_that_of_input() -> None:
    usage = Usage(100, 0, cached_input_tokens=20, cache_write_tokens=30)
    assert cost(usage, price(input=3, cached_input="0.3", cache_write="3.75")) == round(150 + 6 + 112.5)
    assert cost(usage, price(input=3)) == 300


def test_a_long_prompt_makes_the_whole_call_dearer() -> None:
    long = price(
        input=2,
        output=10,
        cached_input="0.2",
        long_prompt_tokens=1000,
        long_input_factor=2,
        long_output_factor="1.5",
    )
    assert cost(Usage(1000, 100), long) == 2000 + 1000
    assert cost(Usage(1001, 100, cached_input_tokens=1), long) == 4000 + 0 + 1500


def test_pictures_cost_each() -> None:
    assert cost(Usage(), price(image="0.04"), images=3) == 120_000


def test_a_model_of_this_machine_is_free() -> None:
    assert cost(Usage(10**9, 10**9), FREE, images=5) == 0


@given(counts, counts, dollars, dollars)
def test_a_cost_is_exact(taken: int, made: int, dear: Decimal, dearer: Decimal) -> None:
    exact = taken * dear + made * dearer
    assert abs(cost(Usage(taken, made), PriceSettings(input=dear, output=dearer)) - exact) <= Decimal("0.5")


@given(
    counts, counts, st.data(), st.sampled_from([GPT, price(input=3, cached_input="0.3", cache_write="3.75")])
)
def test_no_call_costs_more_than_the_most_of_its_tokens(
    taken: int, made: int, data: st.DataObject, model: PriceSettings
) -> None:
    cached = data.draw(st.integers(min_value=0, max_value=taken))
    written = data.draw(st.integers(min_value=0, max_value=taken - cached))
    usage = Usage(taken, made, cached, cache_write_tokens=written)
    assert cost(usage, model) <= most_cost(taken, made, [FREE, model])


def test_the_most_of_no_price_is_nothing() -> None:
    assert most_cost(1000, 1000, []) == 0


# --- the packaged table ------------------------------------------------------------------------------


def test_the_table_says_when_it_was_written() -> None:
    assert TABLE.updated >= date(2026, 11, 27)


@pytest.mark.parametrize(
    ("model", "dated"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("claude-opus-5-5", "claude-opus-5-5-latest"),
    ],
)
def test_a_dated_name_has_the_price_of_its_model(model: str, dated: str) -> None:
    assert TABLE.find(dated) == TABLE.find(model) is not None


@pytest.mark.parametrize("model", ["gpt-4o-audio-preview", "llama3", "", "openai/gpt-4o"])
def test_another_model_is_not_guessed_at(model: str) -> None:
    assert TABLE.find(model) is None


def test_the_prices_of_the_table_make_sense() -> None:
    for name in ("gpt-6-sol", "claude-opus-5-5", "claude-haiku-5-5", "gpt-4o-mini", "o3"):
        known = TABLE.find(name)
        assert known is not None
        assert known.price.cached_input is not None
        assert 0 < known.price.cached_input < known.price.input < known.price.output
        assert known.context_tokens is not None
        assert known.most_output_tokens is not None


# --- estimates ---------------------------------------------------------------------------------------


def asked(*content: str | tuple[TextPart | ImagePart | RawPart, ...], **more: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=tuple(Message("user", one) for one in content), **more)


PROSE = "The contract begins when both parties have signed it, and ends after three years. " * 40
"""680 tokens by OpenAI's o200k."""


def test_an_estimate_of_prose_is_above_the_count_and_not_far() -> None:
    tokens, _ = estimate(asked(PROSE), most_output=100)
    assert 680 < tokens < 680 * 1.7


@pytest.mark.parametrize(("limit", "most", "expected"), [(None, 100, 100), (50, 100, 50), (500, 100, 100)])
def test_the_output_is_what_the_request_and_the_tier_allow(
    limit: int | None, most: int, expected: int
) -> None:
    assert estimate(asked("Hi", max_tokens=limit), most_output=most)[1] == expected


def test_dense_and_foreign_text_counts_more_than_prose_of_its_length() -> None:
    dense, foreign = "a9" * 1600, "合同自双方签字" * 150
    prose, _ = estimate(asked(PROSE[:3200]), most_output=1)
    assert estimate(asked(dense), most_output=1)[0] > 2 * prose
    assert estimate(asked(foreign), most_output=1)[0] >= 900


def test_pictures_tools_and_schemas_count() -> None:
    bare, _ = estimate(asked("Hi"), most_output=1)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    for request in (
        asked((TextPart("Hi"), ImagePart("data:image/png;base64," + "A" * 10**6))),
        asked((TextPart("Hi"), RawPart({"type": "file", "file": {"file_data": "A" * 300}}))),
        asked("Hi", tools=(Tool("look", "Looks", schema),)),
        asked("Hi", json_schema=schema),
    ):
        tokens, _ = estimate(request, most_output=1)
        assert bare < tokens < bare + 3000


@given(st.lists(st.text(max_size=200), max_size=5))
def test_more_text_is_never_estimated_at_less(texts: list[str]) -> None:
    fewer, _ = estimate(asked(*texts), most_output=1)
    more, _ = estimate(asked(*texts, "and this"), most_output=1)
    assert 0 < fewer < more
