"""From config and files to a run that is ready to train: the same for a fine-tuning and for its dry run."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from app.finetune.architectures import EMBEDDING_SIZE, EdgeFaceVariant
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import DatasetScan, JobWarning, scan_dataset, subject_of
from app.finetune.events import Prepared, Report, Stage
from app.finetune.recipes import views_warning
from worker.training.checkpoints.best_model import Provenance
from worker.training.checkpoints.weight_interpolation import weights_of
from worker.training.data.loader import FaceSource
from worker.training.data.multi_scale import MultiScaleViews
from worker.training.data.preprocess import RESAMPLER, Enlarge, enlarge_bicubic, enlarge_by_dsr
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

    `by_dsr` enlarges by the DSR network; None, as `dsr`, for bicubic interpolation.
    """

    device: torch.device
    precision: Precision
    parallel: CpuParallel
    backbone: EdgeFace
    variant: EdgeFaceVariant
    dsr: DSR | None
    by_dsr: Enlarge | None
    scan: DatasetScan

    @property
    def enlargement(self) -> str:
        """In words."""
        return self.dsr.describe() if self.dsr else "bicubic"

    def labels(self) -> Tensor:
        """The class ids [N] of the train set's VLR images."""
        scan = self.scan
        return torch.tensor([scan.subject_to_id[subject_of(path.name)] for path in scan.train.vlr_images])

    def warnings(self, config: FinetuneConfig) -> list[JobWarning]:
        """Of the file names."""
        many_views = views_warning(
            synthetic_identities=config.synthetic_identities,
            stage2_epochs=config.stage2_epochs,
            train_images=len(self.scan.train.vlr_images),
        )
        return [*self.scan.warnings, *([] if many_views is None else [many_views])]

    def prepared(self, config: FinetuneConfig, seconds: float) -> Prepared:
        """The event after the preparation, which took `seconds`."""
        scan = self.scan
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
    device = choose_device(config.device, control.slot)
    precision = choose_precision(config.mixed_precision, device)
    with timer.phase("load"):
        backbone, variant = load_edgeface(files.edgeface, device)
    dsr = load_dsr(files.dsr) if files.dsr else None
    return Loaded(
        device=device,
        precision=precision,
        parallel=parallel_for(device, config.batch_size),
        backbone=backbone,
        variant=variant,
        dsr=dsr,
        by_dsr=enlarge_by_dsr(dsr, files.dsr, device) if dsr and files.dsr else None,
        scan=scan_dataset(files.train_dir, files.val_dir),
    )


def build_run(
    config: FinetuneConfig,
    loaded: Loaded,
    faces: RunFaces,
    before: Measurement,
    report: Report,
    progress: Progress,
    control: Control,
) -> tuple[RunContext, TrainState]:
    """A run before its first step; its state is drawn from `config.seed`. `before` is the recognition of the initial
    weights. Raises OutOfMemory and StopRequested."""
    generator, backbone, device = torch.Generator().manual_seed(config.seed), loaded.backbone, loaded.device
    classes = len(loaded.scan.subject_to_id)
    classifier = CosineClassifier(EMBEDDING_SIZE, classes, config.arcface_scale, generator).to(device)
    train_u8_NCHW = to_device_if_it_fits(faces.train_u8_NCHW, device)
    vlr = VlrFaces(train_u8_NCHW, faces.labels_N.to(train_u8_NCHW.device), device, config.batch_size)
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
        parallel=loaded.parallel,
        initial_weights=weights_of(backbone) if config.interpolation < 1 else None,
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
    enlarge = loaded.by_dsr or enlarge_bicubic
    views = MultiScaleViews(vlr, to_device_if_it_fits(synthetic_u8_QCHW, device), enlarge, config)
    return views, Distillation(teacher_PD, config.contrastive_temperature)
