"""What the rest of Causeway may use of the knowledge base; import it from `causeway.knowledge`."""

from causeway.knowledge.collections import Collection, EmbeddingModel
from causeway.knowledge.document import Chunk, Document, DocumentState
from causeway.knowledge.incoming import Added, Incoming
from causeway.knowledge.ingest.upload import Uploads
from causeway.knowledge.ingest.watch_folder import Folders, SyncSummary
from causeway.knowledge.library import DocumentPage, Library, Progress

__all__ = [
    "Added",
    "Chunk",
    "Collection",
    "Document",
    "DocumentPage",
    "DocumentState",
    "EmbeddingModel",
    "Folders",
    "Incoming",
    "Library",
    "Progress",
    "SyncSummary",
    "Uploads",
]
