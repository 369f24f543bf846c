"""Brings the attributes of other programs' spans to the names that are used here.

OpenInference (https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md), OpenLLMetry's
``traceloop.*`` and numbered ``gen_ai.prompt.N.*``, and the GenAI conventions of before: what says the same as a name of
ours becomes it, everything else stays under its own. Lists that were flattened into numbered attributes are lists again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from causeway.observability import genai_names as names
from causeway.observability.messages import as_text

_OPERATIONS: Final = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "RETRIEVER": "retrieval",
    "RERANKER": "rerank",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "CHAIN": "chain",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluation",
    "PROMPT": "prompt",
    "WORKFLOW": "chain",
    "TASK": "chain",
    "GENERATION": "chat",
    "COMPLETION": "text_completion",
    "RERANK": "rerank",
}
_SAME: Final[Mapping[str, str]] = {
    "gen_ai.system": names.PROVIDER,
    "gen_ai.usage.prompt_tokens": names.INPUT_TOKENS,
    "gen_ai.usage.completion_tokens": names.OUTPUT_TOKENS,
    "gen_ai.usage.cache_read_input_tokens": names.CACHED_INPUT_TOKENS,
    "gen_ai.server.time_to_first_token": names.TIME_TO_FIRST_CHUNK,
    "gen_ai.response.finish_reason": names.FINISH_REASONS,
    "llm.model_name": names.RESPONSE_MODEL,
    "llm.provider": names.PROVIDER,
    "llm.system": names.PROVIDER,
    "llm.token_count.prompt": names.INPUT_TOKENS,
    "llm.token_count.completion": names.OUTPUT_TOKENS,
    "llm.token_count.prompt_details.cache_read": names.CACHED_INPUT_TOKENS,
    "llm.token_count.completion_details.reasoning": names.REASONING_TOKENS,
    "llm.finish_reason": names.FINISH_REASONS,
    "embedding.model_name": names.RESPONSE_MODEL,
    "reranker.model_name": names.RESPONSE_MODEL,
    "reranker.query": names.RETRIEVAL_QUERY,
    "reranker.top_k": names.RETRIEVAL_TOP_K,
    "session.id": names.CONVERSATION,
    "enduser.id": names.END_USER,
    "langfuse.user.id": names.END_USER,
    "langfuse.session.id": names.CONVERSATION,
    "agent.name": names.AGENT_NAME,
    "tool.name": names.TOOL_NAME,
    "tool_call.function.name": names.TOOL_NAME,
    "tool.parameters": names.TOOL_ARGUMENTS,
    "tool_call.function.arguments": names.TOOL_ARGUMENTS,
    "traceloop.entity.input": names.INPUT_VALUE,
    "traceloop.entity.output": names.OUTPUT_VALUE,
    "llm.prompt_template.version": names.PROMPT_VERSION,
    "prompt.id": names.PROMPT,
    "langfuse.observation.input": names.INPUT_VALUE,
    "langfuse.observation.output": names.OUTPUT_VALUE,
    "langfuse.observation.model.name": names.RESPONSE_MODEL,
    "langfuse.observation.prompt.name": names.PROMPT,
    "langfuse.observation.prompt.version": names.PROMPT_VERSION,
}
_PARAMETERS: Final = {"temperature": names.REQUEST_TEMPERATURE, "max_tokens": names.REQUEST_MAX_TOKENS}
_LISTS: Final = (
    "llm.input_messages",
    "llm.output_messages",
    "gen_ai.prompt",
    "gen_ai.completion",
    "retrieval.documents",
    "reranker.output_documents",
)
_NUMBERED: Final = re.compile(rf"({'|'.join(map(re.escape, _LISTS))})\.(\d{{1,5}})\.(.+)")
_INNER: Final = re.compile(r"([a-z_.]+?)\.(\d{1,5})\.(.+)")
_DOLLARS: Final = ("llm.cost.total", "gen_ai.usage.cost")
_MESSAGE_EVENTS: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHATS: Final = frozenset({"chat", "text_completion", "generate_content"})
_MOST_NUMBERS: Final = 64
_RESERVED: Final = (names.OWNER, names.PRINCIPAL, names.TEAM, names.TIER, names.SERVICE)


def brought_home(
    given: Mapping[str, Any], events: Iterable[tuple[str, Mapping[str, Any]]] = (), *, is_root: bool = False
) -> dict[str, Any]:
    """The attributes of a span, named as here; a root's input and output are the trace's question and answer.

    Whose a span is, is not for it to say: those attributes of ours are left out.
    """
    attributes: dict[str, Any] = {}
    lists: dict[str, dict[int, dict[str, Any]]] = {}
    for name, value in given.items():
        if name in _RESERVED or value is None:
            continue
        if match := _NUMBERED.fullmatch(name):
            lists.setdefault(match[1], {}).setdefault(int(match[2]), {})[match[3]] = value
        elif name in _SAME:
            attributes.setdefault(_SAME[name], value)
        else:
            attributes[name] = value
    _name_operation(attributes)
    _name_parameters(attributes)
    _collect(attributes, lists)
    _take_events(attributes, events)
    _place_values(attributes)
    for name in _DOLLARS:
        if isinstance(dollars := attributes.get(name), int | float) and names.COST_MICROS not in attributes:
            attributes[names.COST_MICROS] = round(dollars * 1_000_000) if abs(dollars) < 1e9 else 0
    if is_root and names.QUESTION not in attributes:
        _name_question(attributes)
    return {name: _plain(value) for name, value in attributes.items()}


def _name_operation(attributes: dict[str, Any]) -> None:
    if names.OPERATION in attributes:
        return
    for name in (
        "openinference.span.kind",
        "traceloop.span.kind",
        "llm.request.type",
        "langfuse.observation.type",
    ):
        said = str(attributes.get(name, "")).upper()
        if said in _OPERATIONS or said in ("CHAT", "EMBEDDINGS"):
            attributes[names.OPERATION] = _OPERATIONS.get(said, said.lower())
            return


def _name_parameters(attributes: dict[str, Any]) -> None:
    given = _decoded(attributes.get("llm.invocation_parameters"))
    if isinstance(given, dict):
        for theirs, ours in _PARAMETERS.items():
            if isinstance(given.get(theirs), int | float):
                attributes.setdefault(ours, given[theirs])


def _collect(attributes: dict[str, Any], lists: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> None:
    for theirs, ours in (
        ("llm.input_messages", names.INPUT_MESSAGES),
        ("gen_ai.prompt", names.INPUT_MESSAGES),
        ("llm.output_messages", names.OUTPUT_MESSAGES),
        ("gen_ai.completion", names.OUTPUT_MESSAGES),
    ):
        if theirs in lists and ours not in attributes:
            attributes[ours] = [_message(each) for _, each in sorted(lists[theirs].items())]
        elif theirs in attributes and ours not in attributes:
            attributes[ours] = attributes.pop(theirs)
    for theirs in ("retrieval.documents", "reranker.output_documents"):
        if theirs in lists and names.RETRIEVAL_DOCUMENTS not in attributes:
            attributes[names.RETRIEVAL_DOCUMENTS] = [
                _document(each) for _, each in sorted(lists[theirs].items())
            ]


_VALUES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "retrieval": ((names.INPUT_VALUE, names.RETRIEVAL_QUERY),),
    "execute_tool": (
        (names.INPUT_VALUE, names.TOOL_ARGUMENTS),
        (names.OUTPUT_VALUE, names.TOOL_RESULT),
    ),
    "chat": ((names.INPUT_VALUE, names.INPUT_MESSAGES), (names.OUTPUT_VALUE, names.OUTPUT_MESSAGES)),
}


def _place_values(attributes: dict[str, Any]) -> None:
    """A step's input and output under the name for its kind; of a chat they repeat its messages where it has some."""
    operation = attributes.get(names.OPERATION)
    for theirs, ours in _VALUES.get("chat" if operation in _CHATS else str(operation), ()):
        if theirs in attributes:
            attributes.setdefault(ours, attributes.pop(theirs))


