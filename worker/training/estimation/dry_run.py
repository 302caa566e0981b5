"""A rehearsal: what a training would take, found out by real steps of each stage on some of its faces.

It leaves no file behind: what it writes to time the disk is removed, and faces that are not prepared yet stay so.
"""

import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.architectures import EMBEDDING_SIZE
from app.finetune.config import FACE_SIZE, FACES_OF_EACH, FinetuneConfig
from app.finetune.dataset import DatasetScan, paired_hr, scan_dataset, subject_of
from app.finetune.events import CheckpointWritten, DryRunFinished, Report, Stopped
from app.finetune.ranges import NOTHING, Estimate
from app.finetune.training_errors import LossNotFinite, OutOfMemory
from worker.training.checkpoints.best_model import Checkpoints, Provenance
from worker.training.data.face_cache import PreparedFaces, prepared_key
from worker.training.data.preprocess import RESAMPLER, Enlarge, Faces, enlarge_bicubic, enlarge_by_dsr, enlarge_images
from worker.training.data.synthetic_identities import draw_identities, synthetic_key
from worker.training.data.val_faces import ValFaces
from worker.training.estimation.cost_model import Costs, Position, Sizes, batches_of, parts_left
from worker.training.estimation.evaluation_cost import time_evaluation, unknown_embeddings
from worker.training.loop.context import RunContext
from worker.training.loop.stages import train_epoch
from worker.training.loop.state import NotFinite, TrainState, begin
from worker.training.loop.step import StepDidNotFit
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.models.dsr import load_dsr
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.models.embedding import embed
from worker.training.objectives.arcface import ArcFace
from worker.training.objectives.teacher import embed_with_teacher, teacher_targets
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import parallel_for
from worker.training.runtime.device import choose_device, choose_precision, describe_device, to_device_if_it_fits
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.progress import Progress
from worker.training.storage.digests import InputDigests, digest_inputs, refuse_unreadable
from worker.training.storage.paths import TrainingFiles
from worker.training.validation.selection import Validated
from worker.training.validation.validate import validate

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112, D = 512; _u8 is uint8 in 0..255.

_SAMPLED = 64
"""Images of a kind that are decoded and enlarged to see what that takes, the first few of them twice."""

_INVENTED = 8
"""People that are invented to see what that takes."""

_WARM = 8
_BATCHES = 4
_FACE_BYTES = 3 * FACE_SIZE**2
_STATES_AT_ONCE = 3  # two are kept while the next is written


def dry_run(
    config: FinetuneConfig, files: TrainingFiles, report: Report, control: Control | None = None
) -> DryRunFinished | Stopped:
    """Find out what `finetune` of the same would take; the last event is what this returns. Raises what that raises of
    the device, the weights and the dataset; of the images only those tried are found unreadable.
    """
    return report_outcome(partial(_dry_run, config, files, control or Control()), report)


@dataclass(frozen=True)
class _Sample:
    """Some faces of a kind, uint8 [N, 3, 112, 112]; the `seconds` that preparing all of that kind takes, of which
    `missing` are not prepared yet; and how many the training reads that are `unseen` here."""

    faces_u8_NCHW: Tensor
    seconds: float
    missing: int
    unseen: int


