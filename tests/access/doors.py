"""Every door of Causeway, and what somebody tries at each who is after documents that are not for them.

A route that is not listed here fails the suite: whoever adds one says here how it is tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.access.worlds import BOARD, BY_ITSELF, HIDDEN, IN_BOARD, OPEN, PAST

QUESTIONS: Final = (
    "What is Nightfall?",
    "severance for zebraquartz",
    "tents returned within days of delivery",
    "annual leave",
    "board",
    "tents in the hr folder, only PDF files by Ben since March",
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One try: a request's path and body; ``{trace_id}`` is the trace of somebody else's question."""

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)


def _json(path: str, *bodies: Mapping[str, Any]) -> list[Probe]:
    return [Probe(path, {"json": body}) for body in bodies]


def _form(path: str, *bodies: Mapping[str, str]) -> list[Probe]:
    return [Probe(path, {"data": body}) for body in bodies]


def _gets(*paths: str) -> list[Probe]:
    return [Probe(path) for path in paths]


def _uploads(path: str) -> list[Probe]:
    names = ("plan-nightfall.md", "plan-nightfall.md", "minutes-nightfall.md")
    return [
        Probe(
            path, {"files": {"file": (name, f"mine: {name} {place}".encode())}, "data": {"collection": place}}
        )
        for name in names
        for place in ("handbook", BOARD, "made up")
    ]


_SOME_COLLECTION: Final = f"col_{'e5' * 16}"
_FILTERS: Final[tuple[dict[str, object], ...]] = (
    {},
    {"document": list(HIDDEN)},
    {"path": "plan-nightfall.md"},
    {"folder": "hr"},
    {"project": "nightfall"},
    {"collection": BOARD},
    {"source": "upload"},
    {"type": "pdf"},
)

