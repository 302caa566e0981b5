"""The manifests of checked datasets: files of the artifacts, each named by its digest, beside a folder of sheets.

Both stay while a record or a job names the digest that may still read the dataset.
"""

import shutil
import time
from pathlib import Path

from sqlalchemy import or_
from sqlmodel import col, select

from app.database import Database, database_now
from app.deletion import Freed, delete_file
from app.finetune.manifest import DatasetManifest, write_manifest
from app.jobs.states import TERMINAL
from app.jobs.tables import Dataset, Job

FOLDER = "datasets"
_UNNAMED_SECONDS = 3600.0
"""How long a file stays that no row names: its row may be about to be written."""


def manifest_file(artifacts_dir: Path, digest: str) -> Path:
    return artifacts_dir / FOLDER / f"{digest}.json"


def keep_manifest(artifacts_dir: Path, manifest: DatasetManifest) -> str:
    """Write the manifest unless it is there. Return its digest. Raises OSError."""
    digest = manifest.digest
    path = manifest_file(artifacts_dir, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        write_manifest(path, manifest)
    return digest


def clean_manifests(database: Database, artifacts_dir: Path, ended_seconds: float) -> Freed:
    """Delete the files in the folder of manifests that no record names, and no job except those that ended longer than
    `ended_seconds` ago."""
    old = time.time() - _UNNAMED_SECONDS
    paths = [path for path in (artifacts_dir / FOLDER).glob("*") if path.stat().st_mtime < old]
    if not paths:
        return Freed()
    with database.reading() as session:
        named = {each.manifest for each in session.exec(select(Dataset))}
        may_read = or_(col(Job.status).not_in(TERMINAL), col(Job.finished_at) > database_now() - ended_seconds)
        for datasets in session.exec(select(Job.datasets).where(col(Job.datasets).is_not(None), may_read)):
            named |= {each.get("manifest") for each in datasets or []}
    unnamed = [path for path in paths if path.stem not in named]
    files = [file for path in unnamed for file in ([path] if path.is_file() else path.rglob("*.png"))]
    freed = sum((delete_file(path) for path in files), start=Freed())
    for folder in (path for path in unnamed if path.is_dir()):
        shutil.rmtree(folder, ignore_errors=True)
    return freed