def _dry_run(config: FinetuneConfig, files: TrainingFiles, control: Control) -> DryRunFinished:
    device = choose_device(config.device, control.slot)
    precision = choose_precision(config.mixed_precision, device)
    load = _Watch()
    backbone, variant = load_edgeface(files.edgeface, device)
    load.stop()
    dsr = load_dsr(files.dsr) if files.dsr else None
    scan = scan_dataset(files.train_dir, files.val_dir)
    digests = _Watch()
    inputs = digest_inputs(files, scan, config.num_workers, control, with_train_hr=config.needs_train_hr)
    digests.stop()
    by_dsr = enlarge_by_dsr(dsr, files.dsr, device) if dsr and files.dsr else None
    samples = _sample(config, scan, inputs, by_dsr, files.prepared_dir, control, digests.seconds)
    train, train_hr, probes, gallery = samples
    sampled = [sample for sample in samples if sample is not None]

    generator = torch.Generator().manual_seed(config.seed)
    head = ArcFace(EMBEDDING_SIZE, len(scan.subject_to_id), config.arcface_scale, config.arcface_margin, generator)
    images = len(scan.train.vlr_images)
    practised = min(images, _BATCHES * config.batch_size)
    labels = torch.tensor([scan.subject_to_id[subject_of(path.name)] for path in scan.train.vlr_images])
    val = ValFaces(
        probes.faces_u8_NCHW, scan.val.vlr_images, gallery.faces_u8_NCHW, scan.val.hr_images, scan.subject_to_id
    )
    parallel = parallel_for(device, config.batch_size)
    faces_u8_NCHW = to_device_if_it_fits(_repeated(train, practised).pixels_u8, device)
    progress, silent = Progress(1.0, lambda _: None), replace(control, save_every_seconds=float("inf"))
    labels = labels[torch.linspace(0, images - 1, practised).long()]
    targets, inventing, practice = None, _Inventing(0.0, 0), config
    if train_hr is not None and inputs.train_hr is not None:
        hr = _repeated(train_hr, practised)
        practice = config.model_copy(update={"synthetic_identities": min(config.synthetic_identities, _INVENTED)})
        invented, inventing = _time_inventing(
            config, practice, hr, inputs.train_hr, labels, files.prepared_dir, control
        )
        embed_by_teacher = partial(
            embed_with_teacher, backbone, device=device, parallel=parallel, progress=progress, control=control
        )
        targets = teacher_targets(hr, invented, labels, by_dsr or enlarge_bicubic, embed_by_teacher)
    context = RunContext(
        config=practice,
        device=device,
        precision=precision,
        faces_u8_NCHW=faces_u8_NCHW,
        labels_N=labels.to(faces_u8_NCHW.device),
        val=val,
        selection=scan.selection,
        report=lambda _: None,
        progress=progress,
        control=silent,
        parallel=parallel,
        targets=targets,
    )

    embed_val = _time_embedding(backbone, context, control)
    metrics = unknown_embeddings(val, device)
    measure = _Watch()
    before = metrics.measure()
    measure.stop()
    state = begin(context, backbone, head.to(device), generator, before)
    validation = _Watch()
    validated = validate(metrics, state.head)
    validation.stop()
    evaluation = time_evaluation(config, scan.val, metrics, by_dsr)
    control.refuse_if_stopped()

    stage1_step = NOTHING
    state_files = TrainStateFiles(files.output_dir, inputs, control, None, context.report)
    provenance = Provenance(config, scan.subject_to_id, variant.name, dsr.describe() if dsr else "bicubic", RESAMPLER)
    try:
        # Asked to stop, the steps save a state as a training's do.
        if state.stage == 1:
            backbone.eval()
            stage1_step = _time_steps(context, state, state_files)
        state.stage, state.epoch = 2, 0
        state.start_optimizer(context)
        backbone.train()
        stage2_step = _time_steps(context, state, state_files)
        written = _write(context, state, state_files, Checkpoints(files.output_dir, provenance, control), validated)
    finally:
        _remove_written(files.output_dir)

    practised_people = 0 if state.prototypes is None else len(state.prototypes)
    people = practised_people + config.synthetic_identities - practice.synthetic_identities
    practised_sizes, sizes = (Sizes.of(backbone, state.head, count) for count in (practised_people, people))
    costs = Costs(
        stage1_step=stage1_step,
        stage2_step=stage2_step,
        load=load.seconds,
        embed_val=Estimate.about(embed_val),
        validate=Estimate.about(validation.seconds),
        measure=measure.seconds,
        evaluation=evaluation,
        write_byte=written.seconds / (written.state_bytes + written.checkpoint_bytes),
        sizes=sizes,
        batches=batches_of(images, config.batch_size, device.type),
        save_every_seconds=control.save_every_seconds,
    )
    parts = parts_left(config, Position(1 if config.stage1_epochs else 2, 0, 0), costs)
    prepared_bytes = _FACE_BYTES * (inventing.missing + sum(sample.missing for sample in sampled))
    prepare = sum(sample.seconds for sample in sampled) + prepared_bytes * costs.write_byte
    start = Estimate.exactly(load.seconds + digests.seconds + written.seconds / 2)
    asked_about = config.synthetic_identities * FACES_OF_EACH + (images if config.synthetic_identities else 0)
    asking = embed_val * asked_about / (len(val.probe_paths) + len(val.gallery_paths))
    start += Estimate.about(inventing.seconds + asking)
    measuring = costs.embed_val + Estimate.about(measure.seconds)
    seconds = start + Estimate.about(prepare) + measuring + parts.total
    by_part = {
        "start": start.likely,
        "prepare": prepare,
        "before": measuring.likely,
        "stage1": parts.stage1.likely,
        "stage2": parts.stage2.likely,
        "after": parts.after.likely,
    }
    return DryRunFinished(
        seconds=seconds,
        seconds_by_part=by_part,
        stage1_epochs=config.stage1_epochs,
        stage2_epochs=config.stage2_epochs,
        stage2_epoch_seconds=parts.stage2_epoch,
        device=describe_device(device),
        images_enlarged=sum(len(sample.faces_u8_NCHW) for sample in sampled if sample.missing),
        process_bytes=_peak_of_process() + _FACE_BYTES * (inventing.missing + sum(sample.unseen for sample in sampled)),
        device_bytes=_peak_of_device(device, images, practised),
        prepared_bytes=prepared_bytes,
        state_bytes=_STATES_AT_ONCE * (written.state_bytes + sizes.stage2_state - practised_sizes.stage2_state),
        checkpoint_bytes=written.checkpoint_bytes,
    )


