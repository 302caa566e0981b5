"""The evaluation on one page: check -> embed -> compare -> judge."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from app.finetune.checked_copy import copy_of
from app.finetune.content_pairs import join_by_content
from app.finetune.dataset import check_comparable, scan_split
from app.finetune.evaluation import Backbone, Change, Evaluation, Images
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.image_file import paths_of
from app.finetune.part_reading import refuse_changed
from app.finetune.pixel_problems import pixel_warnings
from worker.training.data.preprocess import RESAMPLER, EnlargeByDsr
from worker.training.evaluation.changes import change, recommended_threshold, with_interval
from worker.training.evaluation.comparison import Compared, Row, compare
from worker.training.evaluation.origin import origin_of
from worker.training.evaluation.paired import paired_draws
from worker.training.evaluation.people import people_of
from worker.training.evaluation.shown_faces import ShownFaces, show_faces
from worker.training.evaluation.systems import KnownFaces, embed_systems, systems_of
from worker.training.evaluation.warnings import evaluation_warnings
from worker.training.metrics.bootstrap import DRAWS
from worker.training.models.dsr import load_dsr
from worker.training.models.edgeface import load_edgeface
from worker.training.models.layout import layout_warnings
from worker.training.runtime.control import Control
from worker.training.runtime.device import choose_device, describe_device
from worker.training.storage.digests import hash_images, refuse_unreadable
from worker.training.storage.paths import EvaluationFiles

_SHARES = {"read": 0.05, "embed": 0.65, "compare": 0.3}
"""Of the progress, roughly the shares of the time."""


@dataclass(frozen=True)
class Evaluated:
    """The results and the faces for the report."""

    evaluation: Evaluation
    faces: ShownFaces


def evaluate_backbone(
    config: EvaluationConfig,
    files: EvaluationFiles,
    control: Control | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
    known: KnownFaces = MappingProxyType({}),
) -> Evaluated:
    """Compare VLR probes with the HR gallery and with each other by every protocol, and the baselines: HR probes (the
    ceiling) and VLR probes without the DSR.

    `files` holds the paths of the names in `config`. `on_progress` is called with the share done in [0, 1]. `known`
    holds embeddings to reuse, except of images fed directly. A CPU run repeats exactly. Raises EdgefaceError, such as
    NothingToCompare, and StopRequested.
    """
    started, control = time.monotonic(), control or Control()
    device = choose_device(config.device, control.gpu)
    network, variant = load_edgeface(copy_of(files.copies, files.edgeface), device)
    backbones: dict[Backbone, nn.Module] = {"given": network}
    if files.before is not None:
        backbones = {"before": load_edgeface(copy_of(files.copies, files.before), device)[0], "after": network}
    dsr = load_dsr(copy_of(files.copies, files.dsr)) if files.dsr else None
    split = scan_split(files.eval_dir, files.eval_reading.pattern)
    check_comparable(split)
    if files.eval_reading.manifest is not None:
        refuse_changed(files.eval_reading, split, hash_images(paths_of(split.images), config.num_workers, control))
    images = paths_of(split.images)
    facts = refuse_unreadable(
        images, config.num_workers, control, lambda done: on_progress(_SHARES["read"] * done / len(images))
    )

    problems = {path: its.problem for path, its in facts.items() if its.problem is not None}
    split, same_photos = join_by_content(split, {path: its.print for path, its in facts.items()}, "evaluation")
    check_comparable(split)

    systems = systems_of(split, config, EnlargeByDsr(dsr, files.dsr, device) if dsr and files.dsr else None)
    read, compare_share = _SHARES["read"], _SHARES["compare"]
    embedded = embed_systems(
        systems,
        backbones,
        config,
        device,
        control,
        lambda share: on_progress(read + _SHARES["embed"] * share),
        known,
    )

    compared: dict[Row, Compared] = {}
    rows = [row for backbone in backbones for row in _rows(backbone, [kind for kind in systems if kind != "hr"])]
    for number, row in enumerate(rows, start=1):
        control.refuse_if_stopped()
        probes, gallery = embedded.faces[row.backbone, row.probes], embedded.faces[row.backbone, row.gallery]
        compared[row] = compare(row, probes, gallery, config.threshold)
        on_progress(1 - compare_share * (1 - number / len(rows)))

    used: Images = "dsr" if dsr else "bicubic"
    in_use = compared[Row(list(backbones)[-1], used, "hr")]
    people = people_of(split, embedded.vlr_sizes)
    changes = _changes(compared, used, list(backbones))
    threshold = recommended_threshold(in_use.comparison)
    evaluation = Evaluation(
        verdict=_verdict(changes, in_use, threshold),
        changes=changes,
        recommended_threshold=threshold,
        comparisons=[each.comparison for each in compared.values()],
        people=people,
        variant=variant.name,
        in_use=used,
        enlargement=dsr.describe() if dsr else "bicubic",
        resampler=RESAMPLER,
        threshold=config.threshold,
        tta=config.tta,
        vlr_size=config.vlr_size,
        draws=DRAWS,
        paired=paired_draws(in_use, *(embedded.faces[in_use.row.backbone, kind] for kind in (used, "hr"))),
        device=describe_device(device),
        seconds=time.monotonic() - started,
        origin=origin_of(config, files, control),
        warnings=[
            *pixel_warnings("evaluation", problems, len(images)),
            *same_photos,
            *layout_warnings(network, device),
            *evaluation_warnings(split, embedded.vlr_sizes, config.vlr_size, in_use.comparison),
        ],
    )
    return Evaluated(evaluation, show_faces(in_use.searches, systems, used))


def _rows(backbone: Backbone, enlargements: list[Images]) -> list[Row]:
    against_hr = [Row(backbone, images, "hr") for images in ("hr", *enlargements)]
    return against_hr + [Row(backbone, images, images) for images in enlargements]


def _changes(compared: Mapping[Row, Compared], used: Images, backbones: list[Backbone]) -> list[Change]:
    """Return the effect of the fine-tuning, with the enlargement in use, and of the DSR, against the better baseline
    without it. The DSR uses the first backbone, which was tuned to neither input."""
    first, last = backbones[0], backbones[-1]
    changes = []
    if first != last:
        without, with_ = (compared[Row(backbone, used, "hr")] for backbone in (first, last))
        changes.append(change("fine-tuning", without, with_, against="the weights before it"))
    if used == "dsr":
        plain = max(
            (compared[Row(first, images, "hr")] for images in ("direct", "bicubic")),
            key=lambda each: each.comparison.verification.auc.value or 0.0,
        )
        against = "bicubic enlargement" if plain.row.probes == "bicubic" else "direct feed"
        changes.append(change("DSR", plain, compared[Row(first, used, "hr")], against=against))
    return changes


def _verdict(changes: list[Change], in_use: Compared, threshold: float | None) -> str:
    verdict = " ".join(each.sentence for each in changes)
    if not changes:
        point = in_use.comparison.tar_at(0.01)
        reached = with_interval(point.tar) if point.tar.refused is None else point.tar.refused
        verdict = f"TAR@FAR=1% of VLR probes against the HR gallery: {reached}."
    return verdict if threshold is None else f"{verdict} Use threshold {threshold:.3f}."
