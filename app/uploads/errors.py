"""Errors of uploads. All errors are drawn in app/finetune/error_tree.py."""

from collections.abc import Mapping, Sequence

from humanize import naturalsize

from app.finetune.counted import by_number, counted
from app.finetune.errors import Blame, EdgefaceError, name_some, shortened


class UploadError(EdgefaceError):
    """Base of the errors of a request that sends a file."""

    code = "upload_invalid"
    blame: Blame = "request"
    headers: Mapping[str, str] = {}
    """Of the answer, as the tus protocol asks."""


class UploadNotFound(UploadError):
    code = "upload_not_found"

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"there is no upload {upload_id}: it never was, it expired, or it became a dataset or weights",
            "GET /uploads lists yours; POST /uploads begins another",
        )


class UploadVersionUnknown(UploadError):
    code = "upload_version_unknown"

    def __init__(self, version: str) -> None:
        self.headers = {"Tus-Version": "1.0.0"}
        super().__init__(f"Tus-Resumable: {version[:40]!r} is not a known version", "send Tus-Resumable: 1.0.0")


class UploadLengthMissing(UploadError):
    code = "upload_length_missing"

    def __init__(self) -> None:
        super().__init__(
            "the size of the file is not known",
            "send the header Upload-Length (a resumable upload), or a form whose part `file` has it, as in "
            "`curl -F file=@faces.zip`, with a Content-Length",
        )


class UploadHeaderInvalid(UploadError):
    code = "upload_header_invalid"

    def __init__(self, header: str, reason: str) -> None:
        super().__init__(f"{header}: {reason}", "see docs/datasets.md, or the tus protocol 1.0 at tus.io")


class UploadTypeWrong(UploadError):
    code = "upload_type_wrong"

    def __init__(self, expected: str) -> None:
        super().__init__(f"the Content-Type is not {expected}", f"send Content-Type: {expected}")


class UploadFormInvalid(UploadError):
    code = "upload_form_invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the form cannot be read: {reason}", "send one part `file`, as in `curl -F file=@faces.zip`")


class UploadOffsetWrong(UploadError):
    code = "upload_offset_wrong"

    def __init__(self, upload_id: str, sent: int, offset: int) -> None:
        self.headers = {"Upload-Offset": str(offset)}
        super().__init__(
            f"upload {upload_id} has {offset} bytes; the request goes on at {sent}",
            f"HEAD /uploads/{upload_id} answers with Upload-Offset: go on there",
        )


class UploadTooLong(UploadError):
    code = "upload_too_long"

    def __init__(self, length: int) -> None:
        super().__init__(
            f"the request has more bytes than the upload's length of {length}",
            "send what Upload-Length announced; for another file begin another upload",
        )


class UploadChecksumWrong(UploadError):
    code = "upload_checksum_wrong"

    def __init__(self, algorithm: str) -> None:
        super().__init__(
            f"the bytes of the request do not have the {algorithm} of Upload-Checksum; none was kept",
            "send the same part again",
        )


class UploadBusy(UploadError):
    code = "upload_busy"

    def __init__(self, upload_id: str) -> None:
        self.headers = {"Retry-After": "1"}
        super().__init__(f"another request writes to upload {upload_id}", "wait for its end, then go on")


class UploadNotResumable(UploadError):
    code = "upload_not_resumable"

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"upload {upload_id} was sent as a form, which cannot be resumed",
            "begin another; POST /uploads with Upload-Length begins one that can be resumed",
        )


class UploadUnfinished(UploadError):
    code = "upload_unfinished"

    def __init__(self, upload_id: str, offset: int, length: int) -> None:
        super().__init__(
            f"upload {upload_id} has {offset} of {length} bytes",
            f"send the rest: PATCH /uploads/{upload_id} with Upload-Offset: {offset}",
        )


class UploadInUse(UploadError):
    code = "upload_in_use"

    def __init__(self, upload_id: str, job_id: str) -> None:
        super().__init__(f"job {job_id} reads upload {upload_id}", f"wait for its end, or cancel it: {job_id}")


class UploadQuotaExceeded(UploadError):
    code = "upload_quota_exceeded"

    def __init__(self, wanted: int, used: int, quota: int) -> None:
        self.wanted = wanted
        super().__init__(
            f"the file has {naturalsize(wanted)}; {naturalsize(used)} of your quota of {naturalsize(quota)} are used",
            "delete uploads that you do not need (GET /uploads lists them), or ask for a larger "
            "EDGEFACE_UPLOAD_QUOTA_GB",
        )


class TooManyUploads(UploadError):
    code = "too_many_uploads"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"you have {most} unfinished uploads, which is the most", "finish or delete some: GET /uploads lists them"
        )


class UploadDiskFull(UploadError):
    code = "upload_disk_full"
    blame: Blame = "service"

    def __init__(self) -> None:
        super().__init__(
            "the service's disk has no room for the file; what was received before is kept",
            "make room on the service's disk, or lower EDGEFACE_UPLOAD_KEEP_FREE_GB; then go on with the upload",
        )


class WeightsNameTaken(UploadError):
    code = "weights_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"there are weights or a folder {name!r} already", "choose another name")


class WeightsNotUploaded(UploadError):
    code = "weights_not_uploaded"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there are no uploaded weights {shortened(name)!r}",
            "`uploaded` of GET /weights lists them; files in the weights folder belong to who put them there",
        )


class InputInUse(UploadError):
    code = "input_in_use"

    def __init__(self, what: str, jobs: Sequence[str], others: int) -> None:
        """`jobs` are ids that the caller may see; `others` counts the rest."""
        total = len(jobs) + others
        need = by_number(total, "that has not ended needs", "that have not ended need")
        named = f": {name_some(jobs)}" if jobs else ""
        super().__init__(
            f"{counted(total, 'job')} {need} {what}{named}",
            "wait for their end or cancel them; force=true deletes it all the same, and they may fail",
        )
