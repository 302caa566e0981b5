"""Whether the subjects' names are right, by the HR images."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.checked_copy import CheckedCopy, copy_of
from app.finetune.dataset import ImageFile
from app.finetune.dataset_findings import JudgedLabels, KeptSheet, PartWarning
from app.finetune.subject_patterns import SubjectPattern
from app.finetune.weights_errors import WeightsError
from worker.dataset_check.files import DatasetCheckFiles
from worker.training.checks.label_sheet import write_label_sheets
from worker.training.checks.labels import judge_labels
from worker.training.data.preprocess import Faces
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.control import Control
from worker.training.storage.digests import sha256_of_weights

_AT_ONCE = 256

# Shape suffixes: N faces, B faces at once, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is uint8.

HrFaces = Sequence[tuple[Sequence[ImageFile], Faces]]
"""HR images with their faces."""


def judge(
    files: DatasetCheckFiles,
    hr: HrFaces,
    digest: str,
    pattern: SubjectPattern,
    device: torch.device,
    control: Control,
    on_faces: Callable[[int], None],
) -> tuple[dict[str, JudgedLabels], list[PartWarning]]:
    """Return the judgements of the images with this digest, whose subjects the pattern finds, by the sha256 of the
    weights: those that are known, and one by `files.edgeface`. Return also the warning about weights that cannot judge.
    `on_faces` is called with the number of faces that were embedded.

    Raises OutOfMemory, OSError and StopRequested.
    """
    is_known = files.known is not None and (files.known_manifest, files.known_pattern) == (digest, pattern.text)
    known = files.known.labels if files.known is not None and is_known else {}
    if files.edgeface is None or not hr:
        return known, []
    try:
        sha256 = sha256_of_weights(files.edgeface, files.copies, control)
        if sha256 in known:
            return known, []
        e_ND = _embed_all(copy_of(files.copies, files.edgeface), hr, device, control, on_faces)
    except WeightsError as error:
        return known, [_not_judged(error.message)]
    except OSError as error:
        return known, [_not_judged(f"{files.edgeface} cannot be read: {error.strerror}")]
    if not e_ND.isfinite().all():
        return known, [_not_judged(f"{files.edgeface.name} makes embeddings that are not finite")]
    images = [image for some, _ in hr for image in some]
    judgement = judge_labels(face_set(e_ND, images), control.refuse_if_stopped)
    control.before_write()
    folder = files.keep_dir / digest / f"{sha256[:16]}-{hashlib.sha256(pattern.text.encode()).hexdigest()[:16]}"
    kept = [_kept(path, files.keep_dir.parent) for path in write_label_sheets(judgement, images, folder)]
    return {**known, sha256: JudgedLabels(edgeface=files.edgeface.name, judgement=judgement, sheets=kept)}, []


def _embed_all(
    edgeface: Path | CheckedCopy, hr: HrFaces, device: torch.device, control: Control, on_faces: Callable[[int], None]
) -> Tensor:
    """Return the embeddings [N, 512] of all faces, on the CPU. Raises WeightsError."""
    backbone, _ = load_edgeface(edgeface, device)
    embedded = []
    for _, faces in hr:
        for some_u8_BCHW in torch.split(faces.pixels_u8, _AT_ONCE):
            control.refuse_if_stopped()
            embedded.append(embed(backbone, some_u8_BCHW, device, on_faces).cpu())
    return torch.cat(embedded)


def _not_judged(reason: str) -> PartWarning:
    return PartWarning(
        code="labels_not_judged",
        message=f"nothing judged whether the subjects' names are right: {reason}; name other weights in `edgeface` of "
        "POST /datasets",
    )


def _kept(path: Path, artifacts_dir: Path) -> KeptSheet:
    content = path.read_bytes()
    key = path.relative_to(artifacts_dir).as_posix()
    return KeptSheet(key=key, size=len(content), sha256=hashlib.sha256(content).hexdigest())
