"""The live test of a provider: what it lists, and a call of a few tokens, told in words.

It opens the provider anew from its settings, so a provider can be tried before it is saved and one that a breaker keeps
away can be asked whether it works again. The call is not a caller's: it is in no ledger and counts against no limit.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.clock import Clock
from causeway.errors import CausewayError, DeadlineError
from causeway.gateway.providers import Providers
from causeway.gateway.routing import Routes
from causeway.settings import ProviderSettings, Settings, StorageSettings

DEADLINE_S = 20.0
_MOST_TOKENS = 16
"""Some servers refuse fewer; a model that thinks first spends them and says nothing, which is well enough here."""
_MOST_REMEMBERED = 100
_NO_CHAT = re.compile(
    r"embed|rerank|whisper|tts|dall-e|image|moderation|audio|realtime|transcribe", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a test found.

    Attributes:
        is_ok: The call was answered.
        told: One sentence for people.
        listed: The models that the server lists; None when it was not asked or did not tell.
        listing_problem: Why it lists none.
        model: What was called; None when there was nothing to call.
        latency_ms: Of the call, also of one that failed.
    """

    provider: str
    is_ok: bool
    told: str
    listed: tuple[str, ...] | None
    listing_problem: str | None
    model: str | None
    latency_ms: int | None
    checked_at: datetime


class ProviderChecks:
    """Tests providers, and remembers each one's newest test of this process.

    Args:
        run_dir: As for `Providers`.
        storage: As in the settings.
        clock: Measures the calls.
        deadline_s: The longest that a test may take.
    """

    def __init__(
        self, *, run_dir: Path, storage: StorageSettings, clock: Clock, deadline_s: float = DEADLINE_S
    ) -> None:
        self._run_dir = run_dir
        self._storage = storage
        self._clock = clock
        self._deadline_s = deadline_s
        self._newest: OrderedDict[str, Checked] = OrderedDict()

    def newest(self, name: str) -> Checked | None:
        """What the newest test of a provider found; None when it was not tested."""
        return self._newest.get(name)

    async def check(self, name: str, provider: ProviderSettings, *, model: str | None = None) -> Checked:
        """Test a provider; what goes wrong is in the result.

        Args:
            name: What the settings call it.
            provider: Its settings.
            model: What to call; the cheapest chat model that it offers when not given.
        """
        try:
            checked = await self._checked(name, provider, model)
        except CausewayError as exc:
            checked = self._result(name, told=exc.message)
        self._newest[name] = checked
        self._newest.move_to_end(name)
        if len(self._newest) > _MOST_REMEMBERED:
            self._newest.popitem(last=False)
        return checked

    async def _checked(self, name: str, provider: ProviderSettings, model: str | None) -> Checked:
        asked = provider.model_copy(update={"models": []})
        opened = Providers(
            Settings(providers={name: asked}, storage=self._storage), run_dir=self._run_dir, clock=self._clock
        )
        listed: tuple[str, ...] | None = None
        listing_problem = None
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._deadline_s):
                failures = await opened.discover()
                failure = failures.get(name)
                listing_problem = failure.message if failure is not None else None
                if name in failures and failure is None:
                    listed = _models_of(name, opened.routes())
                model = model or _cheapest(name, provider.models or listed or (), opened.routes())
                if model is None:
                    return self._nothing_to_call(name, listed, listing_problem)
                started = self._clock.monotonic()
                route = opened.routes().chat(f"{name}/{model}").first
                await route.provider.complete(_small_call(route.model))
        except TimeoutError:
            failed: CausewayError | None = DeadlineError(f"no answer within {self._deadline_s:g} s")
        except CausewayError as exc:
            failed = exc
        else:
            failed = None
        finally:
            await opened.close()
        return self._result(
            name,
            is_ok=failed is None,
            told=failed.message if failed is not None else f"'{model}' answered",
            listed=listed,
            listing_problem=listing_problem,
            model=model,
            latency_ms=round((self._clock.monotonic() - started) * 1000),
        )

    def _nothing_to_call(
        self, name: str, listed: tuple[str, ...] | None, listing_problem: str | None
    ) -> Checked:
        if listing_problem is not None:
            told = listing_problem
        elif listed:
            told = f"it lists {len(listed)} models and none that looks like a chat model; name one to call"
        else:
            told = "it lists no models; name one to call"
        return self._result(name, told=told, listed=listed, listing_problem=listing_problem)

    def _result(
        self,
        name: str,
        *,
        told: str,
        is_ok: bool = False,
        listed: tuple[str, ...] | None = None,
        listing_problem: str | None = None,
        model: str | None = None,
        latency_ms: int | None = None,
    ) -> Checked:
        return Checked(
            provider=name,
            is_ok=is_ok,
            told=told,
            listed=listed,
            listing_problem=listing_problem,
            model=model,
            latency_ms=latency_ms,
            checked_at=self._clock.now(),
        )


def _small_call(model: str) -> ChatRequest:
    asked = (Message(role="user", content="Reply with the word: ready"),)
    return ChatRequest(model=model, messages=asked, max_tokens=_MOST_TOKENS)


def _models_of(name: str, routes: Routes) -> tuple[str, ...]:
    prefix = f"{name}/"
    return tuple(each.removeprefix(prefix) for each in routes.names() if each.startswith(prefix))


def _cheapest(name: str, models: Sequence[str], routes: Routes) -> str | None:
    """The chat model with the lowest known price, else the first; None when none looks like one."""
    chats = [model for model in models if not _NO_CHAT.search(model)]
    prices = {model: routes.chat(f"{name}/{model}").first.price.output for model in chats}
    known = [model for model in chats if prices[model] > 0]
    return min(known, key=prices.__getitem__) if known else next(iter(chats), None)
