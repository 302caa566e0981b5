"""Answers about uploads."""

from datetime import datetime

from pydantic import BaseModel, Field


class UploadView(BaseModel):
    id: str
    name: str = Field(description="File name, as the sender gave it.")
    offset: int = Field(description="Bytes received so far. They are on the disk.")
    length: int = Field(description="Bytes of the whole file.")
    finished: bool = Field(description="Whether the whole file was received: it can become a dataset or weights.")
    resumable: bool = Field(description="Whether PATCH can add bytes. A form cannot be resumed.")
    created_at: datetime
    expires_at: datetime = Field(description="When it is deleted, unless more bytes come or a job reads it.")
    job: str | None = Field(description="The newest job that reads it, or read it.")
    links: dict[str, str]


class UploadList(BaseModel):
    uploads: list[UploadView] = Field(description="Newest first.")
    used_bytes: int = Field(description="Of your quota: uploads by their length, and what became of others.")
    quota_bytes: int