WALLED: Final[Mapping[str, list[Probe]]] = {
    "GET /": _gets("/", "/?q=nightfall"),
    "GET /search": _gets(
        "/search",
        *(f"/search?q={each}" for each in QUESTIONS),
        "/search?q=tents+returned+zebraquartz&f=folder:hr&f=project:nightfall",
        f"/search?q=zebraquarts&collection={BOARD}",
    ),
    "POST /ask": _form(
        "/ask", *({"question": each, "collection": place} for each in QUESTIONS for place in ("", BOARD))
    ),
    "POST /api/ask": _json(
        "/api/ask",
        *({"question": each} for each in QUESTIONS),
        {"question": "board", "collection": BOARD},
        {"question": "What is Nightfall?", "stream": True},
    ),
    "POST /api/search": _json(
        "/api/search",
        *({"query": each, "top_k": 50} for each in QUESTIONS),
        *({"query": "tents returned zebraquartz", "filters": each} for each in _FILTERS),
        {"query": "zebraquartz", "collection": BOARD},
        {"query": "zebraquartz", "collection": "made up"},
        {
            "query": "tents",
            "facets": ["collection", "type", "folder", "source", "author", "project", "modified"],
        },
        *({"query": each} for each in ("zebraquarts", "sevarance of nightfal", "tentz returnde")),
    ),
    "DELETE /api/ask/{answer_id}": [Probe(f"/api/ask/{'0' * 32}")],
    "GET /conversations": _gets("/conversations"),
    "GET /conversations/{conversation_id}": _gets("/conversations/hidden"),
    "POST /conversations/{conversation_id}/share": _form("/conversations/hidden/share", {"shared": "true"}),
    "POST /conversations/{conversation_id}/rename": _form("/conversations/hidden/rename", {"title": "mine"}),
    "POST /conversations/{conversation_id}/delete": _form("/conversations/hidden/delete", {}),
    "GET /api/conversations": _gets("/api/conversations"),
    "GET /api/conversations/{conversation_id}": _gets("/api/conversations/hidden"),
    "GET /api/conversations/{conversation_id}/markdown": _gets("/api/conversations/hidden/markdown"),
    "PATCH /api/conversations/{conversation_id}": _json("/api/conversations/hidden", {"shared": True}),
    "DELETE /api/conversations/{conversation_id}": _gets("/api/conversations/hidden"),
    "GET /analyst": _gets("/analyst", "/analyst?q=nightfall"),
    "POST /analyst/ask": _form("/analyst/ask", {"question": "zebraquartz"}),
    "POST /analyst/run": _form("/analyst/run", {"sql": "SELECT * FROM documents"}),
    "POST /analyst/csv": _form("/analyst/csv", {"sql": "SELECT * FROM chunks"}),
    "POST /analyst/picture": _form("/analyst/picture", {"sql": "SELECT * FROM chunks"}),
    "POST /analyst/vote": _form("/analyst/vote", {"trace_id": "{trace_id}", "vote": "down"}),
    "POST /analyst/save": _form("/analyst/save", {"question": "q", "sql": "SELECT 1"}),
    "GET /analyst/saved/{saved_id}": _gets("/analyst/saved/hidden"),
    "POST /analyst/saved/{saved_id}/delete": _form("/analyst/saved/hidden/delete", {}),
    "GET /api/analyst/databases": _gets("/api/analyst/databases"),
    "POST /api/analyst/ask": _json("/api/analyst/ask", {"question": "zebraquartz"}),
    "POST /api/analyst/run": _json("/api/analyst/run", {"sql": "SELECT * FROM documents"}),
    "POST /api/analyst/chart": _json("/api/analyst/chart", {"sql": "SELECT * FROM chunks"}),
    "POST /api/analyst/vote": _json("/api/analyst/vote", {"trace_id": "{trace_id}", "vote": "down"}),
    "GET /api/analyst/saved": _gets("/api/analyst/saved"),
    "POST /api/analyst/saved": _json("/api/analyst/saved", {"question": "q", "sql": "SELECT 1"}),
    "DELETE /api/analyst/saved/{saved_id}": _gets("/api/analyst/saved/hidden"),
    "POST /api/feedback": _json("/api/feedback", {"trace_id": "{trace_id}", "vote": "down"}),
    "GET /api/feedback": _gets("/api/feedback?trace_id={trace_id}"),
    "DELETE /api/feedback/{trace_id}": _gets("/api/feedback/{trace_id}"),
    "GET /feedback/{trace_id}": _gets("/feedback/{trace_id}"),
    "POST /feedback/{trace_id}": _form("/feedback/{trace_id}", {"vote": "down"}, {"vote": "none"}),
    "GET /api/documents": _gets(
        "/api/documents",
        "/api/documents?q=nightfall",
        f"/api/documents?collection={BOARD}",
        "/api/documents?state=ready&limit=1&offset=2",
    ),
    "POST /api/documents": _uploads("/api/documents"),
    "GET /api/documents/{document_id}": [Probe(f"/api/documents/{each}") for each in HIDDEN],
    "DELETE /api/documents/{document_id}": [Probe(f"/api/documents/{each}") for each in HIDDEN],
    "GET /api/documents/{document_id}/file": [
        Probe(f"/api/documents/{each}/file{query}")
        for each in (*HIDDEN, PAST)
        for query in ("", "?revision=1")
    ],
    "GET /api/documents/{document_id}/pages/{number}": [
        Probe(f"/api/documents/{each}/pages/1{query}")
        for each in (*HIDDEN, PAST)
        for query in ("", "?revision=1")
    ],
    "GET /api/documents/{document_id}/chunks": [
        Probe(f"/api/documents/{each}/chunks{query}")
        for each in (*HIDDEN, PAST)
        for query in ("", "?revision=1")
    ],
    "GET /api/documents/{document_id}/revisions": [
        Probe(f"/api/documents/{each}/revisions") for each in (*HIDDEN, PAST)
    ],
    "DELETE /api/documents/{document_id}/revisions": [
        Probe(f"/api/documents/{each}/revisions") for each in (*HIDDEN, PAST)
    ],
    "GET /api/documents/{document_id}/pages/{number}/words": [
        Probe(f"/api/documents/{each}/pages/1/words{query}")
        for each in (*HIDDEN, PAST)
        for query in ("", "?revision=1", "?quote=zebraquartz")
    ],
    "GET /documents/{document_id}/pages/{number}": [
        Probe(f"/documents/{each}/pages/1{query}")
        for each in (*HIDDEN, PAST)
        for query in ("", "?revision=1")
    ],
    "POST /documents/{document_id}/purge": [Probe(f"/documents/{each}/purge") for each in (*HIDDEN, PAST)],
    "GET /documents": _gets(
        "/documents", "/documents?q=nightfall", f"/documents?collection={BOARD}", "/documents?page=2"
    ),
    "POST /documents": _uploads("/documents"),
    "GET /documents/{document_id}": [
        Probe(f"/documents/{each}{query}") for each in (*HIDDEN, PAST) for query in ("", "?revision=1")
    ],
    "POST /documents/{document_id}/delete": [Probe(f"/documents/{each}/delete") for each in HIDDEN],
    "POST /documents/{document_id}/retry": [Probe(f"/documents/{each}/retry") for each in HIDDEN],
    "GET /api/palette": _gets(
        "/api/palette",
        *(f"/api/palette?q={word}" for word in ("nightfall", "severance", "hr", "board", "a", HIDDEN[0])),
    ),
    "GET /api/traces": _gets(
        "/api/traces",
        "/api/traces?limit=200",
        "/api/traces?text=zebraquartz",
        "/api/traces?owner=usr_1&order=dearest",
    ),
    "GET /api/traces/{trace_id}": _gets("/api/traces/{trace_id}"),
    "GET /traces": _gets("/traces", "/traces?text=nightfall", "/traces?status=ok&min_ms=0"),
    "POST /otlp/v1/traces": _json("/otlp/v1/traces", {"resourceSpans": []}),
    "GET /api/stats": _gets("/api/stats", "/api/stats?owner={owner}", "/api/stats?product=ask&model="),
    "GET /api/stats.csv": _gets(
        *(f"/api/stats.csv?table={each}" for each in ("series", "costs", "questions", "errors", "scores"))
    ),
    "GET /traces/{trace_id}": _gets("/traces/{trace_id}"),
    "GET /sources": _gets("/sources"),
    "GET /api/sources": _gets("/api/sources"),
    "POST /api/sources/{name}/sync": _json("/api/sources/handbook/sync", {}),
    "POST /sources/{source}/sync": _form("/sources/handbook/sync", {}),
    "GET /api/collections": _gets("/api/collections"),
    "GET /api/collections/{collection_id}": _gets(f"/api/collections/{_SOME_COLLECTION}"),
    "POST /api/collections": _json("/api/collections", {"name": BOARD}, {"name": "made up"}),
    "PATCH /api/collections/{collection_id}": [
        Probe(f"/api/collections/{_SOME_COLLECTION}", {"json": {"chunk_tokens": 200}})
    ],
    "DELETE /api/collections/{collection_id}": _gets(f"/api/collections/{_SOME_COLLECTION}"),
    "POST /api/collections/{collection_id}/{action}": _json(f"/api/collections/{_SOME_COLLECTION}/pause", {}),
    "GET /api/collection-moves": _gets("/api/collection-moves"),
    "POST /api/collection-moves": _json("/api/collection-moves", {"collection": BOARD, "to": "pinecone"}),
    "GET /collections": _gets("/collections"),
    "POST /collections": _form("/collections", {"name": BOARD}),
    "GET /collections/{collection_id}": _gets(f"/collections/{_SOME_COLLECTION}"),
    "POST /collections/{collection_id}": _form(f"/collections/{_SOME_COLLECTION}", {"name": "x"}),
    "GET /collections/{collection_id}/move": _gets(f"/collections/{_SOME_COLLECTION}/move"),
    "POST /collections/{collection_id}/move": _form(
        f"/collections/{_SOME_COLLECTION}/move", {"target": "postgres"}
    ),
    "POST /collections/{collection_id}/delete": _form(f"/collections/{_SOME_COLLECTION}/delete", {}),
    "POST /collections/{collection_id}/{action}": _form(f"/collections/{_SOME_COLLECTION}/pause", {}),
    "POST /api/documents/{document_id}/{action}": [
        Probe(f"/api/documents/{each}/reindex", {"json": {}}) for each in HIDDEN
    ],
    "POST /documents/{document_id}/{action}": [
        Probe(f"/documents/{each}/reindex", {"data": {}}) for each in HIDDEN
    ],
    "DELETE /api/sources/{name}": _gets("/api/sources/handbook?documents=true"),
    "POST /api/sources/{name}/{action}": _json("/api/sources/handbook/pause", {}),
    "POST /sources/{source}/remove": _form("/sources/handbook/remove", {"documents": "keep"}),
    "POST /sources/{source}/{action}": _form("/sources/handbook/pause", {}),
    "POST /slack/events": _json("/slack/events", {"type": "url_verification", "challenge": "x"}),
    "POST /slack/actions": _form("/slack/actions", {"payload": "{}"}),
    "GET /account": _gets("/account"),
    "GET /api/docs": _gets("/api/docs"),
    "GET /api/openapi.json": _gets("/api/openapi.json"),
    "GET /health/live": _gets("/health/live"),
    "GET /health/ready": _gets("/health/ready"),
    "GET /sign-in": _gets("/sign-in"),
    "GET /sign-in/openid": _gets("/sign-in/openid"),
    "GET /sign-in/openid/callback": _gets("/sign-in/openid/callback?state=x&code=y"),
    "GET /invitation/{token}": _gets("/invitation/made-up"),
    "POST /invitation/{token}": _form("/invitation/made-up", {"password": "four words make one"}),
    "GET /static/{version}/{path:path}": _gets(f"/static/x/../../{BY_ITSELF}"),
    "POST /account/password": _form("/account/password", {"present": "x", "wanted": "y"}),
}
"""Doors that somebody without rights may knock at: nothing of what is hidden shows."""

