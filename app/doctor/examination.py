"""Lists all checks and runs them."""

import sqlite3
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from app.doctor import files, gpus, machine, rows
from app.doctor.findings import Check, Finding, Scope
from app.finetune.errors import EdgefaceError

FOUNDATION: tuple[Check, ...] = (machine.database_file, machine.schema)
"""If one of these finds a problem, no other check runs and nothing is repaired."""

CHECKS: tuple[Check, ...] = (
    rows.leases_run_out,
    rows.leases_left_over,
    rows.attempts_left_open,
    rows.event_numbers,
    rows.epochs_shown_twice,
    rows.status_events,
    rows.workers_gone,
    files.artifact_files,
    files.checkpoint_rows,
    files.leftover_files,
    files.unknown_folders,
    files.deleted_jobs,
    files.prepared_faces,
    files.prepared_leftovers,
    files.compiled_leftovers,
    machine.disk_space,
    gpus.worker_gpus,
)


@dataclass(frozen=True)
class Diagnosis:
    """A finding of a check. `mended`: a second run of the check after the repair no longer found it."""

    check: str
    problem: str
    remedy: str
    mended: bool
    note: bool

    @property
    def open(self) -> bool:
        return not self.mended and not self.note


def examine(scope: Scope, *, repair: bool = False) -> list[Diagnosis]:
    """Run every check, and with `repair` repair the findings. Safe while the service runs."""
    for check in FOUNDATION:
        if found := _run(check, scope, repair=False):
            return found
    return [diagnosis for check in CHECKS for diagnosis in _run(check, scope, repair=repair)]


def _run(check: Check, scope: Scope, *, repair: bool) -> list[Diagnosis]:
    found = _find(check, scope)
    if not repair or not any(finding.repair for finding in found):
        return [_diagnosis(check, finding) for finding in found]
    failed = [failure for finding in found if (failure := _repair(finding)) is not None]
    left = _find(check, scope)
    problems = {finding.problem for finding in left}
    mended = [_diagnosis(check, finding, mended=True) for finding in found if finding.problem not in problems]
    return mended + [_diagnosis(check, finding) for finding in [*left, *failed]]


def _find(check: Check, scope: Scope) -> list[Finding]:
    try:
        return list(check(scope))
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        return [Finding(f"the check failed: {error}", "fix this first, then run doctor again")]


def _repair(finding: Finding) -> Finding | None:
    """Repair the finding. Return the failure, if any, as a finding."""
    try:
        if finding.repair is not None:
            finding.repair()
    except (SQLAlchemyError, OSError, EdgefaceError) as error:
        return Finding(f"the repair failed ({finding.problem}): {error}", "fix this first, then run doctor again")
    return None


def _diagnosis(check: Check, finding: Finding, *, mended: bool = False) -> Diagnosis:
    return Diagnosis(check.__name__, finding.problem, finding.remedy, mended, finding.note)
