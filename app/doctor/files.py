"""Checks of files against the rows that list them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from humanize import naturalsize
from sqlmodel import Session, col, select

from app.compiled_networks import clean_compiled, find_unused
from app.deletion import count_of, delete_file
from app.doctor.findings import Finding, Scope
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.dataset import JobWarning
from app.finetune.errors import name_some
from app.jobs import queries, stand_in
from app.jobs.deletion import clean_deleted, folders_left
from app.jobs.states import CLAIMED
from app.jobs.tables import Artifact, Job
from app.jobs.transitions import fence
from app.leftovers import find_leftovers, remove_leftovers
from app.prepared_faces import PreparedFaces, find_abandoned, find_prepared, sha256_of

_KIND_IN_WORDS = {"state": "a saved state", "evaluation": "the evaluation", "report": "the report"}
_WITHOUT = {
    "state": "the job resumes from the state before",
    "evaluation": "the job has none then",
    "report": "the job has none then",
}


def artifact_files(scope: Scope) -> Iterator[Finding]:
    """Every file listed by a row exists with the row's size (with --deep: with its sha256)."""
    with scope.snapshot() as session:
        rows = session.exec(select(Artifact).order_by(col(Artifact.created_at).desc())).all()
    damaged = {row.key: what for row in rows if (what := _damage(scope, row))}
    folders = {scope.settings.artifacts_dir / row.job_id for row in rows}
    if folders and not scope.accept_loss and not any(folder.exists() for folder in folders):
        yield Finding(
            f"none of the {count_of(len(rows), 'file')} listed by rows is in {scope.settings.artifacts_dir}",
            "check that EDGEFACE_ARTIFACTS_DIR is right and its disk mounted; if the files are lost for good, "
            "--repair --accept-loss drops their rows",
        )
        return
    for row in rows:
        # Check again: a running service may have deleted or replaced the file since the rows were read.
        if row.key in damaged and (what := _still_damaged(scope, row.key)):
            yield Finding(
                f"{row.key}, {_KIND_IN_WORDS.get(row.kind, 'a checkpoint')} of job {row.job_id}, {what}",
                "restore the file from a backup, or --repair drops its row: "
                + _WITHOUT.get(row.kind, "another checkpoint replaces it"),
                partial(_drop_row, scope, row.job_id, row.key),
            )


def _damage(scope: Scope, file: Artifact | WrittenFile) -> str | None:
    path = scope.settings.artifacts_dir / file.key
    try:
        if (size := path.stat().st_size) != file.size:
            return f"has {size} bytes instead of {file.size}"
        if scope.deep and sha256_of(path) != file.sha256:
            return "has a different sha256 than its row"
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    return None


def _is_gone(scope: Scope, row: Artifact) -> bool:
    return not (scope.settings.artifacts_dir / row.key).exists()


def _still_damaged(scope: Scope, key: str) -> str | None:
    with scope.snapshot() as session:
        return _row_damage(scope, session, key)


def _row_damage(scope: Scope, session: Session, key: str) -> str | None:
    row = session.get(Artifact, key)
    if row is None:
        return None
    job = queries.get(session, row.job_id)
    if job.status in CLAIMED and row.attempt == job.attempt and not _is_gone(scope, row):
        return None  # its trainer may have rewritten it and not yet updated the row
    return _damage(scope, row)


def _drop_row(scope: Scope, job_id: str, key: str) -> None:
    with scope.database.writing() as session:
        job = queries.locked(session, job_id)
        if (what := _row_damage(scope, session, key)) is None:
            return
        fence.forget_artifacts(session, [key])
        if job.checkpoint is not None and any(file.key == key for file in job.checkpoint.files):
            _replace_lost(scope, session, job, job.checkpoint, f"its file {key} {what}")


def _replace_lost(scope: Scope, session: Session, job: Job, lost: Checkpoint, why: str) -> None:
    """Replace `lost` by the next best checkpoint and add a warning to the job."""
    stand_in.put_in_place(session, job, lambda file: _damage(scope, file) is None)
    instead = f"that of epoch {job.checkpoint.epoch} replaces it" if job.checkpoint else "no other is kept"
    session.flush()
    message = f"the checkpoint of epoch {lost.epoch} is lost: {why}; {instead}"
    fence.add_warning(session, job.id, JobWarning(code="checkpoint_lost", message=message))


def checkpoint_rows(scope: Scope) -> Iterator[Finding]:
    """All files of a job's checkpoint have rows with the same sha256."""
    with scope.snapshot() as session:
        checkpoints = {job.id: job.checkpoint for job in session.exec(select(Job)) if job.checkpoint is not None}
        sha256s = {row.key: row.sha256 for row in session.exec(select(Artifact))}
    for job_id, checkpoint in checkpoints.items():
        unlisted = [file.key for file in checkpoint.files if sha256s.get(file.key) != file.sha256]
        if unlisted:
            yield Finding(
                f"job {job_id} has a checkpoint of files without matching rows: {name_some(unlisted)}",
                "--repair adds the rows if the files are whole; otherwise another checkpoint replaces it",
                partial(_list_checkpoint, scope, job_id),
            )