ENDING: Final = ("POST /sign-in", "POST /sign-out", "POST /account/sign-out-everywhere")
"""Doors that open or end sessions, and show no document: tried in tests/web/test_accounts.py."""

WITHOUT_DOCUMENTS: Final = re.findall(
    r"(\w+ /\S+)",
    """
    GET /api/analyst/databases POST /api/analyst/ask POST /api/analyst/run POST /api/analyst/chart POST /api/analyst/vote
    GET /api/analyst/saved POST /api/analyst/saved DELETE /api/analyst/saved/{saved_id} GET /analyst POST /analyst/ask
    POST /analyst/run POST /analyst/csv POST /analyst/picture POST /analyst/vote POST /analyst/save
    POST /analyst/saved/{saved_id}/delete GET /analyst/saved/{saved_id}
    GET /evals POST /evals GET /evals/{run_id} POST /evals/{run_id}/{doing} GET /evals/{run_id}/beside
    GET /evals/{run_id}/cases/{case_name}
    """,
)
"""Doors behind which no document is: the analyst reads databases of its own settings, runs of evals are administrators'.
These worlds have neither, so they are tried where they are at home."""

ADMINISTRATION: Final = re.findall(
    r"(\w+ /\S+)",
    """
    GET /dashboard GET /styleguide GET /alerts POST /alerts POST /alerts/{alert_id} POST /alerts/{alert_id}/delete
    POST /alerts/{alert_id}/switch POST /alerts/{alert_id}/test GET /api/alerts POST /api/alerts GET /api/alerts/firings GET /api/alerts/{alert_id}
    PUT /api/alerts/{alert_id} DELETE /api/alerts/{alert_id} POST /api/alerts/{alert_id}/test
    GET /metrics DELETE /api/admin/groups/{group_id} DELETE /api/admin/keys/{key_id} DELETE /api/admin/providers/{name}
    DELETE /api/admin/routes/{name} DELETE /api/admin/settings/{section} DELETE /api/admin/tiers/{name}
    DELETE /api/admin/users/{user_id} GET /admin GET /admin/access GET /admin/access/edit GET /admin/access/folder
    GET /admin/audit GET /admin/budgets GET /admin/edit/{section} GET /admin/groups GET /admin/groups/{group_id}/delete
    GET /admin/keys GET /admin/keys/{key_id}/edit GET /admin/keys/{key_id}/revoke GET /admin/keys/{key_id}/rotate
    GET /admin/new/group GET /admin/new/key GET /admin/new/team GET /admin/new/user GET /admin/new/{table}
    GET /admin/providers GET /admin/reset/{section} GET /admin/routes GET /admin/settings GET /admin/teams
    GET /admin/teams/{team_id}/edit GET /admin/tiers GET /admin/usage GET /admin/users GET /admin/users/{user_id}/delete
    GET /admin/users/{user_id}/edit GET /admin/users/{user_id}/invite GET /api/admin/access
    GET /api/admin/access/documents/{document_id} GET /api/admin/audit GET /api/admin/budgets GET /api/admin/groups
    GET /api/admin/keys GET /api/admin/keys/{key_id} GET /api/admin/providers GET /api/admin/routes
    GET /api/admin/settings GET /api/admin/teams GET /api/admin/tiers GET /api/admin/usage GET /api/admin/usage.csv
    GET /api/admin/users GET /api/admin/users/{user_id} PATCH /api/admin/keys/{key_id}
    PATCH /api/admin/settings/{section} PATCH /api/admin/teams/{team_id} PATCH /api/admin/users/{user_id}
    POST /admin/access/edit POST /admin/edit/{section} POST /admin/groups/{group_id}/delete POST /admin/keys/{key_id}/edit
    POST /admin/keys/{key_id}/revoke POST /admin/keys/{key_id}/rotate POST /admin/new/group POST /admin/new/key
    POST /admin/new/team POST /admin/new/user POST /admin/new/{table} POST /admin/providers/{provider}/test
    POST /admin/reload POST /admin/reset/{section} POST /admin/teams/{team_id}/edit POST /admin/users/{user_id}/delete
    POST /admin/users/{user_id}/edit POST /admin/users/{user_id}/invite POST /api/admin/groups POST /api/admin/keys
    POST /api/admin/keys/{key_id}/rotate POST /api/admin/providers/{name}/test POST /api/admin/reload
    POST /api/admin/teams POST /api/admin/users POST /api/admin/users/{user_id}/invite
    PUT /api/admin/access/collections/{name} PUT /api/admin/access/collections/{name}/folders
    PUT /api/admin/access/documents/{document_id} PUT /api/admin/providers/{name} PUT /api/admin/routes/{name}
    PUT /api/admin/tiers/{name} GET /evals POST /evals GET /evals/{run_id} GET /evals/{run_id}/beside
    GET /evals/{run_id}/cases/{case_name} POST /evals/{run_id}/{doing}
    GET /prompts GET /prompts/new POST /prompts/check POST /prompts/publish GET /prompts/{prompt}
    GET /prompts/{prompt}/versions/{number}
    GET /prompts/{prompt}/diff GET /prompts/{prompt}/edit GET /prompts/{prompt}/playground POST /prompts/{prompt}/label
    POST /prompts/{prompt}/rollout POST /prompts/{prompt}/rollback POST /prompts/{prompt}/follow
    POST /prompts/{prompt}/unlabel GET /api/prompts POST /api/prompts POST /api/prompts/check GET /api/prompts/{prompt}
    GET /api/prompts/{prompt}/versions/{which} GET /api/prompts/{prompt}/events GET /api/prompts/{prompt}/patch
    PUT /api/prompts/{prompt}/labels/{label} DELETE /api/prompts/{prompt}/labels/{label} POST /api/prompts/{prompt}/rollback
    POST /api/prompts/{prompt}/follow POST /api/prompts/{prompt}/render GET /api/prompts/{prompt}/inputs
    POST /api/prompts/{prompt}/try
    GET /api/review GET /api/review/{trace_id} POST /api/review/{trace_id} POST /api/review/{trace_id}/case
    DELETE /api/review/{trace_id}/case GET /api/experiments POST /api/experiments GET /api/experiments/{experiment_id}
    PUT /api/improvements/{collection}/{kind} GET /review GET /review/export GET /review/suites/{suite}
    GET /review/suites/{suite}/file POST /review/suites/{suite}/remove GET /review/{trace_id} POST /review/{trace_id}
    POST /review/{trace_id}/case GET /review/learning POST /review/learning POST /review/learning/switch
    GET /review/experiments/{experiment_id}
    """,
)
"""Doors for administrators alone."""

_PLACES: Final = {
    "document_id": IN_BOARD,
    "name": BOARD,
    "section": "gateway",
    "table": "tiers",
    "provider": "openai",
    "user_id": "usr_1",
    "group_id": "grp_1",
    "team_id": "team_1",
    "key_id": "key_1",
    "run_id": "run_1",
    "case_name": "q01",
    "doing": "stop",
    "prompt": "answer",
    "number": "2",
    "which": "live",
    "label": "candidate",
    "trace_id": "0" * 32,
    "suite": "feedback",
    "experiment_id": f"exp_{'0' * 32}",
    "collection": BOARD,
    "kind": "retrieval-votes",
    "alert_id": "alert_1",
}


def filled(route: str) -> str:
    """A route's path with something in its places."""
    return re.sub(r"\{(\w+)\}", lambda found: _PLACES[found[1]], route)


V1: Final = (
    *(
        {"model": model, "messages": [{"role": "user", "content": question}]}
        for model in ("knowledge", f"knowledge:{BOARD}", "knowledge:made up")
        for question in QUESTIONS[:3]
    ),
)
"""Bodies of ``/v1/chat/completions``."""

KNOWN: Final = (OPEN,)
