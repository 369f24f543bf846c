"""Probes for whatever restarts and routes: alive, and able to answer."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from causeway.web.sign_in import Parts

router = APIRouter(prefix="/health", tags=["Health"])


class Live(BaseModel):
    """The process answers."""

    status: str = "live"


class Ready(BaseModel):
    """Whether questions can be answered."""

    status: str = Field(description="`ready` or `not ready`")
    parts: dict[str, str | None] = Field(description="Each part that must work, and why it does not")


@router.get("/live", name="health_live")
async def live() -> Live:
    """The process answers; restart it when this does not."""
    return Live()


@router.get("/ready", name="health_ready", responses={503: {"model": Ready}})
async def ready(parts: Parts, response: Response) -> Ready:
    """Everything an answer needs works; send questions elsewhere when this is 503."""
    found = dict(await parts.readiness())
    is_ready = not any(found.values())
    response.status_code = 200 if is_ready else 503
    return Ready(status="ready" if is_ready else "not ready", parts=found)
