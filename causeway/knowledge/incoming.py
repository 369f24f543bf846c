"""Files on their way into the library: what is known before, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from causeway.knowledge.document import DocumentState
from causeway.storage.blobs import Draft

Change = Literal["new", "changed", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A file on its way in.

    Attributes:
        collection: None is the default one.
        source: With ``collection`` and ``path`` the document's identity; see `Document`.
        file: Where its bytes are now, only read; or a draft with all of them.
        modified_at: As its source says.
        metadata: What its owner says about it.
        identity: What its source calls it, whatever its path is; empty where the path is all there is.
        revision: What its source says of its content, opaque; see `causeway.knowledge.ingest.connector.Item`.
    """

    collection: str | None
    source: str
    path: str
    file: Path | Draft
    modified_at: datetime
    metadata: Mapping[str, object] = field(default_factory=dict)
    identity: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What adding a file did; ``state`` is the document's state after it."""

    document_id: str
    revision: int
    change: Change
    state: DocumentState


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the library knows of one file of a source: enough to see whether it has changed since."""

    document_id: str
    path: str
    size_bytes: int
    modified_at: datetime
    blob: str
    state: DocumentState
    identity: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A file with the bytes of its document, of which its source says something else than it did.

    Attributes:
        before: The document, whose ``blob`` the file's bytes were compared with.
        modified_at: As its source says now.
        revision: What its source said of its content before that was compared.
    """

    before: Known
    modified_at: datetime
    revision: str
