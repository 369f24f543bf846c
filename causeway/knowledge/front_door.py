"""What the rest of Causeway may use of the knowledge base; import it from `causeway.knowledge`."""

from causeway.knowledge.answer.answer import Answerer, AskRequest
from causeway.knowledge.answer.assistant import KnowledgeAssistant
from causeway.knowledge.answer.events import AnswerEvent, Cited, Finished, Retrieved, TextDelta
from causeway.knowledge.collections import Collection, EmbeddingModel
from causeway.knowledge.document import Chunk, Document, DocumentState, Place
from causeway.knowledge.incoming import Added, Incoming
from causeway.knowledge.ingest.source_runs import SourceRun
from causeway.knowledge.ingest.sources import Sources, SourceStatus
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.ingest.upload import Uploads
from causeway.knowledge.ingest.watch_folder import Folders
from causeway.knowledge.library import DocumentPage, Library, Progress
from causeway.knowledge.page_words import PageWord, PageWords
from causeway.knowledge.pages import PDF, SHOWN, Pages, picture_type
from causeway.knowledge.past_revisions import KeptRevision
from causeway.knowledge.quotes import find_quote
from causeway.knowledge.search.request import Hit, Scores, SearchRequest, SearchResult
from causeway.knowledge.search.search import Search

__all__ = [
    "PDF",
    "SHOWN",
    "Added",
    "AnswerEvent",
    "Answerer",
    "AskRequest",
    "Chunk",
    "Cited",
    "Collection",
    "Document",
    "DocumentPage",
    "DocumentState",
    "EmbeddingModel",
    "Finished",
    "Folders",
    "Hit",
    "Incoming",
    "KeptRevision",
    "KnowledgeAssistant",
    "Library",
    "PageWord",
    "PageWords",
    "Pages",
    "Place",
    "Progress",
    "Retrieved",
    "Scores",
    "Search",
    "SearchRequest",
    "SearchResult",
    "SourceRun",
    "SourceStatus",
    "Sources",
    "SyncSummary",
    "TextDelta",
    "Uploads",
    "find_quote",
    "picture_type",
]
