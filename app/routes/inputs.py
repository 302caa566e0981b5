"""Weights: the names that a config can use, and those that come by uploads."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from app.access.audit import note
from app.api_models.sharing import Sharing
from app.api_models.weights import UploadedWeights, WeightsList, WeightsUpload
from app.dataset_roots import WEIGHTS, weights_roots
from app.guard.gate import CallerDep
from app.inputs.uploaded_weights import check_upload, find_all_uploaded, find_uploaded, keep_upload
from app.inputs.weights_names import list_weights
from app.jobs.tables import UploadedInput
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ChecksDep, OwnerDep, ServiceDep, reading_for, writing_for
from app.uploads.deletion import refuse_if_weights_needed, set_aside
from app.uploads.rows import find_upload, path_of_finished

router = APIRouter(prefix="/weights", tags=["inputs"], responses=PROBLEM_RESPONSES)

WeightsName = Annotated[str, Path(max_length=100, description="Name of uploaded weights.")]


@router.get("")
async def get_weights(service: ServiceDep, caller: CallerDep, checks: ChecksDep) -> WeightsList:
    """List the values of the config fields `edgeface` and `dsr`, besides `job:ID`."""

    def read() -> WeightsList:
        names = list_weights(service.settings.weights_dir)
        with reading_for(service, caller) as session:
            uploaded = [_view(row) for row in find_all_uploaded(session)]
        return WeightsList(root=WEIGHTS, names=sorted({*names, *(each.name for each in uploaded)}), uploaded=uploaded)

    return await checks.run(read)


@router.post("", status_code=status.HTTP_201_CREATED)
async def receive_weights(
    body: WeightsUpload, service: ServiceDep, caller: CallerDep, checks: ChecksDep, owner: OwnerDep, response: Response
) -> UploadedWeights:
    """Make weights of an upload: an EdgeFace or DSR network, which a process with limited memory checks first. They
    belong to you, and only you can name them until you share them. The upload is deleted."""
    settings = service.settings

    def receive() -> UploadedWeights:
        with reading_for(service, caller) as session:
            upload = find_upload(session, owner, body.upload)
            path = path_of_finished(upload, settings.uploads_dir)
        checked = check_upload(path, upload.name)
        with writing_for(service, caller) as session:
            upload = find_upload(session, owner, body.upload)
            row = keep_upload(session, settings, upload, body.name, checked)
            note(session, "receive", f"/weights/{row.name}", network=row.network, sha256=row.sha256)
            view = _view(row)
        service.uploads.file(body.upload).delete()
        return view

    view = await checks.run(receive)
    response.headers["Location"] = f"/weights/{view.name}"
    return view


@router.get("/{name}")
async def get_uploaded_weights(
    name: WeightsName, service: ServiceDep, caller: CallerDep, checks: ChecksDep
) -> UploadedWeights:
    """Return uploaded weights: their network, size and sha256."""

    def read() -> UploadedWeights:
        with reading_for(service, caller) as session:
            return _view(find_uploaded(session, name))

    return await checks.run(read)


@router.patch("/{name}")
async def share_weights(
    name: WeightsName, sharing: Sharing, service: ServiceDep, caller: CallerDep, checks: ChecksDep
) -> UploadedWeights:
    """Share the uploaded weights with everybody who has the scope `read`, or end that. Only their owner and admins
    change it."""

    def share() -> UploadedWeights:
        with writing_for(service, caller) as session:
            row = find_uploaded(session, name)
            caller.must_own(f"weights {name}", row.owner)
            row.shared = sharing.shared
            note(session, "share" if sharing.shared else "unshare", f"/weights/{name}")
            return _view(row)

    return await checks.run(share)


@router.delete("/{name}")
async def delete_weights(
    name: WeightsName,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    force: Annotated[
        bool, Query(description="Whether to delete them although jobs that have not ended name them.")
    ] = False,
) -> UploadedWeights:
    """Delete uploaded weights and return what they were. Files that were put into the weights folder by hand are never
    deleted. 409 names the jobs that have not ended and need them."""
    settings = service.settings

    def delete() -> UploadedWeights:
        with set_aside(settings.uploads_dir) as aside, writing_for(service, caller) as session:
            row = find_uploaded(session, name)
            caller.must_own(f"weights {name}", row.owner)
            if not force:
                refuse_if_weights_needed(session, name)
            note(session, "delete", f"/weights/{name}", sha256=row.sha256, force=force)
            view = _view(row)
            session.delete(row)
            session.flush()
            aside.take(weights_roots(settings).uploaded / row.name)
        return view

    return await checks.run(delete)


def _view(row: UploadedInput) -> UploadedWeights:
    return UploadedWeights(
        name=row.name,
        network=row.network,
        owner=row.owner,
        shared=row.shared,
        size=row.size,
        sha256=row.sha256,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
    )
