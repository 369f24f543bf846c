"""What the address of a link can carry."""

from __future__ import annotations

_MOST_QUERY = 32
_MOST_SEGMENT = 48
MOST_HOST_LABEL = 32
"""In characters. What is longer can carry data; addresses of documents and shops stay below."""


def carries_data(host: str, path: str, query: str) -> bool:
    """Whether an address is long enough, somewhere, to carry what its writer has read."""
    return (
        len(query) > _MOST_QUERY
        or any(len(segment) > _MOST_SEGMENT for segment in path.split("/"))
        or len(path) > 4 * _MOST_SEGMENT
        or any(len(label) > MOST_HOST_LABEL for label in host.split("."))
    )


def scheme_of(target: str) -> str:
    """A target's scheme in small letters; ``https`` where the page's own is taken, empty for a relative one."""
    return (
        target.partition(":")[0].strip().lower()
        if ":" in target
        else "https"
        if target.startswith("//")
        else ""
    )
