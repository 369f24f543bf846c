"""What ``/v1`` offers: the gateway's models, and the products that answer a chat as a model does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from typing import Protocol

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest
from causeway.contracts.identity import Scope
from causeway.contracts.model_gateway import Call, ChatAssistant, ModelGateway
from causeway.errors import UnknownModelError
from causeway.models.provider import collect

_LONGEST_NAME = 200


class ListedGateway(ModelGateway, Protocol):
    """A `ModelGateway` that knows the names it answers to."""

    @property
    def model_names(self) -> Sequence[str]:
        """Every name that can be called."""
        ...


class Offer:
    """The models by name; of an assistant, ``name:argument`` reaches ``name``."""

    def __init__(self, gateway: ListedGateway, assistants: Mapping[str, ChatAssistant]) -> None:
        self.gateway = gateway
        self._assistants = assistants

    @property
    def names(self) -> list[str]:
        """Everything that can be called."""
        return [*self._assistants, *self.gateway.model_names]

    def require(self, name: str) -> str:
        """``name``, which is offered.

        Raises:
            UnknownModelError: It is not.
        """
        if name not in self.names:
            raise UnknownModelError(f"no model is called '{name[:_LONGEST_NAME]}'; GET /v1/models lists them")
        return name

    def complete(self, request: ChatRequest, call: Call) -> Awaitable[ChatReply]:
        """The whole reply."""
        assistant = self._assistant(request, call)
        if assistant is None:
            return self.gateway.complete(request, call)
        return collect(assistant.stream(request, call))

    def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written."""
        assistant = self._assistant(request, call)
        if assistant is None:
            return self.gateway.stream(request, call)
        return assistant.stream(request, call)

    def _assistant(self, request: ChatRequest, call: Call) -> ChatAssistant | None:
        assistant = self._assistants.get(request.model.partition(":")[0])
        if assistant is not None:
            call.principal.require(Scope.ASK)
        return assistant
