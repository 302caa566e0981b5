"""The HTTP status of each error."""

from http import HTTPStatus

from app.access.errors import (
    CrossSiteRefused,
    CsrfTokenMissing,
    HostRefused,
    KeyInvalid,
    KeyMissing,
    NotOwner,
    PriorityNeedsAdmin,
    ScopeMissing,
)
from app.database_errors import (
    DatabaseDamaged,
    DatabaseDiskFull,
    DatabaseReadOnly,
    DatabaseRefused,
    DatabaseUnavailable,
)
from app.datasets.errors import DatasetNotRegistered, DatasetNotUploaded, NoSheet
from app.finetune.dataset_errors import DatasetHidesUpload, DatasetNameTaken
from app.finetune.errors import EdgefaceError
from app.inputs.errors import RootUnreadable
from app.isolated.errors import ReadCancelled, ReadersBusy, ReadersUnavailable
from app.jobs.comparison_errors import NotComparable
from app.jobs.errors import (
    CheckpointNotKept,
    CheckpointNotReady,
    JobDeleted,
    JobInUse,
    JobNotFound,
    NoBackbone,
    NotDeletable,
    NotEvaluated,
    NotExported,
    NothingToPin,
    NotPausable,
    NotPaused,
    NotRetryable,
    StatesGone,
    StoredFileMissing,
    StoredFileUnreadable,
    TooManyQueuedJobs,
)
from app.jobs.sweep_errors import SweepExists, SweepNotFound
from app.recognition.errors import ExportMissing, ModelNotFound
from app.request_limits.errors import (
    BodyTooLarge,
    ChecksBusy,
    ClientGone,
    HeadersTooLarge,
    TargetTooLong,
    TooManyRequests,
    TriesBusy,
)
from app.uploads.errors import (
    InputInUse,
    TooManyUploads,
    UploadBusy,
    UploadChecksumWrong,
    UploadDiskFull,
    UploadFormInvalid,
    UploadHeaderInvalid,
    UploadInUse,
    UploadLengthMissing,
    UploadNotFound,
    UploadNotResumable,
    UploadOffsetWrong,
    UploadQuotaExceeded,
    UploadTooLong,
    UploadTypeWrong,
    UploadUnfinished,
    UploadVersionUnknown,
    WeightsNameTaken,
    WeightsNotUploaded,
)

CHECKSUM_MISMATCH = 460
"""Of the tus protocol."""

STATUS_OF_ERROR: dict[type[EdgefaceError], int] = {
    JobNotFound: HTTPStatus.NOT_FOUND,
    DatasetNotRegistered: HTTPStatus.NOT_FOUND,
    NoSheet: HTTPStatus.NOT_FOUND,
    NotPausable: HTTPStatus.CONFLICT,
    NotPaused: HTTPStatus.CONFLICT,
    NotRetryable: HTTPStatus.CONFLICT,
    StatesGone: HTTPStatus.CONFLICT,
    NothingToPin: HTTPStatus.CONFLICT,
    CheckpointNotReady: HTTPStatus.CONFLICT,
    NotEvaluated: HTTPStatus.CONFLICT,
    NotComparable: HTTPStatus.CONFLICT,
    NotDeletable: HTTPStatus.CONFLICT,
    SweepExists: HTTPStatus.CONFLICT,
    SweepNotFound: HTTPStatus.NOT_FOUND,
    JobInUse: HTTPStatus.CONFLICT,
    JobDeleted: HTTPStatus.CONFLICT,
    NotExported: HTTPStatus.CONFLICT,
    CheckpointNotKept: HTTPStatus.NOT_FOUND,
    NoBackbone: HTTPStatus.NOT_FOUND,
    StoredFileMissing: HTTPStatus.GONE,
    ReadersBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    ReadersUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ReadCancelled: HTTPStatus.SERVICE_UNAVAILABLE,
    StoredFileUnreadable: HTTPStatus.SERVICE_UNAVAILABLE,
    RootUnreadable: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseDamaged: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseDiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    DatabaseReadOnly: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseRefused: HTTPStatus.SERVICE_UNAVAILABLE,
    DatasetNameTaken: HTTPStatus.CONFLICT,
    DatasetHidesUpload: HTTPStatus.CONFLICT,
    UploadNotFound: HTTPStatus.NOT_FOUND,
    UploadVersionUnknown: HTTPStatus.PRECONDITION_FAILED,
    UploadLengthMissing: HTTPStatus.LENGTH_REQUIRED,
    UploadHeaderInvalid: HTTPStatus.BAD_REQUEST,
    UploadFormInvalid: HTTPStatus.BAD_REQUEST,
    UploadTypeWrong: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UploadOffsetWrong: HTTPStatus.CONFLICT,
    UploadNotResumable: HTTPStatus.CONFLICT,
    UploadUnfinished: HTTPStatus.CONFLICT,
    UploadInUse: HTTPStatus.CONFLICT,
    InputInUse: HTTPStatus.CONFLICT,
    WeightsNameTaken: HTTPStatus.CONFLICT,
    DatasetNotUploaded: HTTPStatus.CONFLICT,
    WeightsNotUploaded: HTTPStatus.NOT_FOUND,
    UploadTooLong: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UploadQuotaExceeded: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooManyUploads: HTTPStatus.TOO_MANY_REQUESTS,
    UploadBusy: HTTPStatus.LOCKED,
    UploadDiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    UploadChecksumWrong: CHECKSUM_MISMATCH,
    TooManyQueuedJobs: HTTPStatus.TOO_MANY_REQUESTS,
    ChecksBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    TriesBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelNotFound: HTTPStatus.NOT_FOUND,
    ExportMissing: HTTPStatus.CONFLICT,
    ClientGone: HTTPStatus.BAD_REQUEST,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HeadersTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    TargetTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    KeyMissing: HTTPStatus.UNAUTHORIZED,
    KeyInvalid: HTTPStatus.UNAUTHORIZED,
    ScopeMissing: HTTPStatus.FORBIDDEN,
    NotOwner: HTTPStatus.FORBIDDEN,
    PriorityNeedsAdmin: HTTPStatus.FORBIDDEN,
    CsrfTokenMissing: HTTPStatus.FORBIDDEN,
    CrossSiteRefused: HTTPStatus.FORBIDDEN,
    HostRefused: HTTPStatus.MISDIRECTED_REQUEST,
}


def status_of(error: EdgefaceError) -> int:
    """The entry of STATUS_OF_ERROR; else 500 for errors with the blame `service`, and 422 for all others."""
    fallback = HTTPStatus.INTERNAL_SERVER_ERROR if error.blame == "service" else HTTPStatus.UNPROCESSABLE_ENTITY
    return STATUS_OF_ERROR.get(type(error), fallback)
