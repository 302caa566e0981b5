"""The methods of the client that try models on photos."""

import mimetypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.api_models.events import EventView, StatusEvent
from app.api_models.job import JobView
from app.api_models.models import ComparisonView, EmbeddingsView, ModelList
from app.client.connection import Connection
from app.client.errors import ExportFailed

_MOST_WAITS = 3
"""Jobs that a request waits for: one for the model, one for the weights before, and one more."""


class ModelMethods(ABC):
    """One method for each route."""

    _connection: Connection

    @abstractmethod
    def get(self, job_id: str) -> JobView: ...

    @abstractmethod
    def events(self, job_id: str, *, after: int = 0) -> Iterator[EventView | dict[str, Any]]: ...

    def models(self, *, cursor: str | None = None, limit: int = 100) -> ModelList:
        """Return what a config can name as `edgeface`: weights, and one page of results of jobs, newest first."""
        params: dict[str, Any] = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        return ModelList.model_validate(self._connection.request("GET", "/models", params=params))

    def compare_faces(
        self,
        model: str,
        probe: Path,
        gallery: Sequence[Path],
        *,
        align: bool = True,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> ComparisonView:
        """Compare the face in `probe` with that in each photo of the gallery, by the model and by the weights that it
        was made from. `model` is a weights name or `job:ID`. Without `align` the photos are faces that are cropped
        already.

        Waits for the job that makes the model's ONNX file, where there is none; `on_status` is called with its status.
        Raises ApiError, and ExportFailed if that job fails.
        """
        photos = {"probe": [probe], "gallery": gallery}
        return ComparisonView.model_validate(self._try(model, "comparisons", photos, align, on_status))

    def embed(
        self,
        model: str,
        photos: Sequence[Path],
        *,
        align: bool = True,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> EmbeddingsView:
        """Return the embeddings of the faces in at most 50 photos; see `compare_faces`."""
        return EmbeddingsView.model_validate(self._try(model, "embeddings", {"photo": photos}, align, on_status))

    def _try(
        self,
        model: str,
        what: str,
        photos: Mapping[str, Sequence[Path]],
        align: bool,
        on_status: Callable[[str], None],
    ) -> Any:
        """Send the photos, by the fields of the form, and again after each job that makes an ONNX file."""
        files = [(field, _part(photo)) for field, each in photos.items() for photo in each]
        path, form = f"/models/{quote(model)}/{what}", {"align": str(align).lower()}
        for _ in range(_MOST_WAITS):
            answer = self._connection.request("POST", path, files=files, data=form)
            if "model" in answer:
                return answer
            self._wait_for_export(JobView.model_validate(answer).id, on_status)
        return self._connection.request("POST", path, files=files, data=form)

    def _wait_for_export(self, job_id: str, on_status: Callable[[str], None]) -> None:
        for event in self.events(job_id):
            if isinstance(event, StatusEvent):
                on_status(event.data.status)
        job = self.get(job_id)
        if job.status != "succeeded":
            raise ExportFailed(job)


def _part(photo: Path) -> tuple[str, bytes, str]:
    return photo.name, photo.read_bytes(), mimetypes.guess_type(photo.name)[0] or "application/octet-stream"
