"""Leaks are stopped before the training: photos in both train and val, people under two names."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from pathlib import Path

import torch
from torch import Tensor, nn

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import DatasetScan, JobWarning, Split, image_name, subject_of
from app.finetune.errors import PersonUnderTwoNames
from app.finetune.leaks import AllowedLeaks, find_copies, images_of, read_prints, refuse_copies
from worker.training.checks.same_identity import LEAST_D_PRIME, find_same_people, gather_people
from worker.training.data.preprocess import enlarge_bicubic, enlarge_images
from worker.training.metrics import FaceSet
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.runtime.profiling import profiled
from worker.training.storage.digests import refuse_unreadable
from worker.training.validation.validate import ValEmbeddings

# Shape suffixes: N faces of train, M of val, C = 3 channels (RGB), H = W = 112 pixels, D = 512; _u8 is uint8.

_FACES_OF_ONE = 16
"""So many of train's images a subject show who it is."""

_AT_ONCE = 256


@profiled("leaks")
def refuse_copied_photos(train: Split, val: Split, threads: int, allowed: AllowedLeaks, control: Control) -> None:
    """Raises PhotoCopied and StopRequested. Images that cannot be read are left to the preparation."""
    parts = {"train": train, "val": val}
    prints, _ = read_prints(images_of(parts), threads=threads, on_images=control.refuse_if_stopped)
    copies = find_copies(parts, prints, threads=threads, on_images=control.refuse_if_stopped)
    refuse_copies(copies, allowed)


@profiled("leaks")
def refuse_people_under_two_names(
    scan: DatasetScan,
    train_u8_NCHW: Tensor,
    val: ValEmbeddings,
    backbone: nn.Module,
    config: FinetuneConfig,
    device: torch.device,
    allowed: AllowedLeaks,
    control: Control,
    parallel: CpuParallel,
) -> list[JobWarning]:
    """By the HR images where train has one for each VLR image, else by the VLR faces as they were prepared.

    A warning where the backbone cannot tell, and of allowed leaks that are none. Raises PersonUnderTwoNames,
    UnreadableImages, OutOfMemory, StopRequested.
    """

    def embedded(faces_u8_BCHW: Tensor) -> Tensor:
        control.refuse_if_stopped()
        return embed(backbone, faces_u8_BCHW, device, parallel=parallel).cpu()

    known = {image_name(path) for path in scan.train.hr_images}
    if all(image_name(path) in known for path in scan.train.vlr_images):
        chosen = [scan.train.hr_images[place] for place in some_of_each(scan.train.hr_images)]
        refuse_unreadable(chosen, config.num_workers, control)
        chunks = enlarge_images(chosen, enlarge_bicubic, threads=config.num_workers)
        e_ND = torch.cat([embedded(faces.pixels_u8) for faces in chunks])
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
    """A warning where these embeddings cannot tell, and of allowed leaks that are none. Pairs without a subject
    `with_one_of` are let pass. Raises PersonUnderTwoNames and StopRequested."""
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
    """Who looks like one person under two names and is not allowed, in words; and a warning where that cannot be told
    by these embeddings. Pairs without a subject `with_one_of` are let pass. `on_people` is called now and then and may
    raise."""
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
    """Places of the first 16 images of each subject."""
    seen: Counter[str] = Counter()
    chosen = []
    for place, path in enumerate(paths):
        seen[subject_of(path.name)] += 1
        if seen[subject_of(path.name)] <= _FACES_OF_ONE:
            chosen.append(place)
    return chosen
