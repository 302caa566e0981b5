"""From config and files to a run that is ready to train: the same for a fine-tuning and for its dry run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.architectures import EdgeFaceVariant
from app.finetune.checked_copy import copy_of
from app.finetune.config import FinetuneConfig
from app.finetune.content_pairs import join_by_content
from app.finetune.dataset import DatasetScan, JobWarning, comparable, scan_dataset, why_not_comparable
from app.finetune.dataset_errors import NothingToSelectBy
from app.finetune.dataset_warnings import scan_warnings
from app.finetune.edgeface_shapes import EMBEDDING_SIZE
from app.finetune.events import Prepared, Report, Stage
from app.finetune.recipes import views_warning
from app.finetune.repeated_photos import repeats_warnings
from app.finetune.same_photo import Print
from worker.training.checkpoints.best_model import Provenance
from worker.training.checkpoints.weight_interpolation import weights_of
from worker.training.data.fp16_enlargement import Fp16Enlargement, fp16_enlargement
from worker.training.data.loader import FaceSource
from worker.training.data.multi_scale import MultiScaleViews
from worker.training.data.preprocess import RESAMPLER, EnlargeByDsr, enlarge_bicubic
from worker.training.data.val_faces import ValFaces
from worker.training.data.vlr_faces import VlrFaces
from worker.training.loop.context import RunContext
from worker.training.loop.state import TrainState, begin
from worker.training.models.dsr import DSR, load_dsr
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.objectives.arcface import ArcFaceMargin
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.distillation import Distillation
from worker.training.objectives.margin_softmax import MarginSoftmax
from worker.training.objectives.objective import Objective
from worker.training.objectives.teacher import teacher_embeddings
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel, parallel_for
from worker.training.runtime.device import (
    Precision,
    choose_device,
    choose_precision,
    describe_device,
    device_warnings,
    to_device_if_it_fits,
)
from worker.training.runtime.phase_timer import PhaseTimer
from worker.training.runtime.progress import Progress
from worker.training.storage.paths import TrainingFiles
from worker.training.validation.measure import Measurement

# Shape suffixes: N training faces, Q faces of synthetic identities, C = 3 channels (RGB), H = W = 112 pixels; _u8 is
# uint8 in 0..255.


@dataclass(frozen=True)
class Loaded:
    """The device, the networks and the file names of a run, before any image is opened.

    `by_dsr` enlarges by the DSR network; None, as `dsr`, for bicubic interpolation. `in_fp16` enlarges the train set's
    faces; None where `by_dsr` does.
    """

    device: torch.device
    precision: Precision
    parallel: CpuParallel
    backbone: EdgeFace
    variant: EdgeFaceVariant
    dsr: DSR | None
    by_dsr: EnlargeByDsr | None
    in_fp16: Fp16Enlargement | None
    scan: DatasetScan

    @property
    def enlargement(self) -> str:
        """In words."""
        if self.dsr is None:
            return "bicubic"
        in_fp16 = self.in_fp16 is not None and self.in_fp16.precision == "fp16"
        return f"{self.dsr.describe()}{', train in fp16' if in_fp16 else ''}"

    def labels(self) -> Tensor:
        """The class ids [N] of the train set's VLR images."""
        scan = self.scan
        return torch.tensor([scan.subject_to_id[image.subject] for image in scan.train.vlr_images])

    def join_photos(self, prints: Mapping[Path, Print]) -> tuple["Loaded", list[JobWarning]]:
        """Join the images of val that show one photo under two names, and warn of those of train. Raises
        NothingToSelectBy where nothing else is left to compare."""
        val, warnings = join_by_content(self.scan.val, prints, "val")
        if self.scan.unknown_val_subjects and not comparable(val):
            raise NothingToSelectBy(val.directory, *why_not_comparable(val))
        return replace(self, scan=replace(self.scan, val=val)), [
            *repeats_warnings(self.scan.train, prints, "train"),
            *warnings,
        ]

    def warnings(self, config: FinetuneConfig) -> list[JobWarning]:
        """Of the device and the file names."""
        many_views = views_warning(
            synthetic_identities=config.synthetic_identities,
            stage2_epochs=config.stage2_epochs,
            train_images=len(self.scan.train.vlr_images),
        )
        of_views = [] if many_views is None else [many_views]
        return [*device_warnings(config.device), *scan_warnings(self.scan), *of_views]

    def prepared(self, config: FinetuneConfig, seconds: float) -> Prepared:
        """The event after the preparation, which took `seconds`."""
        scan = self.scan
        val_subjects = {image.subject for image in scan.val.images}
        return Prepared(
            train_images=len(scan.train.vlr_images),
            val_images=len(scan.val.vlr_images),
            subjects=len(scan.subject_to_id),
            selection="last_epoch" if config.keep == "last" else scan.selection,
            variant=self.variant.name,
            enlargement=self.enlargement,
            resampler=RESAMPLER,
            device=describe_device(self.device),
            precision=self.precision.name,
            seconds=seconds,
            val_subjects=len(val_subjects),
            val_subjects_in_train=len(val_subjects & scan.subject_to_id.keys()),
        )

    def provenance(self, config: FinetuneConfig) -> Provenance:
        """What the checkpoints say about their origin."""
        return Provenance(config, self.scan.subject_to_id, self.variant.name, self.enlargement, RESAMPLER)


