"""Opens the providers that the settings name, and lays the routes to their models.

An alias (``chat``, ``embed``) means a model of the local catalogue or ``provider/model``. Nothing is loaded or
connected here: a local model starts with its first call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from tokenizers import Tokenizer

from causeway.contracts.clock import Clock
from causeway.errors import MissingModelFileError, SettingsError
from causeway.gateway.routing import OpenRoute, Route, Routes
from causeway.models.catalog import Catalog, ModelCard
from causeway.models.llama_process import LlamaProcess
from causeway.models.local_chat import LocalChat
from causeway.models.model_folder import is_pulled, missing, model_folder
from causeway.models.onnx_embedder import OnnxEmbedder
from causeway.models.onnx_model import load_tokenizer
from causeway.models.onnx_reranker import OnnxReranker
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import ChatProvider, EmbeddingProvider, RerankProvider
from causeway.models.scripted import Scripted
from causeway.settings import ProviderSettings, Settings


class Providers:
    """Every provider of this process; `close` lets go of their connections, threads and child processes."""

    def __init__(self, settings: Settings, *, run_dir: Path, clock: Clock) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._clock = clock
        self._catalog = Catalog.load()
        self._chat: dict[str, Route[ChatProvider]] = {}
        self._embed: dict[str, Route[EmbeddingProvider]] = {}
        self._rerank: dict[str, Route[RerankProvider]] = {}
        self._open: list[OpenRoute] = []
        self._opened: list[ChatProvider | EmbeddingProvider | RerankProvider] = []
        for card in self._local_cards():
            self._add_local(card)
        for name, provider in settings.providers.items():
            self._add_remote(name, provider)
        self._check_aliases()

    def routes(self) -> Routes:
        """The way to every model."""
        return Routes(
            chat=self._chat,
            embed=self._embed,
            rerank=self._rerank,
            aliases=self._aliases(),
            open_routes=self._open,
        )

    def local_card(self, alias: str) -> ModelCard | None:
        """The local model that an alias means; None when it is a provider's."""
        name = self._aliases()[alias]
        return self._catalog.get(name) if name in self._catalog else None

    def folder(self, card: ModelCard) -> Path:
        """Where a local model's files are."""
        return model_folder(card, self._settings.storage.models_dir)

    def missing(self) -> list[str]:
        """The local models that the aliases mean and that are not on this machine."""
        lacking = missing(self._aliases().values(), self._catalog, self._settings.storage.models_dir)
        return [card.id for card in lacking]

    def tokenizer(self) -> Tokenizer:
        """Counts tokens as the embedding model does; for a provider's model, as the local one does.

        Raises:
            MissingModelFileError: The local one has not been fetched.
        """
        card = self.local_card("embed") or self._catalog.get("bge-small-en")
        if not is_pulled(card, self._settings.storage.models_dir):
            raise MissingModelFileError(
                f"tokens are counted as '{card.id}' does; run 'causeway models pull {card.id}'"
            )
        return load_tokenizer(self.folder(card))

    async def close(self) -> None:
        """Close every provider."""
        async with AsyncExitStack() as stack:
            for provider in self._opened:
                stack.push_async_callback(provider.close)

    def _aliases(self) -> Mapping[str, str]:
        models = self._settings.models
        named = {"chat": models.chat, "fast": models.fast, "embed": models.embed, "rerank": models.rerank}
        return {alias: model for alias, model in named.items() if model}

    def _local_cards(self) -> Iterator[ModelCard]:
        """The models that the aliases mean, and every other one that has been fetched."""
        wanted = set(self._aliases().values())
        for card in self._catalog:
            if card.id in wanted or is_pulled(card, self._settings.storage.models_dir):
                yield card

    def _add_local(self, card: ModelCard) -> None:
        folder, settings = self.folder(card), self._settings.models
        match card.kind:
            case "chat":
                process = LlamaProcess(
                    card, folder / card.weights.name, settings, run_dir=self._run_dir, clock=self._clock
                )
                chat = LocalChat(process)
                self._opened.append(chat)
                self._chat[card.id] = Route(model=card.id, provider=chat)
            case "embed":
                embedder = OnnxEmbedder(card, folder, threads=settings.embed_threads)
                self._opened.append(embedder)
                self._embed[card.id] = Route(model=card.id, provider=embedder)
                self._embed[vector_space(card)] = Route(model=card.id, provider=embedder)
            case "rerank":
                reranker = OnnxReranker(card, folder, threads=settings.embed_threads)
                self._opened.append(reranker)
                self._rerank[card.id] = Route(model=card.id, provider=reranker)

    def _add_remote(self, name: str, settings: ProviderSettings) -> None:
        if settings.kind == "scripted":
            scripted = Scripted(name=name)
            self._opened.append(scripted)
            for model in settings.models or ["chat", "embed", "rerank"]:
                self._chat[f"{name}/{model}"] = Route(model=model, provider=scripted)
                self._embed[f"{name}/{model}"] = Route(model=model, provider=scripted)
                self._rerank[f"{name}/{model}"] = Route(model=model, provider=scripted)
            return
        if not settings.base_url:
            raise SettingsError(
                f"providers.{name} has no base_url; set it, such as https://api.openai.com/v1"
            )
        server = OpenAICompatible(name, settings)
        self._opened.append(server)
        if not settings.models:
            self._open.append(OpenRoute(prefix=name, chat=server, embed=server, prices=settings.prices))
        for model in settings.models:
            price = settings.prices.get(model)
            more = {"price": price} if price else {}
            self._chat[f"{name}/{model}"] = Route(model=model, provider=server, **more)
            self._embed[f"{name}/{model}"] = Route(model=model, provider=server, **more)

    def _check_aliases(self) -> None:
        known = {*self._chat, *self._embed, *self._rerank}
        for alias, model in self._aliases().items():
            if model not in known and model.partition("/")[0] not in {route.prefix for route in self._open}:
                raise SettingsError(
                    f"models.{alias} is '{model}', which is neither in the local catalogue ('causeway models list')"
                    " nor 'provider/model' of a configured provider"
                )


def vector_space(card: ModelCard) -> str:
    """What a collection remembers of the local model it was made with: another file's vectors do not fit."""
    return f"{card.id}@{card.weights.sha256[:12]}"