def _message(flat: Mapping[str, Any]) -> dict[str, Any]:
    """OpenInference: ``message.role``, ``message.contents.0.message_content.text``; OpenLLMetry: ``role``, ``content``."""
    role, content = "", ""
    parts: dict[int, str] = {}
    tools: dict[int, dict[str, Any]] = {}
    rest: dict[str, Any] = {}
    for name, value in flat.items():
        name = name.removeprefix("message.")
        inner = _INNER.fullmatch(name)
        if name == "role":
            role = str(value)
        elif name == "content":
            content = as_text(value)
        elif inner and inner[1] == "contents":
            parts[int(inner[2])] = as_text(value) if inner[3].endswith(".text") else f"[{inner[3]}]"
        elif inner and inner[1] == "tool_calls":
            field = inner[3].rpartition(".")[2]
            tools.setdefault(int(inner[2]), {})[field] = value
        else:
            rest[name] = value
    said: dict[str, Any] = {
        "role": role,
        "content": content or "\n".join(text for _, text in sorted(parts.items())),
    }
    if tools:
        said["tool_calls"] = [
            {"name": str(each.get("name", "")), "arguments": each.get("arguments", "")}
            for _, each in sorted(tools.items())
        ]
    return {**said, **rest}


def _document(flat: Mapping[str, Any]) -> dict[str, Any]:
    about = {name.removeprefix("document."): value for name, value in flat.items()}
    metadata = _decoded(about.get("metadata"))
    found = {"id": about.get("id"), "text": about.get("content"), "score": about.get("score")}
    if isinstance(metadata, dict):
        found["title"] = next(
            (metadata[name] for name in ("title", "source", "file_name") if name in metadata), None
        )
        found["page"] = metadata.get("page")
        found["metadata"] = metadata
    return {name: value for name, value in found.items() if value is not None}


