"""Names of span attributes: OpenTelemetry's GenAI conventions, and our own where those say nothing.

The conventions live in a repository of their own and the Python package's constants are deprecated, so the ones in
use are listed here: https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
"""Seconds, as a float."""
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
"""JSON; only where content may be captured."""
OUTPUT_MESSAGES = "gen_ai.output.messages"
CONVERSATION = "gen_ai.conversation.id"
PROMPT = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
PROMPT_VALUES = "causeway.prompt.values"
"""What prompts were filled with: values by name, by prompt; only where content may be captured."""
DATA_SOURCE = "gen_ai.data_source.id"
RETRIEVAL_TOP_K = "gen_ai.retrieval.top_k"
RETRIEVAL_QUERY = "gen_ai.retrieval.query.text"
RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents"
"""JSON list of ``{"id", "document_id", "title", "page", "score", "text"}``."""
TOOL_NAME = "gen_ai.tool.name"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
AGENT_NAME = "gen_ai.agent.name"
END_USER = "user.id"
"""Whom the program that sent the span calls its user."""
SERVICE = "service.name"
"""The program that sent the span; none is Causeway itself."""
ERROR_TYPE = "error.type"
"""A `causeway.errors.CausewayError` code, or the exception's class."""

COST_MICROS = "causeway.cost.micros"
PRINCIPAL = "causeway.principal.id"
OWNER = "causeway.owner.id"
"""Whose trace it is: a person's, whichever of their keys called, or a program's key's."""
TEAM = "causeway.team.id"
TIER = "causeway.tier"
CACHE = "causeway.cache"
"""``exact`` or ``semantic`` where a stored reply answered."""
CACHE_REASON = "causeway.cache.reason"
"""Why no stored reply answered."""
SIMILARITY = "causeway.cache.similarity"
"""Cosine of the question and the one whose stored reply answered."""
TEXTS = "causeway.texts"
"""How many texts were embedded or ranked."""
ROUTE_REASON = "causeway.route.reason"
ATTEMPTS = "causeway.attempts"
"""Calls of providers, where it took more than one."""
GUARD = "causeway.guard"
"""What a guard found: kinds and counts, never content."""
PURPOSE = "causeway.purpose"
QUESTION = "causeway.question"
ANSWER = "causeway.answer"
REFUSED = "causeway.refused"
"""Whether the answer was a refusal."""
UNDERSTOOD = "causeway.understood"
"""The question as it was searched for."""
SQL = "causeway.analyst.sql"
INPUT_VALUE = "input.value"
"""What a step of another program was given (OpenInference)."""
OUTPUT_VALUE = "output.value"
TRUNCATED = "causeway.truncated"
"""JSON ``{"attribute": characters}``: what was cut, and how long it had been."""
CLOCK = "causeway.clock"
"""What a span's own times say that cannot be."""

CONTENT = frozenset(
    {
        INPUT_MESSAGES,
        OUTPUT_MESSAGES,
        SYSTEM_INSTRUCTIONS,
        RETRIEVAL_QUERY,
        RETRIEVAL_DOCUMENTS,
        TOOL_ARGUMENTS,
        TOOL_RESULT,
        QUESTION,
        ANSWER,
        UNDERSTOOD,
        SQL,
        INPUT_VALUE,
        OUTPUT_VALUE,
    }
)
"""What people and documents said: kept only where content may be captured."""

FOREIGN_CONTENT = (
    "ai.prompt",
    "ai.response",
    "all_messages_events",
    "embedding.embeddings.",
    "events",
    "gen_ai.completion",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "llm.completions",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompt_template.variables",
    "llm.prompts",
    "retrieval.documents",
    "tool.parameters",
)
"""How attributes of other programs begin that hold content under names of their own."""
