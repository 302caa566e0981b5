"""Refuse leaks before the training: photos in both train and val, people under two names."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.finetune.counted import counted
from app.finetune.dataset import DatasetScan, ImageFile, JobWarning, Split
from app.finetune.errors import PersonUnderTwoNames, name_some
from app.finetune.image_file import paths_of
from app.finetune.leaks import AllowedLeaks, find_copies, refuse_copies
from app.finetune.same_photo import Look, Print
from worker.training.checks.labels import judge_labels
from worker.training.checks.same_identity import LEAST_D_PRIME, find_same_people, gather_people
from worker.training.data.preprocess import CHUNK, Faces
from worker.training.metrics import FaceSet
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.runtime.profiling import profiled
from worker.training.validation.validate import ValEmbeddings

# Shape suffixes: N faces of train, M of val, C = 3 channels (RGB), H = W = 112 pixels, D = 512; _u8 is uint8.

_FACES_OF_ONE = 16
"""Images of a train subject that are embedded to recognise it."""

HR_IMAGES = "HR images"

_AT_ONCE = 256


@profiled("leaks")
def refuse_copied_photos(
    train: Split,
    val: Split,
    prints: Mapping[Path, Print],
    look: Callable[[Path], Look],
    threads: int,
    allowed: AllowedLeaks,
    control: Control,
) -> None:
    """`prints` and `look` are as in `find_copies`. Raises PhotoCopied, UnreadableImages and StopRequested."""
    parts = {"train": train, "val": val}
    copies = find_copies(parts, prints, threads=threads, look=look, on_images=control.refuse_if_stopped)
    refuse_copies(copies, allowed)


def people_hr_images(scan: DatasetScan) -> list[ImageFile]:
    """The HR images by which `check_people` recognises the people of train: up to 16 of each subject;
    none where train lacks an HR image of a VLR image."""
    known = {image.photo for image in scan.train.hr_images}
    if any(image.photo not in known for image in scan.train.vlr_images):
        return []
    return [scan.train.hr_images[place] for place in some_of_each(scan.train.hr_images)]


@dataclass(frozen=True)
class JudgedPeople:
    """Pairs of subjects that look like one person and are not allowed: those that end a training, and the warnings.
    `compared` is False where these embeddings do not tell people apart."""

    refused: list[str]
    warnings: list[JobWarning]
    compared: bool = True


def check_people(
    scan: DatasetScan,
    train: Faces,
    hr_faces: Callable[[Sequence[Path]], Tensor],
    val: ValEmbeddings,
    backbone: nn.Module,
    device: torch.device,
    allowed: AllowedLeaks,
    control: Control,
    parallel: CpuParallel,
) -> Iterator[JobWarning]:
    """Compare people by the HR images of `people_hr_images`, whose faces `hr_faces` returns, else by train's VLR faces.

    Yields what the HR images say about their labels first, then warnings where people may be the same, where VLR faces
    were compared, where the backbone cannot tell people apart, and one for entries of `allowed_leaks` without a leak.
    Raises PersonUnderTwoNames, OutOfMemory and StopRequested.
    """
    faces, by = _embed_people(scan, train, hr_faces, val, backbone, device, control, parallel)
    yield from label_warnings(faces if by == HR_IMAGES else val.gallery, control)
    yield from _by_vlr_warning(faces, by)
    yield from refuse_same_people(faces, allowed, control, by=by)


@profiled("leaks")
def label_warnings(hr_faces: FaceSet, control: Control) -> list[JobWarning]:
    """Return what the embeddings of HR images say about their labels. Raises StopRequested."""
    return judge_labels(hr_faces, control.refuse_if_stopped).warnings()


@profiled("leaks")
def _embed_people(
    scan: DatasetScan,
    train: Faces,
    hr_faces: Callable[[Sequence[Path]], Tensor],
    val: ValEmbeddings,
    backbone: nn.Module,
    device: torch.device,
    control: Control,
    parallel: CpuParallel,
) -> tuple[FaceSet, str]:
    """Return the embeddings and what the faces are, in words."""

    def embedded(faces_u8_BCHW: Tensor) -> Tensor:
        control.refuse_if_stopped()
        return embed(backbone, faces_u8_BCHW, device, parallel=parallel).cpu()

    if chosen := people_hr_images(scan):
        chunks = (chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK))
        e_ND = torch.cat([embedded(hr_faces(paths_of(some))) for some in chunks])
        e_MD, val_images = val.gallery_GD, val.val.gallery_images
        by = HR_IMAGES
    else:
        places = some_of_each(scan.train.vlr_images)
        chosen = [scan.train.vlr_images[place] for place in places]
        e_ND = torch.cat([embedded(train.pixels_u8[some]) for some in torch.split(torch.tensor(places), _AT_ONCE)])
        e_MD, val_images = val.probes_PD, val.val.probe_images
        by = f"VLR images of {_sizes(train)} px"
    return face_set(torch.cat([e_ND, e_MD.cpu()]), [*chosen, *val_images]), by


def refuse_same_people(
    faces: FaceSet,
    allowed: AllowedLeaks,
    control: Control,
    *,
    with_one_of: Set[str] | None = None,
    by: str = HR_IMAGES,
) -> list[JobWarning]:
    """As `judge_people`, and a warning for entries of `allowed_leaks` without a leak. Raises PersonUnderTwoNames and
    StopRequested."""
    judged = judge_people(faces, allowed, control.refuse_if_stopped, with_one_of=with_one_of, by=by)
    if judged.refused:
        raise PersonUnderTwoNames(judged.refused, _compared(faces, by))
    return [*judged.warnings, *allowed.unused_warnings(people_compared=judged.compared)]


def judge_people(
    faces: FaceSet,
    allowed: AllowedLeaks,
    on_people: Callable[[], None] = lambda: None,
    *,
    with_one_of: Set[str] | None = None,
    by: str = HR_IMAGES,
) -> JudgedPeople:
    """Describe each pair of subjects that look like one person and are not allowed: those that certainly do, and in a
    warning those that may be different people.

    Only pairs with a subject in `with_one_of` count, where it is given. `by` says what the faces are. `on_people` is
    called now and then and may raise.
    """
    people = gather_people(faces)
    if people is None or people.d_prime < LEAST_D_PRIME:
        message = (
            "whether a person is there under two names was not looked for: the backbone does not tell these people "
            f"apart before the training ({_compared(faces, by)})"
        )
        return JudgedPeople([], [JobWarning(code="names_not_compared", message=message)], compared=False)
    # In reverse, so that of a subject's files the first stays.
    file_of = dict(zip(reversed(faces.subjects), reversed(faces.names), strict=True))
    described: dict[bool, list[str]] = {True: [], False: []}
    for pair in find_same_people(people, on_people):
        concerns = with_one_of is None or not with_one_of.isdisjoint({pair.first, pair.second})
        if concerns and not allowed.people(pair.first, pair.second):
            first, second = file_of[pair.first], file_of[pair.second]
            described[pair.certain].append(
                f"{pair.first} and {pair.second} (such as {first} and {second}; mean similarity {pair.similarity:.2f})"
            )
    warnings = []
    if uncertain := described[False]:
        message = (
            f"{counted(len(uncertain), 'pair')} of subjects may be one person with two names: "
            f"{name_some(uncertain)}. Look at "
            f"their images: different people can be as similar in these faces ({_compared(faces, by)})"
        )
        warnings.append(JobWarning(code="people_may_be_same", message=message))
    return JudgedPeople(described[True], warnings)


def _by_vlr_warning(faces: FaceSet, by: str) -> list[JobWarning]:
    if by == HR_IMAGES:
        return []
    message = (
        "train does not have the HR image of each VLR image, so that people under two names were looked for by VLR "
        f"images, which show fewer of them ({_compared(faces, by)})"
    )
    return [JobWarning(code="people_compared_by_vlr", message=message)]


def _compared(faces: FaceSet, by: str) -> str:
    return f"compared: {counted(len(set(faces.subjects)), 'subject')} by {len(faces)} {by}"


def _sizes(faces: Faces) -> str:
    """Return the size of most images, and whether there are others."""
    (width, height), _ = faces.sizes.most_common(1)[0]
    return f"{width}x{height}{' and other sizes' if len(faces.sizes) > 1 else ''}"


def some_of_each(images: Sequence[ImageFile]) -> list[int]:
    """Indices of the first 16 images of each subject."""
    seen: Counter[str] = Counter()
    chosen = []
    for place, image in enumerate(images):
        seen[image.subject] += 1
        if seen[image.subject] <= _FACES_OF_ONE:
            chosen.append(place)
    return chosen
