"""Uploads: resumable by tus 1.0, or a form in one request."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response, status

from app.access.callers import Caller
from app.api_models.uploads import UploadList, UploadView
from app.guard.gate import CallerDep
from app.jobs.tables import Upload
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep
from app.routes.upload_form import FIELD, FileOfForm
from app.uploads.errors import UploadLengthMissing, UploadNotFound, UploadNotResumable, UploadTypeWrong
from app.uploads.protocol import (
    CONTENT_TYPE,
    check_version,
    clean_name,
    describe_offset,
    describe_service,
    read_checksum,
    read_length,
    read_name,
    read_number,
)
from app.uploads.views import view_upload

router = APIRouter(
    prefix="/uploads",
    tags=["uploads"],
    responses={**PROBLEM_RESPONSES, 507: {**PROBLEM_RESPONSES["4XX"], "description": "The service's disk is full"}},
)

UploadId = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="Id of the upload.")]

_FORM = "multipart/form-data"
_HEADERS = {name: {"schema": {"type": "string"}} for name in ("Upload-Offset", "Upload-Length", "Upload-Expires")}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _header(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "schema": {"type": "string"},
        "description": description,
    }


_VERSION = _header("Tus-Resumable", "1.0.0; may be left out.")
_CHECKSUM = _header("Upload-Checksum", "`sha256` or `sha1`, a space, and the digest of this body in base64.")


@router.options("", status_code=status.HTTP_204_NO_CONTENT)
async def describe_uploads(service: ServiceDep) -> Response:
    """Answer what of tus 1.0 works here, in headers."""
    return Response(status_code=status.HTTP_204_NO_CONTENT, headers=describe_service(service.uploads.quota))


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=UploadView,
    responses={201: {"headers": {**_HEADERS, "Location": {"schema": {"type": "string"}}}}},
    openapi_extra={
        "parameters": [
            _VERSION,
            _header("Upload-Length", "Bytes of the whole file. Required, except for a form."),
            _header("Upload-Metadata", "`filename`, a space, and the file's name in base64."),
            _CHECKSUM,
        ],
        "requestBody": {
            "required": False,
            "content": {
                _FORM: {
                    "schema": {
                        "type": "object",
                        "required": [FIELD],
                        "properties": {FIELD: {"type": "string", "format": "binary"}},
                    }
                },
                CONTENT_TYPE: _BINARY,
            },
        },
    },
)
async def create_upload(request: Request, service: ServiceDep, caller: CallerDep, response: Response) -> UploadView:
    """Begin an upload (tus creation, with the first bytes or without), or send a whole file as the part `file` of a
    form, as `curl -F file=@faces.zip` does."""
    check_version(request.headers)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _FORM:
        upload, offset = await _receive_form(request, service, caller)
    else:
        upload, offset = await _begin(request, service, caller, media_type)
    response.headers.update(describe_offset(offset, upload.length, upload.expires_at))
    response.headers["Location"] = f"/uploads/{upload.id}"
    return view_upload(upload, offset)


@router.get("")
async def list_uploads(service: ServiceDep, caller: CallerDep) -> UploadList:
    """List your uploads, newest first, and how much of your quota is used."""
    receiver, uploads = service.receiver, service.uploads

    def read() -> UploadList:
        views = [view_upload(upload, _offset_or_zero(service, upload)) for upload in uploads.list(caller.name)]
        return UploadList(uploads=views, used_bytes=uploads.used(caller.name), quota_bytes=uploads.quota)

    return await receiver.in_thread(read)


@router.get("/{upload_id}", responses={200: {"headers": _HEADERS}})
async def get_upload(upload_id: UploadId, service: ServiceDep, caller: CallerDep, response: Response) -> UploadView:
    """Return an upload. HEAD is what tus asks for the offset: an older PATCH that still waits for bytes ends then."""
    upload = await service.receiver.in_thread(service.uploads.find, caller.name, upload_id)
    offset = await service.receiver.offset(service.uploads.file(upload_id))
    if offset == upload.length and upload.finished_at is None and upload.resumable:
        # The client, or this process, went away between the last byte and its row.
        upload = await service.receiver.in_thread(service.uploads.received, caller, upload_id, finished=True)
    response.headers.update(describe_offset(offset, upload.length, upload.expires_at))
    return view_upload(upload, offset)


@router.patch(
    "/{upload_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={204: {"headers": _HEADERS}},
    openapi_extra={
        "parameters": [_VERSION, _header("Upload-Offset", "Bytes sent before.", required=True), _CHECKSUM],
        "requestBody": {"required": True, "content": {CONTENT_TYPE: _BINARY}},
    },
)
async def append_to_upload(request: Request, upload_id: UploadId, service: ServiceDep, caller: CallerDep) -> Response:
    """Add the body to the upload at Upload-Offset (tus PATCH). If the connection breaks, what arrived is kept, unless
    the request has an Upload-Checksum."""
    check_version(request.headers)
    if request.headers.get("content-type", "").lower() != CONTENT_TYPE:
        raise UploadTypeWrong(CONTENT_TYPE)
    sent = read_number(request.headers, "Upload-Offset")
    upload = await service.receiver.in_thread(service.uploads.find, caller.name, upload_id)
    if not upload.resumable:
        raise UploadNotResumable(upload_id)
    upload, offset = await _append(request, service, caller, upload, sent)
    headers = describe_offset(offset, upload.length, upload.expires_at)
    return Response(status_code=status.HTTP_204_NO_CONTENT, headers=headers)


@router.delete("/{upload_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_upload(request: Request, upload_id: UploadId, service: ServiceDep, caller: CallerDep) -> Response:
    """Delete the upload and its bytes (tus termination)."""
    check_version(request.headers)
    await service.receiver.in_thread(service.uploads.find, caller.name, upload_id)
    await service.receiver.end_writer(upload_id)
    await service.receiver.in_thread(service.uploads.delete, caller, upload_id)
    return Response(status_code=status.HTTP_204_NO_CONTENT, headers={"Tus-Resumable": "1.0.0"})


def _offset_or_zero(service: Service, upload: Upload) -> int:
    try:
        return service.uploads.file(upload.id).offset()
    except UploadNotFound:  # deleted meanwhile
        return 0


async def _begin(request: Request, service: Service, caller: Caller, media_type: str) -> tuple[Upload, int]:
    length, name = read_length(request.headers), read_name(request.headers)
    read_checksum(request.headers)
    if media_type not in ("", CONTENT_TYPE):
        raise UploadTypeWrong(CONTENT_TYPE)
    in_thread = service.receiver.in_thread
    upload = await in_thread(service.uploads.create, caller, name, length, resumable=True)
    if media_type == CONTENT_TYPE:
        return await _append(request, service, caller, upload, 0)
    if length == 0:
        upload = await in_thread(service.uploads.received, caller, upload.id, finished=True)
    return upload, 0


async def _append(request: Request, service: Service, caller: Caller, upload: Upload, sent: int) -> tuple[Upload, int]:
    file, receiver = service.uploads.file(upload.id), service.receiver
    checksum = read_checksum(request.headers)
    offset = await receiver.append(request.stream(), file, offset=sent, length=upload.length, checksum=checksum)
    upload = await receiver.in_thread(service.uploads.received, caller, upload.id, finished=offset == upload.length)
    return upload, offset


async def _receive_form(request: Request, service: Service, caller: Caller) -> tuple[Upload, int]:
    announced = request.headers.get("content-length", "")
    if not (announced.isascii() and announced.isdigit() and len(announced) < 17):
        raise UploadLengthMissing
    form, receiver, uploads = FileOfForm(request), service.receiver, service.uploads
    upload = await receiver.in_thread(uploads.create, caller, "upload", int(announced), resumable=False)
    try:
        offset = await receiver.append(
            form.content(), uploads.file(upload.id), offset=0, length=upload.length, checksum=None
        )
    except BaseException:
        await receiver.in_thread(uploads.delete, caller, upload.id)
        raise
    name = clean_name(form.name)
    return await receiver.in_thread(
        uploads.received, caller, upload.id, length=offset, name=name, finished=True
    ), offset