def _list_checkpoint(scope: Scope, job_id: str) -> None:
    """Add the rows of the checkpoint's files, or replace the checkpoint. Reads every byte, since a row holds the
    sha256."""
    deep = Scope(scope.database, scope.settings, deep=True)
    with scope.database.writing() as session:
        job = queries.locked(session, job_id)
        checkpoint = job.checkpoint
        if checkpoint is None:
            return
        files = checkpoint.by_format
        rows = {kind: session.get(Artifact, file.key) for kind, file in files.items()}
        if all(row is not None and row.sha256 == files[kind].sha256 for kind, row in rows.items()):
            return
        damage = [f"{file.key} {what}" for file in files.values() if (what := _damage(deep, file))]
        if damage:
            _replace_lost(deep, session, job, checkpoint, name_some(damage))
            return
        for kind, file in files.items():
            attempt = int(file.key.split("/")[1].removeprefix("attempt-"))
            session.merge(
                Artifact(
                    job_id=job_id,
                    attempt=attempt,
                    kind=kind,
                    stage=checkpoint.stage,
                    epoch=checkpoint.epoch,
                    created_at=fence.clock(session),
                    key=file.key,
                    size=file.size,
                    sha256=file.sha256,
                )
            )


def leftover_files(scope: Scope) -> Iterator[Finding]:
    """Every file of a job has a row, unless it is being written or younger than an hour."""
    leftovers = find_leftovers(scope.database, scope.settings.artifacts_dir)
    if leftovers.files:
        yield Finding(
            f"{count_of(len(leftovers.files), 'file')} ({naturalsize(leftovers.size)}) of jobs have no row: "
            f"{name_some(leftovers.files)}",
            "--repair deletes them, as a worker does every hour",
            partial(_remove_leftovers, scope),
        )


def _remove_leftovers(scope: Scope) -> None:
    remove_leftovers(scope.database, scope.settings.artifacts_dir)


def unknown_folders(scope: Scope) -> Iterator[Finding]:
    """Every attempt's folder belongs to an attempt with a row."""
    unknown = find_leftovers(scope.database, scope.settings.artifacts_dir).unknown
    if unknown:
        yield Finding(
            f"{count_of(len(unknown), 'folder')} of jobs or attempts unknown to this database: {name_some(unknown)}",
            "they are from another database or newer than a restored backup; only you can delete them, with rm -r",
            note=True,
        )


def deleted_jobs(scope: Scope) -> Iterator[Finding]:
    """A deleted job has no folder."""
    if left := folders_left(scope.database, scope.settings.artifacts_dir):
        yield Finding(
            f"{count_of(len(left), 'folder')} of deleted jobs: {name_some(left)}",
            "--repair deletes them, as a worker does every hour",
            partial(_clean_deleted, scope),
        )


def _clean_deleted(scope: Scope) -> None:
    clean_deleted(scope.database, scope.settings.artifacts_dir)


def prepared_faces(scope: Scope) -> Iterator[Finding]:
    """Prepared faces have the expected size (with --deep: the expected sha256)."""
    for faces in find_prepared(scope.settings.prepared_dir):
        if what := faces.damage(deep=scope.deep):
            yield Finding(
                f"prepared faces in {scope.settings.prepared_dir} are damaged: {what}",
                "--repair deletes them; the next job that needs them prepares them again",
                partial(_delete_damaged, faces, scope.deep),
            )


def _delete_damaged(faces: PreparedFaces, deep: bool) -> None:
    if faces.damage(deep=deep):
        faces.delete()


def prepared_leftovers(scope: Scope) -> Iterator[Finding]:
    """Unfinished prepared faces of killed processes are younger than an hour."""
    for path in find_abandoned(scope.settings.prepared_dir):
        yield Finding(
            f"{path} was left unfinished by a process that has ended",
            "--repair deletes it, as a worker does every hour",
            partial(_delete, path),
        )


def compiled_leftovers(scope: Scope) -> Iterator[Finding]:
    """Unfinished compiled networks of killed processes are younger than an hour."""
    for network in find_unused(scope.settings.compiled_dir, keep_seconds=float("inf")):
        yield Finding(
            f"{network} was left unfinished by a process that has ended",
            "--repair deletes it, as a worker does every hour",
            partial(_delete_unfinished, scope.settings.compiled_dir),
        )


def _delete_unfinished(compiled_dir: Path) -> None:
    clean_compiled(compiled_dir, keep_seconds=float("inf"))


def _delete(path: Path) -> None:
    delete_file(path)
