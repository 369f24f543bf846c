"""What exists, and what is handed to what: settings in, an open platform out."""

from causeway.wiring.opening import KNOWLEDGE_MODEL, open_platform
from causeway.wiring.platform import Platform, Work
from causeway.wiring.samples import load_shop, sample_documents

__all__ = ["KNOWLEDGE_MODEL", "Platform", "Work", "load_shop", "open_platform", "sample_documents"]
