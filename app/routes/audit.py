"""The audit, for admins."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from app.access.audit import entries
from app.api_models.audit import AuditPage, AuditView
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ReadingSessionDep, ServiceDep

router = APIRouter(prefix="/audit", tags=["audit"], responses=PROBLEM_RESPONSES)


async def _write_refusals(service: ServiceDep) -> None:
    await service.refusals.write()


@router.get("", dependencies=[Depends(_write_refusals)])
def get_audit(
    session: ReadingSessionDep,
    cursor: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """List who changed what, when and from where, newest first. The action `refused` counts attempts that were
    refused (401, 403, 421): `target` is what the first of them asked for, `times` of `details` their number."""
    found = entries(session, before=cursor, limit=limit + 1)
    shown = found[:limit]
    return AuditPage(
        entries=[
            AuditView(**each.model_dump(exclude={"at"}), at=datetime.fromtimestamp(each.at, UTC)) for each in shown
        ],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )
