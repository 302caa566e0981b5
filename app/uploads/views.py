"""Views of uploads."""

from datetime import UTC, datetime

from app.api_models.uploads import UploadView
from app.jobs.tables import Upload


def view_upload(upload: Upload, offset: int) -> UploadView:
    return UploadView(
        id=upload.id,
        name=upload.name,
        offset=offset,
        length=upload.length,
        finished=upload.finished_at is not None,
        resumable=upload.resumable,
        created_at=datetime.fromtimestamp(upload.created_at, UTC),
        expires_at=datetime.fromtimestamp(upload.expires_at, UTC),
        job=upload.job_id,
        links={"self": f"/uploads/{upload.id}"},
    )
