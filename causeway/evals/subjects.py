"""Subjects by name, and what the knowledge base's answers depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import ModelGateway
from causeway.errors import NotFoundError
from causeway.evals.calibration import Calibrations, JudgeSubject
from causeway.evals.judge import RUBRICS, Judge
from causeway.evals.prompts_subject import PromptsSubject
from causeway.evals.subject import (
    Answers,
    ChatSubject,
    KnowledgeSubject,
    RetrievalSubject,
    RouterSubject,
    Searches,
    Subject,
)
from causeway.knowledge import DocumentPage, DocumentState
from causeway.prompts.prompt import Prompt
from causeway.prompts.shelf import Shelf
from causeway.settings import KnowledgeSettings, ModelSettings, Settings

_ANSWER: Final = "answer"
_PAGE: Final = 500
_RELEVANT: Final = (
    "chunk_tokens",
    "candidates",
    "vector_weight",
    "rerank",
    "rerank_candidates",
    "rerank_weight",
    "passages",
    "context_tokens",
    "answer_tokens",
    "check",
    "check_quotes",
    "refuse_below",
)
"""The settings on which an answer depends; those of ingestion tell in the documents, if at all."""


class Documents(Protocol):
    """`causeway.knowledge.Library`."""

    async def documents(
        self,
        *,
        collection: str | None = None,
        state: DocumentState | None = None,
        text: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> DocumentPage:
        """Documents that match."""
        ...


Learnt = Callable[[], Awaitable[Mapping[str, object]]]
"""What was learnt from feedback and is on, as plain values; `causeway.knowledge.Proofs.identity`."""


async def _nothing() -> Mapping[str, object]:
    return {}


class KnowledgeIdentity:
    """What the knowledge base's answers depend on: documents by content, settings, models, the prompt."""

    def __init__(
        self,
        library: Documents,
        prompts: Shelf,
        *,
        knowledge: KnowledgeSettings,
        models: ModelSettings,
        learnt: Learnt,
    ) -> None:
        self._learnt = learnt
        self._library = library
        self._prompts = prompts
        self._knowledge = knowledge
        self._models = models

    async def __call__(self) -> Mapping[str, object]:
        """Plain values, one a setting, so that a comparison names the one that changed."""
        prompt = self._prompts.get(_ANSWER)
        count, digest = await self._documents()
        return {
            **{f"knowledge.{name}": getattr(self._knowledge, name) for name in _RELEVANT},
            **{f"models.{name}": getattr(self._models, name) for name in ("chat", "embed", "rerank")},
            "prompt": prompt.reference,
            "prompt_sha256": prompt.sha256,
            "documents": count,
            "documents_sha256": digest,
            **await self._learnt(),
        }

    async def _documents(self) -> tuple[int, str]:
        known: list[str] = []
        while True:
            page = await self._library.documents(state=DocumentState.READY, limit=_PAGE, offset=len(known))
            known += [f"{each.collection}\n{each.path}\n{each.blob}" for each in page.documents]
            if len(page.documents) < _PAGE:
                break
        return len(known), hashlib.sha256("\n".join(sorted(known)).encode()).hexdigest()


class Subjects:
    """Makes the subject that a name stands for, and the judge of answers.

    Attributes:
        learnt: What answers depend on beside settings, prompt and documents; nothing until it is set.
        knowledge_identity: What the knowledge base's answers depend on.

    Args:
        settings: Which models the aliases mean, how many passages an answer is written from.
        answering: Makes the knowledge base of a shelf of prompts.
        search: Its search.
        library: Its documents.
        gateway: The door to the models.
        calibrations: How far judges may be believed, and the prompts they use.
        clock: For durations.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        answering: Callable[[Shelf], Answers],
        search: Searches,
        library: Documents,
        gateway: ModelGateway,
        calibrations: Calibrations,
        clock: Clock,
    ) -> None:
        self.learnt: Learnt = _nothing
        self._gateway = gateway
        self._calibrations = calibrations
        self._prompts = calibrations.prompts
        self._clock = clock
        self._aliases = calibrations.aliases
        self._library = library
        self.judge = Judge(gateway, self._prompts, calibrations.trust)
        self._answering = answering
        self._settings = settings
        self.knowledge_identity = identify = self._identify(self._prompts)
        choices = {"cheap": settings.gateway.auto_cheap, "strong": settings.gateway.auto_strong}
        labels = {
            self._aliases.get(model, model).rpartition("/")[2]: label for label, model in choices.items()
        }
        self._plain: dict[str, Subject] = {
            "knowledge": KnowledgeSubject(answering(self._prompts), identify, clock),
            "retrieval": RetrievalSubject(search, identify, clock, top_k=settings.knowledge.passages),
            "router": RouterSubject(gateway, clock, labels=labels),
            "prompts": PromptsSubject(self._prompts, clock),
            "gateway": ChatSubject(
                gateway,
                clock,
                model="chat",
                means=self._aliases.get("chat", "chat"),
                tier=settings.gateway.default_tier,
            ),
        }

    def add(self, *subjects: Subject) -> None:
        """Let suites be run against other products."""
        self._plain |= {subject.name: subject for subject in subjects}

    def named(self, name: str) -> Subject:
        """The subject called ``name``.

        Raises:
            NotFoundError: There is none, or no such prompt or rubric.
        """
        kind, _, rest = name.partition(":")
        if name in self._plain:
            return self._plain[name]
        if kind == "model" and rest:
            return ChatSubject(self._gateway, self._clock, model=rest, means=self._aliases.get(rest, rest))
        if kind == "prompt" and rest:
            return self.prompt(self._prompts.get(rest))
        if kind == "judge" and rest:
            rubric, _, model = rest.partition(":")
            self.judge.check((rubric,))
            return self._judged(rubric, model or "chat")
        raise NotFoundError(
            f"nothing is called '{name}'; a suite is run against {', '.join(self._plain)}, model:NAME, prompt:NAME or "
            f"judge:RUBRIC:MODEL with one of {', '.join(RUBRICS)}"
        )

    async def missing(self, paths: Sequence[str]) -> list[str]:
        """Which of ``paths`` no ready document has."""
        missing = []
        for path in paths:
            page = await self._library.documents(state=DocumentState.READY, text=path, limit=_PAGE)
            if not any(each.path == path for each in page.documents):
                missing.append(path)
        return missing

    def with_prompt(self, prompt: Prompt) -> Subject:
        """What a prompt is used by: the knowledge base for ``answer``, the model ``chat`` for any other."""
        if prompt.name != _ANSWER:
            return self.prompt(prompt)
        shelf = self._prompts.replacing(prompt)
        return KnowledgeSubject(self._answering(shelf), self._identify(shelf), self._clock)

    def answering_by(self, answerer: Answers) -> Subject:
        """The knowledge base as another answerer answers."""
        return KnowledgeSubject(answerer, self._identify(self._prompts), self._clock)

    def _identify(self, prompts: Shelf) -> KnowledgeIdentity:
        return KnowledgeIdentity(
            self._library,
            prompts,
            knowledge=self._settings.knowledge,
            models=self._settings.models,
            learnt=lambda: self.learnt(),
        )

    def prompt(self, prompt: Prompt) -> Subject:
        """A prompt, on the model ``chat``."""
        means = self._aliases.get("chat", "chat")
        return ChatSubject(self._gateway, self._clock, model="chat", means=means, prompt=prompt)

    def _judged(self, rubric: str, model: str) -> Subject:
        identity = self._calibrations.identity(rubric, model)
        return JudgeSubject(self.judge, self._clock, rubric=rubric, model=model, identity=identity)