class _Watch:
    """Seconds from its making to `stop`."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.seconds = 0.0

    def stop(self) -> None:
        self.seconds = time.monotonic() - self._started


def _sample(
    config: FinetuneConfig,
    scan: DatasetScan,
    inputs: InputDigests,
    by_dsr: Enlarge | None,
    prepared_dir: Path,
    control: Control,
    digest_seconds: float,
) -> tuple[_Sample, _Sample | None, _Sample, _Sample]:
    """Train's faces and, where they are needed, their HR images; val's probes and val's gallery."""
    store = PreparedFaces(prepared_dir, control)
    train_hr = () if inputs.train_hr is None else paired_hr(scan.train)
    total = sum(map(len, (scan.train.vlr_images, train_hr, scan.val.vlr_images, scan.val.hr_images)))
    enlarge = by_dsr or enlarge_bicubic

    def sample(paths: Sequence[Path], key: str, enlarge: Enlarge, vlr_size: int | None) -> _Sample:
        found = _Watch()
        kept = store.find(key, len(paths))
        found.stop()
        if kept is not None:
            some = kept.pixels_u8[_spread(len(paths), _SAMPLED)]
            return _Sample(some, found.seconds, 0, len(paths) - len(some))
        chosen = [paths[index] for index in _spread(len(paths), _SAMPLED).tolist()]
        make = partial(_enlarged, enlarge=enlarge, config=config, vlr_size=vlr_size, control=control)
        make(chosen[:_WARM])
        taken = _Watch()
        faces_u8_NCHW = make(chosen)
        taken.stop()
        # Every image is decoded twice, and its file read once more afterwards.
        seconds = len(paths) * (taken.seconds / len(chosen) + digest_seconds / total)
        return _Sample(faces_u8_NCHW, seconds, len(paths), len(paths) - len(faces_u8_NCHW))

    def vlr(paths: Sequence[Path], digest: str) -> _Sample:
        key = prepared_key(digest, enlargement=inputs.dsr, vlr_size=config.vlr_size)
        return sample(paths, key, enlarge, config.vlr_size)

    def hr(paths: Sequence[Path], digest: str) -> _Sample:
        return sample(paths, prepared_key(digest), enlarge_bicubic, None)

    return (
        vlr(scan.train.vlr_images, inputs.train_vlr),
        None if inputs.train_hr is None else hr(train_hr, inputs.train_hr),
        vlr(scan.val.vlr_images, inputs.val_vlr),
        hr(scan.val.hr_images, inputs.val_hr),
    )


@dataclass(frozen=True)
class _Inventing:
    """Seconds that inventing all people takes, and how many of their faces are not prepared yet."""

    seconds: float
    missing: int


def _time_inventing(
    config: FinetuneConfig,
    practice: FinetuneConfig,
    hr: Faces,
    hr_digest: str,
    labels: Tensor,
    prepared_dir: Path,
    control: Control,
) -> tuple[Faces, _Inventing]:
    """The faces of some people, those of `practice`."""
    people, faces = (
        draw_identities(labels, practice.synthetic_identities, config.seed),
        config.synthetic_identities * FACES_OF_EACH,
    )
    taken = _Watch()
    invented = Faces(torch.cat([some.pixels_u8 for some in people.faces(hr.pixels_u8)]), Counter())
    taken.stop()
    key = synthetic_key(hr_digest, config.synthetic_identities, config.seed)
    if PreparedFaces(prepared_dir, control).find(key, faces) is not None:
        return invented, _Inventing(0.0, 0)
    return invented, _Inventing(taken.seconds * config.synthetic_identities / len(people), faces)


