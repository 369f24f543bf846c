"""What the rest of Causeway may use of the knowledge base; import it from `causeway.knowledge`."""

from causeway.knowledge.access import AccessRules, CollectionRules, DocumentRule
from causeway.knowledge.answer.answer import Answerer, AskRequest
from causeway.knowledge.answer.assistant import KnowledgeAssistant
from causeway.knowledge.answer.conversations import LONGEST_ID, Conversation, Conversations, Turn
from causeway.knowledge.answer.conversing import ConversingAnswerer
from causeway.knowledge.answer.events import AnswerEvent, Cited, Finished, Retrieved, TextDelta
from causeway.knowledge.answer.examples import (
    MOST_EXAMPLES,
    NEAR_EXAMPLE,
    AnswerExamples,
    Example,
    FixedExamples,
    by_nearness,
)
from causeway.knowledge.answer.follow_up import Exchange
from causeway.knowledge.collection_options import PII_ACTIONS, STRATEGIES, CollectionOptions, options_of
from causeway.knowledge.collections import Collection, Collections, EmbeddingModel
from causeway.knowledge.confirmed_answers import ConfirmedAnswer, ConfirmedAnswers
from causeway.knowledge.document import Chunk, Document, DocumentState, Place
from causeway.knowledge.holds import Selection
from causeway.knowledge.incoming import Added, Incoming
from causeway.knowledge.index.collection_moves import Move
from causeway.knowledge.index.pinecone_api import open_pinecone
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.left_sources import LeftSource
from causeway.knowledge.ingest.progress import IngestProgress, ProgressReader, Smoothed
from causeway.knowledge.ingest.source_runs import SourceRun
from causeway.knowledge.ingest.sources import Sources, SourceStatus
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.ingest.tesseract_languages import installed as installed_tesseract
from causeway.knowledge.ingest.upload import Uploads
from causeway.knowledge.ingest.watch_folder import Folders
from causeway.knowledge.library import DocumentPage, Library, Progress
from causeway.knowledge.page_words import PageWord, PageWords
from causeway.knowledge.pages import PDF, SHOWN, Pages, picture_type
from causeway.knowledge.past_revisions import KeptRevision
from causeway.knowledge.proofs import KINDS, Kind, Proofs, Standing
from causeway.knowledge.quotes import find_quote
from causeway.knowledge.search.facets import MOST_FACETS, FacetValue
from causeway.knowledge.search.request import Hit, Scores, SearchRequest, SearchResult
from causeway.knowledge.search.retrieval_votes import FixedBoosts, RetrievalVotes, VoteTable
from causeway.knowledge.search.search import Search

__all__ = [
    "KINDS",
    "LONGEST_ID",
    "MOST_EXAMPLES",
    "MOST_FACETS",
    "NEAR_EXAMPLE",
    "PDF",
    "PII_ACTIONS",
    "SHOWN",
    "STRATEGIES",
    "AccessRules",
    "Added",
    "AnswerEvent",
    "AnswerExamples",
    "Answerer",
    "AskRequest",
    "Chunk",
    "Cited",
    "Collection",
    "CollectionOptions",
    "CollectionRules",
    "Collections",
    "ConfirmedAnswer",
    "ConfirmedAnswers",
    "Conversation",
    "Conversations",
    "ConversingAnswerer",
    "Document",
    "DocumentPage",
    "DocumentRule",
    "DocumentState",
    "EmbeddingModel",
    "Example",
    "Exchange",
    "FacetValue",
    "Finished",
    "FixedBoosts",
    "FixedExamples",
    "Folders",
    "Hit",
    "Incoming",
    "IngestControl",
    "IngestProgress",
    "KeptRevision",
    "Kind",
    "KnowledgeAssistant",
    "LeftSource",
    "Library",
    "Move",
    "PageWord",
    "PageWords",
    "Pages",
    "Place",
    "Progress",
    "ProgressReader",
    "Proofs",
    "RetrievalVotes",
    "Retrieved",
    "Scores",
    "Search",
    "SearchRequest",
    "SearchResult",
    "Selection",
    "Smoothed",
    "SourceRun",
    "SourceStatus",
    "Sources",
    "Standing",
    "SyncSummary",
    "TextDelta",
    "Turn",
    "Uploads",
    "VoteTable",
    "by_nearness",
    "find_quote",
    "installed_tesseract",
    "open_pinecone",
    "options_of",
    "picture_type",
]
