"""Weights that came by uploads: received, found by who may see them, deleted."""

import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session, col, select

from app.access.acting import caller_of
from app.checked_weights.check import check_weights
from app.checked_weights.task import CheckResult
from app.dataset_roots import WEIGHTS, weights_roots
from app.finetune.atomic import partial_path, sync
from app.finetune.errors import EdgefaceError
from app.finetune.weights_errors import WeightsMismatch, WeightsOtherFormat, WeightsWithoutTensors
from app.jobs.tables import Upload, UploadedInput
from app.jobs.transitions.fence import clock
from app.settings import Settings
from app.uploads.errors import UploadInUse, WeightsNameTaken, WeightsNotUploaded
from app.uploads.files import UploadFile
from app.uploads.rows import is_open

_NAMES_LOCK = 0xED6EFADF


def check_upload(path: Path, name: str) -> CheckResult:
    """Check that the file has a network of EdgeFace or of DSR. `name` is what errors call the file.

    Raises WeightsError, and the errors of `app.isolated.run.run`.
    """
    try:
        result = _check_either(path)
        if result.network is None:
            hint = "load it with PyTorch and save it again: torch.save(torch.load(path), path)"
            raise WeightsOtherFormat(path, "in PyTorch's format before 1.6", hint)
    except EdgefaceError as error:
        error.message = error.message.replace(str(path), name)
        error.hint = error.hint.replace(str(path), name)
        error.args = (error.message,)
        raise
    return result


def keep_upload(session: Session, settings: Settings, upload: Upload, name: str, checked: CheckResult) -> UploadedInput:
    """Let the upload be the weights of this name, in the transaction that writes their row. Delete the upload's file
    after the commit.

    Raises WeightsNameTaken, and UploadInUse while a job reads the upload.
    """
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyway
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _NAMES_LOCK})
    if upload.job_id is not None and is_open(session, upload.job_id):
        raise UploadInUse(upload.id, upload.job_id)
    roots = weights_roots(settings)
    if session.get(UploadedInput, (WEIGHTS, name)) is not None or os.path.lexists(roots.own / name):
        raise WeightsNameTaken(name)
    row = UploadedInput(
        kind=WEIGHTS,
        name=name,
        owner=upload.owner,
        size=upload.length,
        sha256=checked.sha256,
        created_at=clock(session),
        network=checked.network,
    )
    session.add(row)
    session.delete(upload)
    session.flush()
    _link(UploadFile(settings.uploads_dir / "incoming", upload.id).path, roots.uploaded / name)
    return row


def find_uploaded(session: Session, name: str) -> UploadedInput:
    """Raises WeightsNotUploaded, also for weights that the session's caller may not see."""
    row = session.get(UploadedInput, (WEIGHTS, name))
    if row is None or not caller_of(session).may_see(row.owner, row.shared):
        raise WeightsNotUploaded(name)
    return row


def find_all_uploaded(session: Session) -> Sequence[UploadedInput]:
    """Return the uploaded weights that the session's caller may see, by name."""
    caller = caller_of(session)
    rows = session.exec(select(UploadedInput).where(UploadedInput.kind == WEIGHTS).order_by(col(UploadedInput.name)))
    return [row for row in rows if caller.may_see(row.owner, row.shared)]


def _check_either(path: Path) -> CheckResult:
    try:
        return check_weights(path, "EdgeFace")
    except (WeightsMismatch, WeightsWithoutTensors) as no_edgeface:
        try:
            return check_weights(path, "DSR")
        except (WeightsMismatch, WeightsWithoutTensors):
            raise no_edgeface from None


def _link(file: Path, target: Path) -> None:
    """Give the file a second name. It replaces a leftover of a transaction that did not commit."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = partial_path(target)
    os.link(file, partial)
    try:
        partial.chmod(0o600)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    sync(target.parent)
