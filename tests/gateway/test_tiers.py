from __future__ import annotations

import pytest

from causeway.contracts.identity import Operation, Principal, Scope
from causeway.errors import ModelNotAllowedError, OperatorError
from causeway.gateway.tiers import Tiers
from causeway.settings import TierSettings

_TIERS = Tiers(
    {
        "all": TierSettings(),
        "small": TierSettings(models=["fast", "openai/*-mini"]),
        "none": TierSettings(models=[]),
    }
)


def _caller(
    tier: str, *, models: tuple[str, ...] = (), endpoints: frozenset[Operation] = frozenset()
) -> Principal:
    return Principal(
        "key_1", "shop", frozenset({Scope.MODELS}), tier=tier, models=models, endpoints=endpoints
    )


@pytest.mark.parametrize(
    ("tier", "models", "names", "may"),
    [
        ("all", (), ["anything"], True),
        ("small", (), ["openai/gpt-5-mini"], True),
        ("small", (), ["fast", "local/qwen"], True),  # by its alias
        ("small", (), ["openai/gpt-5"], False),
        ("small", (), ["OPENAI/gpt-5-mini"], False),
        ("small", (), ["not-fast"], False),
        ("all", ("openai/*",), ["openai/gpt-5"], True),
        ("all", ("openai/*",), ["anthropic/claude"], False),
        ("small", ("openai/*",), ["fast"], False),
        ("small", ("*",), ["openai/gpt-5"], False),  # a key cannot widen its tier
        ("none", (), ["anything"], False),
    ],
)
def test_key_and_tier_must_both_reach_a_model(
    tier: str, models: tuple[str, ...], names: list[str], may: bool
) -> None:
    caller = _caller(tier, models=models)
    if may:
        _TIERS.may_use(caller, "chat", names)
    else:
        with pytest.raises(ModelNotAllowedError, match=f"may not use the model '{names[0]}'; it may use "):
            _TIERS.may_use(caller, "chat", names)


def test_a_refusal_tells_what_is_allowed() -> None:
    with pytest.raises(ModelNotAllowedError) as refused:
        _TIERS.may_use(_caller("small"), "chat", ["openai/gpt-5"])
    assert refused.value.message == (
        "tier 'small' may not use the model 'openai/gpt-5'; it may use fast, openai/*-mini"
    )


def test_a_key_reaches_its_endpoints_only() -> None:
    caller = _caller("all", endpoints=frozenset({"embeddings", "rerank"}))
    _TIERS.may_use(caller, "embeddings", ["embed"])
    with pytest.raises(ModelNotAllowedError, match="may not be used for chat; it is for embeddings, rerank"):
        _TIERS.may_use(caller, "chat", ["chat"])


def test_a_tier_that_is_gone_says_how_to_mend_it() -> None:
    with pytest.raises(
        OperatorError, match=r"tier 'gold', which .* add \[tiers.gold\] or .* all, none, small"
    ):
        _TIERS.of(_caller("gold"))