def _repeated(sample: _Sample, count: int) -> Faces:
    faces_u8_NCHW = sample.faces_u8_NCHW
    return Faces(faces_u8_NCHW[torch.arange(count) % len(faces_u8_NCHW)], Counter())


def _enlarged(
    paths: Sequence[Path], *, enlarge: Enlarge, config: FinetuneConfig, vlr_size: int | None, control: Control
) -> Tensor:
    refuse_unreadable(paths, config.num_workers, control)
    control.refuse_if_stopped()
    chunks = enlarge_images(paths, enlarge, threads=config.num_workers, vlr_size=vlr_size)
    return torch.cat([faces.pixels_u8 for faces in chunks])


def _spread(count: int, most: int) -> Tensor:
    """At most so many indices, spread over 0..count-1: neighbours are of one subject."""
    return torch.linspace(0, count - 1, min(count, most)).long()


def _time_embedding(backbone: EdgeFace, context: RunContext, control: Control) -> float:
    """Seconds of embedding all of val."""
    some_u8_NCHW = torch.cat([context.val.probes_u8_PCHW, context.val.gallery_u8_GCHW])
    embed(backbone, some_u8_NCHW[:_WARM], context.device, parallel=context.parallel)
    control.refuse_if_stopped()
    taken = _Watch()
    embed(backbone, some_u8_NCHW, context.device, parallel=context.parallel).sum().item()  # waits for the device
    taken.stop()
    return taken.seconds * (len(context.val.probe_paths) + len(context.val.gallery_paths)) / len(some_u8_NCHW)


def _time_steps(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> Estimate:
    """A step on a whole batch, by two epochs of a few batches, of which the first warms up. Raises OutOfMemory and
    LossNotFinite."""
    _practise(context, state, state_files)
    rates = []
    for _ in range(2):
        seconds = _practise(context, state, state_files)
        rates.append(seconds / batches_of(len(context.labels_N), context.config.batch_size, context.device.type))
    return Estimate.of(rates)


def _practise(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> float:
    """Seconds of one epoch."""
    while True:
        started = time.monotonic()
        state.epoch_state = None
        try:
            train_epoch(context, state, state_files)
        except NotFinite:
            raise LossNotFinite(state.stage, 1) from None
        except StepDidNotFit:
            pass  # Past this block what the step held is free.
        else:
            state.epoch_state = None
            return time.monotonic() - started
        if state.micro_batch_size == 1:
            raise OutOfMemory(1)
        state.micro_batch_size //= 2


@dataclass(frozen=True)
class _Written:
    """Bytes of a state of stage 2 and of a checkpoint, and what writing both took."""

    state_bytes: int
    checkpoint_bytes: int
    seconds: float


def _write(
    context: RunContext, state: TrainState, state_files: TrainStateFiles, checkpoints: Checkpoints, validated: Validated
) -> _Written:
    taken = _Watch()
    write_checkpoint = checkpoints.snapshot(
        state.backbone, state.head, epoch=1, val_acc=validated.accuracy, val_auc=validated.auc
    )
    full, backbone = write_checkpoint()
    state.checkpoint = CheckpointWritten(epoch=1, score=0.0, full=full, backbone=backbone)
    state_file = state_files.write(state, context).file
    taken.stop()
    return _Written(state_file.size, full.size + backbone.size, taken.seconds)


def _remove_written(output_dir: Path) -> None:
    for path in (*output_dir.glob("best-epoch-*/*"), *output_dir.glob("state-*.pth")):
        path.unlink()
    for folder in output_dir.glob("best-epoch-*"):
        folder.rmdir()


def _peak_of_process() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_of_device(device: torch.device, images: int, practised: int) -> int | None:
    """The faces that the training would keep there included."""
    if device.type != "cuda":
        return None
    unseen = (images - practised) * _FACE_BYTES
    fits = images * _FACE_BYTES <= torch.cuda.mem_get_info(device)[0] / 4
    return torch.cuda.max_memory_reserved(device) + (unseen if fits else 0)
