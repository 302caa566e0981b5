"""Methods of `Client` for datasets, weights and uploads."""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.api_models.datasets import DatasetList, DatasetView
from app.api_models.job import JobView
from app.api_models.uploads import UploadList, UploadView
from app.api_models.weights import UploadedWeights, WeightsList
from app.client.begun_uploads import BegunUploads
from app.client.connection import Connection
from app.client.packing import Packed
from app.client.uploading import send


class InputRequests:
    """One method for each route."""

    _connection: Connection

    def upload(self, path: Path, *, on_progress: Callable[[int, int], None] = lambda _sent, _all: None) -> UploadView:
        """Send a file, or a folder as a tar file that is made meanwhile, and return the upload once it is whole.

        `on_progress` is called with the bytes that the service has, and those of the whole. After a lost connection it
        goes on where it was, and a later call for the same path goes on where a killed process was, as long as no file
        changed and the upload did not expire.

        Raises ApiError, UploadUnreadable, and the error of the connection after `patience_seconds` without progress.
        """
        return send(self._connection, Packed(path), BegunUploads(self._connection.url), on_progress)

    def uploads(self) -> UploadList:
        """Return your uploads, newest first, and how much of your quota is used."""
        return UploadList.model_validate(self._connection.request("GET", "/uploads"))

    def delete_upload(self, upload_id: str) -> None:
        """Delete an upload and its bytes. Raises ApiError if there is none, or while a job reads it."""
        self._connection.request_once("DELETE", f"/uploads/{upload_id}")

    def import_dataset(
        self,
        name: str,
        upload_id: str,
        *,
        options: Mapping[str, Any] | None = None,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> JobView:
        """Queue the job that makes the dataset `name` of an upload, and return it; `options` are those of POST
        /datasets. Raises ApiError if the service refuses it."""
        body = {"name": name, "upload": upload_id, "options": dict(options or {})}
        headers = {"Idempotency-Key": str(uuid.uuid4()) if idempotency_key is None else idempotency_key}
        answer = self._connection.request(
            "POST", "/datasets", params={"priority": priority}, headers=headers, json=body
        )
        return JobView.model_validate(answer)

    def weights(self) -> WeightsList:
        """Return the names of all weights that a config can use, and those of them that were uploaded."""
        return WeightsList.model_validate(self._connection.request("GET", "/weights"))

    def uploaded_weights(self, name: str) -> UploadedWeights:
        """Return uploaded weights. Raises ApiError if there are none of this name."""
        return UploadedWeights.model_validate(self._connection.request("GET", _weights_path(name)))

    def receive_weights(self, name: str, upload_id: str) -> UploadedWeights:
        """Make weights of an upload, after their check by the service. Raises ApiError if it refuses them. The request
        is never repeated: if its answer were lost, the API would refuse the second one."""
        body = {"name": name, "upload": upload_id}
        return UploadedWeights.model_validate(self._connection.request_once("POST", "/weights", json=body))

    def share_weights(self, name: str, *, shared: bool = True) -> UploadedWeights:
        """Share uploaded weights with everybody who has the scope `read`, or end that. Raises ApiError for those of
        others."""
        answer = self._connection.request("PATCH", _weights_path(name), json={"shared": shared})
        return UploadedWeights.model_validate(answer)

    def delete_weights(self, name: str, *, force: bool = False) -> UploadedWeights:
        """Delete uploaded weights and return what they were; `force` does not ask whether jobs need them. Raises
        ApiError. The request is never repeated: if its answer were lost, the API would refuse the second one."""
        answer = self._connection.request_once("DELETE", _weights_path(name), params={"force": force})
        return UploadedWeights.model_validate(answer)

    def register(
        self, dataset: str, *, subject_pattern: str | None = None, edgeface: str | None = None, priority: int = 0
    ) -> DatasetView:
        """Register a dataset, or read its names again, and queue the check of its images. Raises ApiError if the
        service refuses it."""
        body = {"dataset": dataset, "subject_pattern": subject_pattern, "edgeface": edgeface}
        answer = self._connection.request("POST", "/datasets", params={"priority": priority}, json=body)
        return DatasetView.model_validate(answer)

    def datasets(self) -> DatasetList:
        """Return the names of all datasets, and the records of those that were registered."""
        return DatasetList.model_validate(self._connection.request("GET", "/datasets"))

    def dataset(self, id_or_name: str) -> DatasetView:
        """Return the record of a dataset. Raises ApiError if there is none."""
        return DatasetView.model_validate(self._connection.request("GET", _dataset_path(id_or_name)))

    def share_dataset(self, id_or_name: str, *, shared: bool = True) -> DatasetView:
        """Share the dataset with everybody who has the scope `read`, or end that. Raises ApiError for another's."""
        answer = self._connection.request("PATCH", _dataset_path(id_or_name), json={"shared": shared})
        return DatasetView.model_validate(answer)

    def remove_dataset(self, id_or_name: str, *, files: bool = False, force: bool = False) -> DatasetView:
        """Remove the record of a dataset and return it; the folder stays. With `files` the files of a dataset that was
        uploaded are deleted too; `force` does not ask whether jobs need them.

        Raises ApiError if there is none, or if jobs need it. The request is never repeated: if its answer were lost,
        the API would refuse the second one.
        """
        params = {"files": files, "force": force}
        answer = self._connection.request_once("DELETE", _dataset_path(id_or_name), params=params)
        return DatasetView.model_validate(answer)


def _dataset_path(id_or_name: str) -> str:
    return f"/datasets/{quote(id_or_name)}"


def _weights_path(name: str) -> str:
    return f"/weights/{quote(name, safe='')}"