def _take_events(attributes: dict[str, Any], events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Messages that older conventions kept in events, and the exception that ended the step."""
    asked: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for name, noted in events:
        if name in _MESSAGE_EVENTS:
            asked.append(
                {"role": noted.get("role", _MESSAGE_EVENTS[name]), "content": noted.get("content", "")}
            )
        elif name == "gen_ai.choice":
            message = _decoded(noted.get("message", noted.get("content", "")))
            said.append(message if isinstance(message, dict) else {"role": "assistant", "content": message})
        elif name == "gen_ai.content.prompt":
            asked += _several(noted.get("gen_ai.prompt"))
        elif name == "gen_ai.content.completion":
            said += _several(noted.get("gen_ai.completion"))
        elif name == "gen_ai.client.inference.operation.details":
            for detail in (names.INPUT_MESSAGES, names.OUTPUT_MESSAGES, names.SYSTEM_INSTRUCTIONS):
                if detail in noted:
                    attributes.setdefault(detail, noted[detail])
        elif name == "exception" and noted.get("exception.type"):
            attributes.setdefault(names.ERROR_TYPE, str(noted["exception.type"]))
    for ours, messages in ((names.INPUT_MESSAGES, asked), (names.OUTPUT_MESSAGES, said)):
        if messages and ours not in attributes:
            attributes[ours] = messages


CONTENT_EVENTS: Final = frozenset(
    {
        *_MESSAGE_EVENTS,
        "gen_ai.choice",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
        "gen_ai.client.inference.operation.details",
    }
)
"""Events that hold what was said: it is in the span's attributes, and need not be stored twice."""


def _several(value: Any) -> Sequence[dict[str, Any]]:
    found = _decoded(value)
    if isinstance(found, list):
        return [each for each in found if isinstance(each, dict)]
    return [{"role": "", "content": found}] if found else []


def _name_question(attributes: dict[str, Any]) -> None:
    """Of a chain or an agent its input; a chat that is its own trace says it in its messages."""
    if attributes.get(names.OPERATION) in _CHATS:
        return
    for theirs, ours in ((names.INPUT_VALUE, names.QUESTION), (names.OUTPUT_VALUE, names.ANSWER)):
        if (value := attributes.get(theirs)) is not None:
            attributes[ours] = _words(value)


def _words(value: Any) -> str:
    """The text of an input: itself, or the one text of a mapping such as ``{"question": "..."}``."""
    found = _decoded(value)
    if isinstance(found, dict):
        texts = [each for each in found.values() if isinstance(each, str)]
        if len(texts) == 1:
            return texts[0]
    return as_text(value)


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in '[{"':
        try:
            return msgspec.json.decode(value)
        except (ValueError, RecursionError):
            return value
    return value


def _plain(value: Any) -> str | bool | int | float:
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list) and len(value) > _MOST_NUMBERS and isinstance(value[0], int | float):
        return f"[{len(value)} numbers]"  # a vector, which nobody reads
    return as_text(value)