@dataclass(frozen=True)
class TeacherFaces:
    """For distillation, uint8 [., 3, 112, 112]: the train set's HR faces in the order of its VLR faces, and the faces
    of the synthetic identities, 8 each."""

    hr_u8_NCHW: Tensor
    synthetic_u8_QCHW: Tensor


@dataclass(frozen=True)
class RunFaces:
    """The faces of a run. `teacher` is None where stage 2 trains as stage 1 does."""

    train_u8_NCHW: Tensor
    labels_N: Tensor
    val: ValFaces
    teacher: TeacherFaces | None = None


def load(config: FinetuneConfig, files: TrainingFiles, control: Control, timer: PhaseTimer) -> Loaded:
    """Raises EdgefaceError: DeviceUnavailable and those about weights and file names. Times the phase `load`."""
    device = choose_device(config.device, control.gpu)
    precision = choose_precision(config.mixed_precision, device)
    with timer.phase("load"):
        backbone, variant = load_edgeface(copy_of(files.copies, files.edgeface), device)
    dsr = by_dsr = in_fp16 = None
    if files.dsr:
        dsr = load_dsr(copy_of(files.copies, files.dsr))
        by_dsr = EnlargeByDsr(dsr, files.dsr, device)
        in_fp16 = fp16_enlargement(dsr, files.dsr, device, by_dsr, config.mixed_precision)
    return Loaded(
        device=device,
        precision=precision,
        parallel=parallel_for(device, config.batch_size),
        backbone=backbone,
        variant=variant,
        dsr=dsr,
        by_dsr=by_dsr,
        in_fp16=in_fp16,
        scan=scan_dataset(files.train_dir, files.val_dir, files.train_reading.pattern, files.val_reading.pattern),
    )


def build_run(
    config: FinetuneConfig,
    loaded: Loaded,
    faces: RunFaces,
    before: Measurement,
    report: Report,
    progress: Progress,
    control: Control,
    compiled_dir: Path | None = None,
) -> tuple[RunContext, TrainState]:
    """A run before its first step; its state is drawn from `config.seed`. `before` is the recognition of the initial
    weights, `compiled_dir` as in TrainingFiles. Raises OutOfMemory and StopRequested."""
    generator, backbone, device = torch.Generator().manual_seed(config.seed), loaded.backbone, loaded.device
    classes = len(loaded.scan.subject_to_id)
    classifier = CosineClassifier(EMBEDDING_SIZE, classes, config.arcface_scale, generator).to(device)
    train_u8_NCHW = to_device_if_it_fits(faces.train_u8_NCHW, device)
    vlr = VlrFaces(train_u8_NCHW, faces.labels_N.to(device), device, config.batch_size)
    arcface = MarginSoftmax(classifier, ArcFaceMargin(config.arcface_margin), config.label_smoothing)
    sources: Mapping[Stage, FaceSource] = {1: vlr, 2: vlr}
    objectives: Mapping[Stage, Objective] = {1: arcface, 2: arcface}
    if faces.teacher is not None:
        views, distillation = _distil(config, loaded, vlr, faces.teacher, progress, control)
        sources, objectives = {1: vlr, 2: views}, {1: arcface, 2: distillation}
        if (
            not config.stage1_epochs
        ):  # The prototypes of the train set's classes are the classifier, in the same memory.
            classifier.weight.data = distillation.prototypes.data[views.synthetic_identities :]
    context = RunContext(
        config=config,
        device=device,
        precision=loaded.precision,
        sources=sources,
        val=faces.val,
        selection=loaded.scan.selection,
        report=report,
        progress=progress,
        control=control,
        subjects=classes,
        parallel=loaded.parallel,
        initial_weights=weights_of(backbone) if config.interpolation < 1 else None,
        compiled_dir=compiled_dir,
    )
    return context, begin(context, backbone, objectives, classifier, generator, before)


def _distil(
    config: FinetuneConfig,
    loaded: Loaded,
    vlr: VlrFaces,
    faces: TeacherFaces,
    progress: Progress,
    control: Control,
) -> tuple[MultiScaleViews, Distillation]:
    """The views of stage 2, and the objective whose teacher is the backbone with its initial weights."""
    device, synthetic_u8_QCHW = loaded.device, faces.synthetic_u8_QCHW
    teacher_PD = teacher_embeddings(
        loaded.backbone, faces.hr_u8_NCHW, synthetic_u8_QCHW, vlr.labels_N, device, loaded.parallel, progress, control
    )
    synthetic_u8_QCHW = to_device_if_it_fits(synthetic_u8_QCHW, device)
    if (by_dsr := loaded.by_dsr) is None:
        views = MultiScaleViews(vlr, synthetic_u8_QCHW, enlarge_bicubic, config)
    else:
        views = MultiScaleViews(vlr, synthetic_u8_QCHW, by_dsr, config, by_dsr.refuse_not_finite)
    return views, Distillation(teacher_PD, config.contrastive_temperature)
