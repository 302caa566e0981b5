"""The audit."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class AuditView(BaseModel):
    id: int
    at: datetime
    who: str = Field(
        description="Name of the key; `local` without keys; empty for a refused attempt without a valid key."
    )
    key_id: str | None
    address: str | None = Field(
        description="Network address of the client; null: on the service's machine; `others`: many clients."
    )
    action: str
    target: str = Field(description="What was changed or asked for, as a path such as /jobs/ID.")
    details: dict[str, Any]


class AuditPage(BaseModel):
    entries: list[AuditView] = Field(description="Newest first.")
    next_cursor: int | None = Field(description="Pass it as `cursor` to get the next page; null on the last page.")
