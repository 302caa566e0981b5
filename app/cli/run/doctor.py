"""Finds and repairs disagreements between database rows and files, and tests the GPUs."""

import json
from dataclasses import asdict
from importlib.metadata import entry_points
from itertools import chain

import click
from sqlalchemy.exc import SQLAlchemyError

from app.api_models.health import WorkerView
from app.cli.gpus import worker_lines
from app.database import Database
from app.deletion import count_of
from app.doctor.examination import CHECKS, FOUNDATION, Diagnosis, examine
from app.doctor.findings import Scope
from app.finetune.errors import printable
from app.finetune.gpus import GpuCheck
from app.jobs.worker_views import view_workers
from app.settings import Settings
from app.sqlite_file import sqlite_path


def examine_service(*, repair: bool, deep: bool, accept_loss: bool, as_json: bool) -> bool:
    """Print what disagrees, and the workers. Return whether nothing is left to do."""
    settings = Settings()
    sqlite_path(settings.database_url)  # raises if the file is missing, which connecting would create
    database = Database(settings.database_url)
    try:
        found = examine(Scope(database, settings, deep=deep, accept_loss=accept_loss), repair=repair)
        workers = _running_workers(database, settings)
    finally:
        database.close()
    well = not any(diagnosis.open for diagnosis in found)
    if as_json:
        report = {
            "well": well,
            "findings": [_as_json(diagnosis) for diagnosis in found],
            "workers": [worker.model_dump(mode="json") for worker in workers],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        for line in chain.from_iterable(map(worker_lines, workers)):
            click.echo(line)
        _print(found)
    return well


def test_gpus(*, as_json: bool) -> bool:
    """Run the worker's test of the GPUs, and print each check when it has ended. Return whether all passed."""
    (check_gpus,) = entry_points(group="edgeface_finetune.gpu_check", name="check_gpus")
    checks: list[GpuCheck] = []
    for check in check_gpus.load()():
        checks.append(check)
        if not as_json:
            where = check.check if check.device is None else f"{check.device} {check.check}"
            click.echo(f"{where}: {'passed' if check.passed else 'FAILED'}: {check.message}")
            if check.hint is not None:
                click.echo(f"  to do: {check.hint}")
    failed = sum(not check.passed for check in checks)
    if as_json:
        report = {"well": not failed, "checks": [check.model_dump(mode="json") for check in checks]}
        click.echo(json.dumps(report, indent=2))
    elif failed:
        click.echo(f"{failed} of {count_of(len(checks), 'check')} failed")
    else:
        click.echo(f"the GPU works: {count_of(len(checks), 'check')} passed")
    return not failed


def _running_workers(database: Database, settings: Settings) -> list[WorkerView]:
    """Return those that have reported lately, none where the database cannot be read: the findings say why."""
    try:
        with database.reading() as session:
            return view_workers(session, settings.worker_seen_seconds)
    except SQLAlchemyError:
        return []


def _as_json(diagnosis: Diagnosis) -> dict[str, object]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in asdict(diagnosis).items()}


def _print(found: list[Diagnosis]) -> None:
    for diagnosis in found:
        state = "repaired: " if diagnosis.mended else "note: " if diagnosis.note else ""
        click.echo(f"{diagnosis.check}: {state}{diagnosis.problem}")
        if not diagnosis.mended:
            click.echo(f"  to do: {diagnosis.remedy}")
    left = sum(diagnosis.open for diagnosis in found)
    mended = sum(diagnosis.mended for diagnosis in found)
    done = f", {count_of(mended, 'finding')} repaired" if mended else ""
    if left:
        click.echo(f"{count_of(left, 'finding')} open{done}")
    else:
        click.echo(f"no problems: {len(FOUNDATION) + len(CHECKS)} checks{done}")
