"""Who may see documents' files themselves, their pages' pictures and the words on them.

Where a collection masks or refuses personal data, search and answers hold none of it, and the file still does: it is
for those who may manage documents.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from causeway.contracts.identity import Principal, Scope
from causeway.errors import NotAllowedError
from causeway.web.sign_in import Asker, Parts

_DocumentId = Annotated[str, Path(pattern="^doc_[0-9a-f]{32}$")]


async def _original_reader(document_id: _DocumentId, parts: Parts, asker: Asker) -> Principal:
    if not asker.may(Scope.INGEST) and await parts.library.seen_by(asker).is_original_hidden(document_id):
        raise NotAllowedError(
            f"'{asker.name}' may not see the file itself: its collection keeps personal data from those who only"
            f" ask; it needs the scope '{Scope.INGEST}'"
        )
    return asker


OriginalReader = Annotated[Principal, Depends(_original_reader)]
"""Who may see the file of the document in the path; others are refused."""
