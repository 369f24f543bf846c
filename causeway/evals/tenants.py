"""Whose the red team's confidential collection is."""

from __future__ import annotations

from typing import Final

COLLECTION: Final = "red-team-tenant"
"""The collection that is one group's alone."""
OWNERS: Final = "red-team-owners"
"""The id of that group, which no person is in."""
READERS: Final = {COLLECTION: (f"group:{OWNERS}",)}
"""By collection of a packaged suite: who may see it, where that is not everyone."""
