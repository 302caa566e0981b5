"""Datasets: their names, and their records."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status
from fastapi.responses import FileResponse
from pydantic import Discriminator, Tag
from starlette.convertors import Convertor, register_url_convertor

from app.access.audit import note
from app.api_models.datasets import DatasetList, DatasetView
from app.api_models.job import JobView
from app.api_models.sharing import Sharing
from app.dataset_roots import DATASETS
from app.datasets.checks import find_sheet, queue_check, remove
from app.datasets.imports import remove_uploaded
from app.datasets.records import find, find_all, find_by_name, place_of, shown_names
from app.datasets.views import view_dataset, view_summary
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.job_kinds import DATASET_IMPORT, kind_of
from app.guard.gate import CallerDep
from app.inputs.kinds import check_inputs, find_inputs
from app.inputs.names import list_datasets
from app.jobs.tables import Dataset
from app.problems import IMPORT_TAG, PROBLEM_RESPONSES, REGISTER_TAG
from app.routes.dependencies import ChecksDep, OwnerDep, ServiceDep, reading_for, writing_for
from app.routes.stored_files import DownloadsDep, file_responses
from app.routes.submitting import SubmissionDep, answer_submission, refuse_priority
from app.uploads.deletion import refuse_if_dataset_needed, set_aside

router = APIRouter(prefix="/datasets", tags=["datasets"], responses=PROBLEM_RESPONSES)

IdOrName = Annotated[str, Path(description="Id of the record, or name of the dataset, which may contain `/`.")]


@router.get("")
async def list_records(service: ServiceDep, caller: CallerDep, checks: ChecksDep) -> DatasetList:
    """List the values of the config field `dataset`, and the records of the datasets that were registered."""
    roots = service.datasets.roots

    def read() -> DatasetList:
        names = sorted({*list_datasets(roots.own), *list_datasets(roots.uploaded)})
        with reading_for(service, caller) as session:
            records = [view_summary(session, record, roots) for record in find_all(session)]
            return DatasetList(root=DATASETS, names=shown_names(session, names), datasets=records)

    return await checks.run(read)


def _kind_of_body(body: object) -> str:
    """A body with an upload makes a dataset; any other registers one."""
    names = body if isinstance(body, dict) else getattr(type(body), "model_fields", {})
    return IMPORT_TAG if "upload" in names else REGISTER_TAG


RegisterOrImport = Annotated[
    Annotated[DatasetCheckConfig, Tag(REGISTER_TAG)] | Annotated[DatasetImportConfig, Tag(IMPORT_TAG)],
    Discriminator(_kind_of_body),
]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": DatasetView, "description": "It was registered before, and was read again"}},
)
async def register_dataset(
    config: RegisterOrImport,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    owner: OwnerDep,
    response: Response,
    submission: SubmissionDep,
) -> DatasetView | JobView:
    """Register a folder (`dataset`), or read its file names again, and queue the job that checks its images; or queue
    the job that makes a dataset (`name`) of an upload (`upload`), and answer with that job.

    One check waits at a time: a second request before it starts returns the same job. `Idempotency-Key` is for uploads.
    """
    if isinstance(config, DatasetImportConfig):
        await checks.run(partial(service.uploads.find, owner, config.upload))
        kind = kind_of(DATASET_IMPORT)
        job = await answer_submission(service, caller, checks, response, kind, config, submission)
        await checks.run(partial(service.uploads.note_job, config.upload, job.id))
        return job

    refuse_priority(caller, submission.priority)

    def register() -> tuple[DatasetView, bool]:
        with reading_for(service, caller) as session:
            inputs = find_inputs(config, service.settings, session)
            known = find_by_name(session, place_of(inputs.folder, service.datasets.roots.of_path(inputs.folder))[0])
            if known is not None:
                caller.must_own(f"dataset {known.name}", known.owner)
        warnings = check_inputs(config, inputs, service.datasets).warnings
        record, is_new = service.datasets.register(inputs.folder, config.subject_pattern)
        with writing_for(service, caller) as session:
            most = service.settings.max_queued_jobs
            if is_new:
                own = session.get_one(Dataset, record.id, with_for_update=True)
                own.owner, own.shared = caller.name, False
            note(session, "register", f"/datasets/{record.id}", name=record.name)
            record = queue_check(
                session,
                record,
                config,
                warnings,
                priority=submission.priority,
                labels=submission.labels,
                most_queued=most,
            )
            view = view_dataset(session, record, service.datasets.roots)
        service.bell.ring()
        return view, is_new

    view, is_new = await checks.run(register)
    response.headers["Location"] = view.links["self"]
    if not is_new:
        response.status_code = status.HTTP_200_OK
    return view


class _IdConvertor(Convertor[str]):
    """The id of a record, which no name of a dataset looks like."""

    regex = "[0-9a-f]{24}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("record_id", _IdConvertor())


@router.get(
    "/{dataset_id:record_id}/sheet",
    response_class=FileResponse,
    responses=file_responses({"content": {"image/png": {}}, "description": "Images beside typical ones"}),
)
def get_sheet(
    dataset_id: Annotated[str, Path(description="Id of the record, not the name of the dataset.")],
    downloads: DownloadsDep,
    page: Annotated[int, Query(ge=1, le=1000, description="Pages are counted from 1.")] = 1,
) -> Response:
    """Return a page of the images that are likely mislabelled, and of the subjects that are likely two people. The ETag
    is the sha256."""
    return downloads.send(lambda session: find_sheet(session, dataset_id, page), "image/png")


@router.get("/{dataset:path}")
async def get_record(dataset: IdOrName, service: ServiceDep, caller: CallerDep, checks: ChecksDep) -> DatasetView:
    """Return the record of a dataset: whether it is fresh, and what its last check found."""

    def read() -> DatasetView:
        with reading_for(service, caller) as session:
            return view_dataset(session, find(session, dataset), service.datasets.roots)

    return await checks.run(read)


@router.delete("/{dataset:path}")
async def remove_record(
    dataset: IdOrName,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    files: Annotated[
        bool, Query(description="Whether to delete the files too, of a dataset that was uploaded.")
    ] = False,
    force: Annotated[bool, Query(description="Whether to delete files that jobs need which have not ended.")] = False,
) -> DatasetView:
    """Remove the record and return it. The folder stays, and jobs keep what they were submitted with.

    With `files=true` the files of an uploaded dataset are deleted too. 409 names the jobs that have not ended and need
    them. A folder of your own is never deleted.
    """

    def take_away() -> DatasetView:
        uploads_dir = service.settings.uploads_dir
        with set_aside(uploads_dir) as aside, writing_for(service, caller) as session:
            record = find(session, dataset)
            caller.must_own(f"dataset {record.name}", record.owner)
            view = view_dataset(session, record, service.datasets.roots)
            name, check_job_id = record.name, record.check_job_id
            if files:
                remove_uploaded(session, name)
            if files and not force:
                refuse_if_dataset_needed(session, name, check_job_id)
            note(session, "delete" if files else "remove", f"/datasets/{record.id}", name=name)
            remove(session, record)
            if files:
                session.flush()
                aside.take(service.datasets.roots.uploaded / name)
        return view

    return await checks.run(take_away)


@router.patch("/{dataset:path}")
async def share_dataset(
    dataset: IdOrName, sharing: Sharing, service: ServiceDep, caller: CallerDep, checks: ChecksDep
) -> DatasetView:
    """Share the dataset with everybody who has the scope `read`, or end that. Only its owner and admins change it."""

    def share() -> DatasetView:
        with writing_for(service, caller) as session:
            record = find(session, dataset)
            caller.must_own(f"dataset {record.name}", record.owner)
            record.shared = sharing.shared
            note(session, "share" if sharing.shared else "unshare", f"/datasets/{record.id}", name=record.name)
            session.flush()
            return view_dataset(session, record, service.datasets.roots)

    return await checks.run(share)
