"""`edgeface-finetune doctor`: find and repair disagreements between database rows and files."""

import json
import sys
from dataclasses import asdict

import click

from app.database import Database
from app.deletion import count_of
from app.doctor.examination import CHECKS, FOUNDATION, Diagnosis, examine
from app.doctor.findings import Scope
from app.settings import Settings
from app.sqlite_file import sqlite_path


@click.command()
@click.option("--repair", is_flag=True, help="Repair the findings.")
@click.option("--deep", is_flag=True, help="Compare the sha256 of every file, not only its size.")
@click.option("--accept-loss", is_flag=True, help="With --repair: drop rows even if all their files are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(repair: bool, deep: bool, accept_loss: bool, as_json: bool) -> None:
    """Find disagreements between database rows and files. The service may run.

    Exit status 0 if there are none or all were repaired, else 1.
    """
    settings = Settings()
    sqlite_path(settings.database_url)  # raises if the file is missing, which connecting would create
    database = Database(settings.database_url)
    try:
        found = examine(Scope(database, settings, deep=deep, accept_loss=accept_loss), repair=repair)
    finally:
        database.close()
    well = not any(diagnosis.open for diagnosis in found)
    if as_json:
        click.echo(json.dumps({"well": well, "findings": [asdict(diagnosis) for diagnosis in found]}, indent=2))
    else:
        _print(found)
    sys.exit(0 if well else 1)


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
