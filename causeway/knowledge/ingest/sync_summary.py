"""What a sync did with each item, for people and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSummary:
    """What a sync did with each item; paths are the items' own.

    Attributes:
        failed: Paths with the reason, for a person.
        documents: Id -> path of each document that is not known to be ready or failed yet.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    documents: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Everything was seen, and all of it taken: the next sync may go on from here."""
        return not self.failed

    def __add__(self, other: SyncSummary) -> SyncSummary:
        """Both, as one."""
        return SyncSummary(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            unchanged=self.unchanged + other.unchanged,
            deleted=self.deleted + other.deleted,
            failed=self.failed + other.failed,
            documents={**self.documents, **other.documents},
        )

    def counts(self) -> dict[str, int]:
        """How many there were of each outcome."""
        return {
            "new": len(self.new),
            "changed": len(self.changed),
            "unchanged": len(self.unchanged),
            "deleted": len(self.deleted),
            "failed": len(self.failed),
        }

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "new": list(self.new),
            "changed": list(self.changed),
            "unchanged": list(self.unchanged),
            "deleted": list(self.deleted),
            "failed": [{"path": path, "reason": reason} for path, reason in self.failed],
            "documents": list(self.documents),
        }

    def settled(self, failures: Mapping[str, str]) -> SyncSummary:
        """This, now that its documents are ready or have failed: id -> reason."""
        reasons = {self.documents[document_id]: reason for document_id, reason in failures.items()}
        return SyncSummary(
            new=tuple(path for path in self.new if path not in reasons),
            changed=tuple(path for path in self.changed if path not in reasons),
            unchanged=tuple(path for path in self.unchanged if path not in reasons),
            deleted=self.deleted,
            failed=self.failed + tuple(sorted(reasons.items())),
            documents=self.documents,
        )
