"""The audit: who did what, when, from where. Entries are only added, and deleted when they are old."""

from typing import Any

from sqlmodel import Session, col, delete, select

from app.access.acting import caller_of
from app.access.tables import AuditEntry
from app.database import Database, database_now

SECONDS_A_DAY = 86_400.0

REFUSED = "refused"
"""The action of an entry that counts refused attempts."""

MOST_REFUSED = 100_000
"""Entries of refused attempts that are kept: nobody fills the database with them."""


def note(session: Session, action: str, target: str, **details: Any) -> None:
    """Add an entry of the session's caller, in the transaction that makes the change."""
    caller = caller_of(session)
    session.add(
        AuditEntry(
            at=float(session.execute(select(database_now())).scalar_one()),
            who=caller.name,
            key_id=caller.key_id,
            address=caller.address,
            action=action,
            target=target,
            details=details,
        )
    )


def entries(session: Session, *, before: int | None, limit: int) -> list[AuditEntry]:
    """Return entries, newest first, older than the entry `before`."""
    query = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit)
    return list(session.exec(query if before is None else query.where(col(AuditEntry.id) < before)))


def forget_old(database: Database, days: float) -> None:
    """Delete the entries that are older, and those of refused attempts beyond MOST_REFUSED. 0 days: keep all others."""
    refused = select(AuditEntry.id).where(AuditEntry.action == REFUSED).order_by(col(AuditEntry.id).desc())
    with database.reading() as session:
        last = session.exec(refused.offset(MOST_REFUSED).limit(1)).first()
    with database.writing() as session:
        if days > 0:
            session.execute(delete(AuditEntry).where(col(AuditEntry.at) < database_now() - days * SECONDS_A_DAY))
        if last is not None:
            beyond = (col(AuditEntry.action) == REFUSED) & (col(AuditEntry.id) <= last)
            session.execute(delete(AuditEntry).where(beyond))
