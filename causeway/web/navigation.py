"""Where the pages lead: the menu in its groups, and the further places that the command palette knows.

An entry shows only to who may open it, and only where its route and what it stands over are there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, Literal

from causeway.contracts.identity import Principal, Scope
from causeway.web.parts import WebParts

Shown = Callable[[Principal, WebParts], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """A page that can be gone to.

    Attributes:
        words: What else people call it; the palette finds it by these too.
    """

    route: str
    label: str
    icon: str
    is_shown: Shown
    words: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of the menu that belong together; one without a label needs no heading."""

    label: str
    entries: tuple[Entry, ...]


def _everybody(_who: Principal, _parts: WebParts) -> bool:
    return True


def _administrator(who: Principal, _parts: WebParts) -> bool:
    return who.may(Scope.ADMIN)


def _desk(who: Principal, parts: WebParts) -> bool:
    return who.may(Scope.ADMIN) and parts.admin is not None


def _operator(who: Principal, _parts: WebParts) -> bool:
    return who.may(Scope.INGEST) and who.sees_as is None


_GROUPS: Final = (
    Group(
        "",
        (
            Entry("ask", "Ask", "ask", _everybody, "question chat answer home"),
            Entry(
                "analyst",
                "Analyst",
                "chart",
                lambda _, parts: parts.analyst is not None,
                "sql database query",
            ),
        ),
    ),
    Group(
        "Knowledge",
        (
            Entry("search", "Search", "search", _everybody, "find passages filters facets"),
            Entry("documents", "Documents", "documents", _everybody, "files upload"),
            Entry(
                "collections",
                "Collections",
                "collections",
                lambda who, parts: _operator(who, parts) and parts.ingest is not None,
                "chunking personal data",
            ),
            Entry("sources", "Sources", "sources", _operator, "sync folder notion slack mail"),
        ),
    ),
    Group(
        "Quality",
        (
            Entry(
                "dashboard",
                "Dashboard",
                "gauge",
                lambda who, parts: who.may(Scope.ADMIN) and parts.stats is not None,
                "cost latency errors usage numbers statistics",
            ),
            Entry(
                "traces",
                "Traces",
                "traces",
                lambda who, _: who.may(Scope.ADMIN) or who.user is not None,
                "calls spans waterfall",
            ),
            Entry(
                "alerts",
                "Alerts",
                "alert",
                lambda who, parts: who.may(Scope.ADMIN) and parts.alerts is not None,
                "notify threshold webhook slack mail",
            ),
            Entry(
                "review",
                "Review",
                "review",
                lambda who, parts: who.may(Scope.ADMIN) and parts.review is not None,
                "feedback thumbs votes learning experiments",
            ),
            Entry(
                "evals",
                "Evals",
                "evals",
                lambda who, parts: who.may(Scope.ADMIN) and parts.evals is not None,
                "suites runs gate judge",
            ),
            Entry(
                "prompts",
                "Prompts",
                "prompts",
                lambda who, parts: who.may(Scope.ADMIN) and parts.prompts is not None,
                "versions rollout playground",
            ),
        ),
    ),
    Group("", (Entry("admin", "Administration", "admin", _desk, "settings"),)),
)

ADMIN_TABS: Final = (
    ("keys", "Keys"),
    ("teams", "Teams"),
    ("users", "Users"),
    ("groups", "Groups"),
    ("access", "Access"),
    ("tiers", "Tiers"),
    ("budgets", "Budgets"),
    ("providers", "Providers"),
    ("routes", "Routes"),
    ("usage", "Usage"),
    ("audit", "Changes"),
    ("settings", "Settings"),
)
"""The administrators' lists: the end of the route's name, and the words on the tab."""

_ELSEWHERE: Final = (
    Entry("conversations", "Conversations", "clock", _everybody, "history questions"),
    Entry("reference", "API", "reference", _everybody, "openapi programs calls"),
    Entry("account", "Your account", "team", _everybody, "password sessions profile"),
    Entry("styleguide", "Style guide", "swatch", _administrator, "design components tokens"),
    *(Entry(f"admin_{name}", label, "admin", _desk, "administration") for name, label in ADMIN_TABS),
)


def menu(who: Principal, parts: WebParts, has_route: Callable[[str], bool]) -> tuple[Group, ...]:
    """What ``who`` finds in the menu; groups with nothing to show are left out."""
    groups = (Group(group.label, tuple(_shown(group.entries, who, parts, has_route))) for group in _GROUPS)
    return tuple(group for group in groups if group.entries)


def elsewhere(who: Principal, parts: WebParts, has_route: Callable[[str], bool]) -> tuple[Entry, ...]:
    """Pages that the palette leads to and the menu does not."""
    return tuple(_shown(_ELSEWHERE, who, parts, has_route))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that the palette offers without asking the server.

    Attributes:
        key: Stable; by it a browser remembers what was chosen last.
        does: What is done where ``url`` leads nowhere: ``theme`` or ``sign-out``.
    """

    key: str
    group: Literal["Pages", "Actions"]
    label: str
    icon: str
    url: str = ""
    words: str = ""
    hint: str = ""
    does: str = ""


def commands(
    who: Principal, parts: WebParts, has_route: Callable[[str], bool], link: Callable[[str], str]
) -> list[dict[str, str]]:
    """Pages and actions for the palette, as JSON."""
    entries = [entry for group in menu(who, parts, has_route) for entry in group.entries]
    pages = [
        Command(
            key=entry.route,
            group="Pages",
            label=entry.label,
            icon=entry.icon,
            url=link(entry.route),
            words=entry.words,
            hint="Administration" if entry.route.startswith("admin_") else "",
        )
        for entry in (*entries, *elsewhere(who, parts, has_route))
    ]
    actions = [Command(key="new", group="Actions", label="New question", icon="plus", url=link("ask"))]
    if who.may(Scope.INGEST):
        upload = f"{link('documents')}#add"
        actions.append(
            Command(
                key="upload",
                group="Actions",
                label="Add documents",
                icon="upload",
                url=upload,
                words="upload files",
            )
        )
    actions += [
        Command(
            key="theme", group="Actions", label="Switch theme", icon="moon", does="theme", words="dark light"
        ),
        Command(
            key="sign-out",
            group="Actions",
            label="Sign out",
            icon="sign-out",
            does="sign-out",
            words="log out leave",
        ),
    ]
    return [{name: value for name, value in asdict(each).items() if value} for each in (*pages, *actions)]


def _shown(
    entries: tuple[Entry, ...], who: Principal, parts: WebParts, has_route: Callable[[str], bool]
) -> list[Entry]:
    return [entry for entry in entries if has_route(entry.route) and entry.is_shown(who, parts)]
