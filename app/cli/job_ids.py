"""Ids of jobs as people type them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from app.cli.connecting import connect

if TYPE_CHECKING:
    from app.api_models.job import JobView
    from app.client import Client
    from app.finetune.job_kinds import Kind

LAST = "last"
ID_LENGTH = 24
SUFFIX_LENGTH = 6
"""The first eight characters of an id are its time: the last ones distinguish the jobs of one day."""

_MOST_CANDIDATES = 10


def find_job_id(client: "Client", given: str) -> str:
    """Return the id of the job that `given` means: a whole id, the first characters of one, the last six, or `last`,
    the newest job of the caller.

    Raises click.BadParameter if no job or more than one is meant, naming the candidates.
    """
    if len(given) == ID_LENGTH or not given.isalnum():
        return given  # the API says what is wrong with it
    if given == LAST:
        return _newest(client).id
    text = given.lower()
    found = [job for job in _jobs_with(client, text) if _means(job.id, text)]
    if len(found) == 1:
        return found[0].id
    if not found:
        raise _bad(f"no job has an id that begins with {given!r} or ends with it (the last {SUFFIX_LENGTH} characters)")
    shown = "\n".join(f"  {_candidate(job)}" for job in found[:_MOST_CANDIDATES])
    more = f"\n  and {len(found) - _MOST_CANDIDATES} more" if len(found) > _MOST_CANDIDATES else ""
    raise _bad(f"{given!r} means {len(found)} jobs; give more characters, or the last {SUFFIX_LENGTH}:\n{shown}{more}")


@contextmanager
def connect_to_job(url: str, given: str) -> "Iterator[tuple[Client, str]]":
    """Yield a client and the id of the job that `given` means. Raises as `connect` and `find_job_id`."""
    with connect(url) as client:
        yield client, find_job_id(client, given)


def with_whole_ids(client: "Client", fields: Mapping[str, Any], kind: "Kind") -> dict[str, Any]:
    """Return the fields of a config of this kind with whole ids in `job:ID`. Raises as `find_job_id`."""
    from app.finetune.config import OF_JOB

    whole = dict(fields)
    for field in kind.weights:
        value = whole.get(field)
        if isinstance(value, str) and value.startswith(OF_JOB):
            whole[field] = OF_JOB + find_job_id(client, value.removeprefix(OF_JOB))
    return whole


def short_id(job_id: str) -> str:
    """Return the last characters of an id, which commands take for it."""
    return job_id[-SUFFIX_LENGTH:]


def _means(job_id: str, text: str) -> bool:
    return job_id.startswith(text) or (len(text) == SUFFIX_LENGTH and job_id.endswith(text))


def _newest(client: "Client") -> "JobView":
    """Return the newest job that the caller owns: `last` never means a job that others share."""
    caller = client.caller().name
    newest = next((job for job in _jobs_with(client, "") if job.owner == caller), None)
    if newest is None:
        raise _bad("there is no job yet; `edgeface-finetune submit` makes one")
    return newest


def _jobs_with(client: "Client", text: str) -> Iterator["JobView"]:
    """Yield the jobs of all kinds with the text in their ids or labels, newest first."""
    from app.finetune.job_kinds import ALL_KINDS

    cursor: str | None = None
    while True:
        page = client.list(kind=ALL_KINDS, text=text, cursor=cursor, limit=100 if text else 20)
        yield from page.jobs
        if (cursor := page.next_cursor) is None:
            return


def _candidate(job: "JobView") -> str:
    name = f"  {job.name}" if job.name else ""
    return f"{job.id}  {job.created_at.astimezone():%Y-%m-%d %H:%M}  {job.status}  {job.config.summary}{name}"


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="JOB")
