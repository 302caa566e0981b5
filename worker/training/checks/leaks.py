"""Refuse leaks before the training: photos in both train and val, people under two names."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

import torch
from torch import Tensor, nn

from app.finetune.dataset import DatasetScan, JobWarning, Split, image_name, subject_of
from app.finetune.errors import PersonUnderTwoNames
from app.finetune.leaks import AllowedLeaks, find_copies, refuse_copies
from app.finetune.same_photo import Look, Print
from worker.training.checks.same_identity import LEAST_D_PRIME, find_same_people, gather_people
from worker.training.data.preprocess import CHUNK
from worker.training.metrics import FaceSet
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.runtime.profiling import profiled
from worker.training.validation.validate import ValEmbeddings

# Shape suffixes: N faces of train, M of val, C = 3 channels (RGB), H = W = 112 pixels, D = 512; _u8 is uint8.

_FACES_OF_ONE = 16
"""Images of a train subject that are embedded to recognise it."""

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


def people_hr_images(scan: DatasetScan) -> list[Path]:
    """The HR images by which `refuse_people_under_two_names` recognises the people of train: up to 16 of each subject;
    none where train lacks an HR image of a VLR image."""
    known = {image_name(path) for path in scan.train.hr_images}
    if any(image_name(path) not in known for path in scan.train.vlr_images):
        return []
    return [scan.train.hr_images[place] for place in some_of_each(scan.train.hr_images)]


@profiled("leaks")
def refuse_people_under_two_names(
    scan: DatasetScan,
    train_u8_NCHW: Tensor,
    hr_faces: Callable[[Sequence[Path]], Tensor],
    val: ValEmbeddings,
    backbone: nn.Module,
    device: torch.device,
    allowed: AllowedLeaks,
    control: Control,
    parallel: CpuParallel,
) -> list[JobWarning]:
    """By the HR images of `people_hr_images`, whose faces `hr_faces` returns, else by train's VLR faces.

    Returns a warning where the backbone cannot tell people apart, and one for entries of `allowed_leaks` without a
    leak. Raises PersonUnderTwoNames, OutOfMemory and StopRequested.
    """

    def embedded(faces_u8_BCHW: Tensor) -> Tensor:
        control.refuse_if_stopped()
        return embed(backbone, faces_u8_BCHW, device, parallel=parallel).cpu()

    if chosen := people_hr_images(scan):
        chunks = (chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK))
        e_ND = torch.cat([embedded(hr_faces(some)) for some in chunks])
        e_MD, val_paths = val.gallery_GD, val.val.gallery_paths
    else:
        places = some_of_each(scan.train.vlr_images)
        chosen = [scan.train.vlr_images[place] for place in places]
        e_ND = torch.cat([embedded(train_u8_NCHW[some]) for some in torch.split(torch.tensor(places), _AT_ONCE)])
        e_MD, val_paths = val.probes_PD, val.val.probe_paths
    return refuse_same_people(face_set(torch.cat([e_ND, e_MD.cpu()]), [*chosen, *val_paths]), allowed, control)


def refuse_same_people(
    faces: FaceSet, allowed: AllowedLeaks, control: Control, *, with_one_of: Set[str] | None = None
) -> list[JobWarning]:
    """As `judge_people`, and a warning for entries of `allowed_leaks` without a leak. Raises PersonUnderTwoNames and
    StopRequested."""
    refused, warnings = judge_people(faces, allowed, control.refuse_if_stopped, with_one_of=with_one_of)
    if refused:
        raise PersonUnderTwoNames(refused)
    return [*warnings, *allowed.unused_warnings(people_compared=not warnings)]


def judge_people(
    faces: FaceSet,
    allowed: AllowedLeaks,
    on_people: Callable[[], None] = lambda: None,
    *,
    with_one_of: Set[str] | None = None,
) -> tuple[list[str], list[JobWarning]]:
    """Describe each pair of subjects that look like one person and are not allowed; return a warning instead where
    these embeddings do not tell people apart.

    Only pairs with a subject in `with_one_of` count, where it is given. `on_people` is called now and then and may
    raise.
    """
    people = gather_people(faces)
    if people is None or people.d_prime < LEAST_D_PRIME:
        return [], [
            JobWarning(
                code="names_not_compared",
                message="whether a person is there under two names was not looked for: the backbone does not tell "
                "these people apart before the training",
            )
        ]
    # In reverse, so that of a subject's files the first stays.
    file_of = dict(zip(reversed(faces.subjects), reversed(faces.names), strict=True))
    refused = []
    for pair in find_same_people(people, on_people):
        concerns = with_one_of is None or not with_one_of.isdisjoint({pair.first, pair.second})
        if concerns and not allowed.people(pair.first, pair.second):
            first, second = file_of[pair.first], file_of[pair.second]
            refused.append(
                f"{pair.first} and {pair.second} (such as {first} and {second}; mean similarity {pair.similarity:.2f})"
            )
    return refused, []


def some_of_each(paths: Sequence[Path]) -> list[int]:
    """Indices of the first 16 images of each subject."""
    seen: Counter[str] = Counter()
    chosen = []
    for place, path in enumerate(paths):
        seen[subject_of(path.name)] += 1
        if seen[subject_of(path.name)] <= _FACES_OF_ONE:
            chosen.append(place)
    return chosen
