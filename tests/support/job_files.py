"""Jobs with real files, and rows and files made older than they are."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from sqlmodel import col, update

from app.database import Database, database_now
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.config import FACE_SIZE, FinetuneConfig
from app.finetune.events import ModelExported, StateSaved
from app.finetune.job_kinds import FINETUNING, KINDS
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Job
from app.jobs.transitions import attempts, recording, submission, wishes
from app.jobs.transitions.fence import Claim

CONFIG = FinetuneConfig.model_validate({"dataset": "faces"})
LONG_AGO = 7200.0
"""Seconds: older than any grace."""


class JobFiles:
    """One job, claimed, whose files are really there. Everything it makes is old enough for any grace."""

    def __init__(self, database: Database, artifacts_dir: Path, **fields: Any) -> None:
        """`fields` of its config, besides the dataset."""
        self.database = database
        self.artifacts_dir = artifacts_dir
        with database.writing() as session:
            self.id = submission.submit(session, CONFIG.model_copy(update=fields), []).id
        self.claim = self.claim_again()

    def claim_again(self) -> Claim:
        with self.database.writing() as session:
            claimed = attempts.claim(session, self.id, "worker-1", 60.0)
        assert claimed is not None
        self.claim = claimed
        return claimed

    def checkpoint(self, epoch: int, *, backbone_bytes: bytes = b"") -> list[Path]:
        """A new best one, with a file of each format."""
        folder = f"{self.id}/attempt-{self.claim.attempt}/best-epoch-{epoch:03d}"
        contents = {"backbone": backbone_bytes} if backbone_bytes else {}
        files = {
            name: self.write(f"{folder}/{file_name}", contents.get(name, f"{name} {epoch}".encode()))
            for name, file_name in KINDS[FINETUNING].checkpoint.items()
        }
        checkpoint = Checkpoint.of(files, epoch=epoch, score=epoch / 100)
        with self.database.writing() as session:
            recording.record_checkpoint(session, self.claim, checkpoint)
        for file in checkpoint.files:
            self._age_row(file.key)
        return [self.artifacts_dir / file.path for file in checkpoint.files]

    def evaluation(self, epoch: int) -> list[Path]:
        """What was measured of the checkpoint of this epoch."""
        folder = f"{self.id}/attempt-{self.claim.attempt}"
        files = {
            "evaluation": self.write(f"{folder}/evaluation.json", b'{"epoch": %d}' % epoch),
            "report": self.write(f"{folder}/report.html", b"<!doctype html>epoch %d" % epoch),
        }
        with self.database.writing() as session:
            recording.record_evaluation(session, self.claim, epoch=epoch, files=files)
        for file in files.values():
            self._age_row(file.key)
        return [self.artifacts_dir / file.path for file in files.values()]

    def export(self, epoch: int) -> Path:
        """The ONNX file of the checkpoint of this epoch."""
        file = self.write(f"{self.id}/attempt-{self.claim.attempt}/edgeface.onnx", b"onnx")
        exported = ModelExported(
            file=file,
            weights_sha256="0" * 64,
            variant="edgeface_xxs",
            opset=17,
            faces=1,
            worst_cosine=1.0,
            mean_cosine=1.0,
            seconds=0.1,
        )
        with self.database.writing() as session:
            recording.record_export(session, self.claim, exported, epoch=epoch)
        self._age_row(file.key)
        return self.artifacts_dir / file.path

    def state(self, epoch: int) -> Path:
        """Saved after this epoch of stage 2."""
        state = self.write(f"{self.id}/attempt-{self.claim.attempt}/state-{epoch:08d}.pth", b"state %d" % epoch)
        with self.database.writing() as session:
            best = queries.fresh(session, self.id).checkpoint
            recording.record_state(session, self.claim, StateSaved(state, 2, epoch, 0, epoch, 0.5, best))
        self._age_row(state.key)
        return self.artifacts_dir / state.path

    def write(self, key: str, content: bytes) -> WrittenFile:
        write_old(self.artifacts_dir / key, content)
        return WrittenFile(Path(key), len(content), hashlib.sha256(content).hexdigest())

    @staticmethod
    def sha256(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def end(self, status: JobStatus, *, days_ago: float = 0.0) -> None:
        with self.database.writing() as session:
            if status is JobStatus.PAUSED:
                wishes.request_pause(session, self.id)
            if status in (JobStatus.PAUSED, JobStatus.QUEUED):
                attempts.hand_back(session, self.claim, "stopped")
            else:
                attempts.finish(session, self.claim, status)
            session.execute(
                update(Job).where(col(Job.id) == self.id).values(finished_at=Job.finished_at - days_ago * 86400)  # type: ignore[operator]
            )

    def row(self) -> Job:
        with self.database.reading() as session:
            return queries.get(session, self.id)

    def listed(self) -> set[str]:
        """Keys of the files that have rows."""
        with self.database.reading() as session:
            return {artifact.key for artifact in queries.artifacts(session, self.id)}

    def kinds_of_events(self) -> list[str]:
        with self.database.reading() as session:
            return [event.kind for event in queries.events_after(session, self.id, 0)]

    def make_row_new(self, path: Path) -> None:
        with self.database.writing() as session:
            session.execute(
                update(Artifact).where(col(Artifact.key) == self.key_of(path)).values(created_at=database_now())
            )

    def key_of(self, path: Path) -> str:
        return path.relative_to(self.artifacts_dir).as_posix()

    def _age_row(self, key: str) -> None:
        with self.database.writing() as session:
            session.execute(
                update(Artifact).where(col(Artifact.key) == key).values(created_at=Artifact.created_at - LONG_AGO)
            )


def write_old(path: Path, content: bytes, *, seconds: float = LONG_AGO) -> Path:
    """A file that was last changed this long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return make_old(path, seconds)


def make_old(path: Path, seconds: float = LONG_AGO) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def write_prepared(folder: Path, key: str, *, seconds: float = LONG_AGO) -> tuple[Path, Path]:
    """One face in the format of worker/training/data/face_cache.py; test_retention.py compares the two."""
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + b" " * 118
    content = header + bytes(3 * FACE_SIZE**2)
    said = {"sha256": hashlib.sha256(content).hexdigest(), "sizes": [[16, 16, 1]]}
    array = write_old(folder / f"{key}.npy", content, seconds=seconds)
    return array, write_old(folder / f"{key}.json", json.dumps(said).encode(), seconds=seconds)
