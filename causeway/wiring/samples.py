"""The samples that come with Causeway: the company's documents and the shop."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from causeway.analyst import shop_tables
from causeway.errors import CausewayError
from causeway.wiring.platform import Platform

log = logging.getLogger(__name__)


async def load_shop(platform: Platform) -> bool:
    """Load the sample shop into the embedded server and let it be asked; False when it was there, or the server is not ours."""
    if platform.database.capabilities.kind != "embedded":
        return False
    try:
        is_new = await asyncio.to_thread(shop_tables.load, platform.database.url)
    except CausewayError as exc:  # a demo's data are no reason to stop
        log.warning("the sample shop is not there", extra={"reason": exc.message})
        return False
    platform.analyst.databases.offer_shop(shop_tables.reader(platform.database.url))
    return is_new


def sample_documents() -> Path:
    """The sample company's documents: in a wheel beside the code, in a clone at its top."""
    package = Path(__file__).parent.parent
    installed, cloned = package / "_samples", package.parent / "samples" / "documents"
    return installed if installed.is_dir() else cloned
