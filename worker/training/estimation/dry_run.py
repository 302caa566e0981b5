"""The dry run: the time, memory and space that a fine-tuning will take, from real steps of each stage on some faces.

It leaves no file behind: what it writes to time the disk is removed, and no face is prepared for the training.
"""

import resource
import sys
from dataclasses import dataclass, replace
from functools import partial

import torch

from app.finetune.config import FACE_SIZE, FACES_OF_EACH, FinetuneConfig
from app.finetune.edgeface_shapes import EMBEDDING_SIZE
from app.finetune.events import DryRunFinished, Report, Stopped
from app.finetune.ranges import NOTHING, Estimate
from worker.training.checkpoints.best_model import Checkpoints
from worker.training.estimation.evaluation_cost import time_evaluation, unknown_embeddings
from worker.training.estimation.samples import (
    NO_FACES,
    SAMPLED,
    TRIAL_IDENTITIES,
    sample_faces,
    sample_synthetic_identities,
    spread,
)
from worker.training.estimation.trial import (
    TRIAL_EPOCHS,
    TrialFiles,
    remove_trial_files,
    time_embedding,
    time_steps,
    time_writing,
)
from worker.training.loop.setup import Loaded, RunFaces, TeacherFaces, build_run, load
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import (
    BICUBIC_WORK,
    DSR_WORK,
    Costs,
    Position,
    Sizes,
    batches_of,
    parts_left,
    work_of_a_face,
)
from worker.training.runtime.device import describe_device
from worker.training.runtime.gpu_memory import context_bytes
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.phase_plan import READ_WORK, Pace, plan_dry_run
from worker.training.runtime.phase_timer import PhaseTimer
from worker.training.runtime.progress import Progress, at_work
from worker.training.storage.digests import InputDigests, digest_inputs
from worker.training.storage.paths import TrainingFiles
from worker.training.validation.validate import validate

_TRIAL_BATCHES = 4
_FACE_BYTES = 3 * FACE_SIZE**2
_STATES_AT_ONCE = 3  # two are kept while the next is written


def dry_run(
    config: FinetuneConfig, files: TrainingFiles, report: Report, control: Control | None = None
) -> DryRunFinished | Stopped:
    """Estimate what `finetune` will take with the same arguments. Returns the last event, which is `Stopped` where
    `control` asked for it.

    Raises the errors of `finetune` about the device, the weights and the dataset, but checks the sampled images alone.
    """
    return report_outcome(partial(_dry_run, config, files, report, control or Control()), report)


def _dry_run(config: FinetuneConfig, files: TrainingFiles, report: Report, control: Control) -> DryRunFinished:
    timer, progress = PhaseTimer(), Progress(report)

    # Check
    progress.start("checking")
    control = at_work(control, progress)
    loaded = load(config, files, control, timer)
    scan = loaded.scan
    images = len(scan.train.vlr_images)
    trial_images = min(images, _TRIAL_BATCHES * config.batch_size)
    pace = Pace.of(loaded.device.type, loaded.variant.parameters)
    progress.plan(plan_dry_run(config, scan, pace, sampled=4 * SAMPLED, tried=TRIAL_EPOCHS * trial_images))
    with timer.phase("digests"):
        inputs = digest_inputs(
            files,
            scan,
            config.num_workers,
            control,
            with_train_hr=config.needs_train_hr,
            on_read=lambda count: progress.advance(count * READ_WORK),
        )

    # Sample the faces
    progress.start("preparing")
    enlarging = DSR_WORK if loaded.dsr else BICUBIC_WORK
    samples = sample_faces(
        config,
        scan,
        inputs,
        loaded.by_dsr,
        loaded.in_fp16,
        files.prepared_dir,
        control,
        lambda count: progress.advance(count * enlarging),
    )
    labels_N = loaded.labels()[spread(images, trial_images)]
    trial_config, teacher_faces, synthetic = config, None, NO_FACES
    if samples.train_hr is not None and inputs.train_hr is not None:
        trial_config = config.model_copy(
            update={"synthetic_identities": min(config.synthetic_identities, TRIAL_IDENTITIES)}
        )
        hr_u8_NCHW = samples.train_hr.repeated(trial_images)
        synthetic = sample_synthetic_identities(
            config, hr_u8_NCHW, inputs.train_hr, labels_N, files.prepared_dir, control
        )
        teacher_faces = TeacherFaces(hr_u8_NCHW, synthetic.faces_u8_NCHW)
    faces = RunFaces(samples.train.repeated(trial_images), labels_N, samples.val(scan), teacher_faces)

    # Try the run
    progress.start("trying")
    trial = _try_run(config, trial_config, files, loaded, faces, inputs, control, timer, progress)
    costs, written = trial.costs, trial.files

    # Estimate
    parts = parts_left(config, Position(1 if config.stage1_epochs else 2, 0, 0), costs)
    kinds = samples.all
    prepared_bytes = _FACE_BYTES * sum(sample.missing for sample in (*kinds, synthetic))
    prepare = sum(sample.seconds for sample in kinds) + prepared_bytes * costs.write_byte
    embedded_by_teacher = config.synthetic_identities * FACES_OF_EACH + (images if config.synthetic_identities else 0)
    teacher = costs.embed_val.likely * embedded_by_teacher / (len(scan.val.vlr_images) + len(scan.val.hr_images))
    start = Estimate.exactly(timer.seconds["load"] + timer.seconds["digests"] + written.seconds / 2)
    start += Estimate.about(synthetic.seconds + teacher)
    before = costs.embed_val + Estimate.about(costs.measure)
    progress.finish()
    return DryRunFinished(
        seconds=start + Estimate.about(prepare) + before + parts.total,
        seconds_by_part={
            "start": start.likely,
            "prepare": prepare,
            "before": before.likely,
            "stage1": parts.stage1.likely,
            "stage2": parts.stage2.likely,
            "after": parts.after.likely,
        },
        stage1_epochs=config.stage1_epochs,
        stage2_epochs=config.stage2_epochs,
        stage2_epoch_seconds=parts.stage2_epoch,
        device=describe_device(loaded.device),
        images_enlarged=sum(len(sample.faces_u8_NCHW) for sample in kinds if sample.missing),
        process_bytes=_peak_of_process() + _FACE_BYTES * sum(sample.unseen for sample in (*kinds, synthetic)),
        device_bytes=_peak_of_device(loaded.device, images, trial_images),
        prepared_bytes=prepared_bytes,
        state_bytes=_STATES_AT_ONCE * (written.state_bytes + costs.sizes.stage2_state - trial.sizes.stage2_state),
        checkpoint_bytes=written.checkpoint_bytes,
        can_stop_early=config.can_stop_early,
    )


@dataclass(frozen=True)
class _Trial:
    """The costs of the whole run, by a run on some faces; of this, the written files and the `sizes` of its weights."""

    costs: Costs
    files: TrialFiles
    sizes: Sizes


def _try_run(
    config: FinetuneConfig,
    trial_config: FinetuneConfig,
    files: TrainingFiles,
    loaded: Loaded,
    faces: RunFaces,
    inputs: InputDigests,
    control: Control,
    timer: PhaseTimer,
    progress: Progress,
) -> _Trial:
    """Raises OutOfMemory, LossNotFinite, DiskFull and StopRequested."""
    scan = loaded.scan
    embed_val = time_embedding(loaded, faces.val, control)
    unknown = unknown_embeddings(faces.val, loaded.device)
    with timer.phase("measure"):
        before = unknown.measure()
    silent = replace(control, save_every_seconds=float("inf"))
    context, state = build_run(trial_config, loaded, faces, before, lambda _: None, Progress(lambda _: None), silent)
    context.step_listeners.append(lambda: progress.advance(config.batch_size * work_of_a_face(state.stage, config)))
    with timer.phase("validate"):
        validated = validate(unknown, state.classifier)
    evaluation = time_evaluation(config, scan.val, unknown, loaded.by_dsr)
    control.refuse_if_stopped()

    stage1_step = NOTHING
    state_files = TrainStateFiles(files.output_dir, inputs, control, None, context.report)
    checkpoints = Checkpoints(files.output_dir, loaded.provenance(config), control)
    try:  # A stop inside an epoch saves a state, as in a training.
        if state.stage == 1:
            stage1_step = time_steps(context, state, state_files)
        state.start_stage(context, 2)
        stage2_step = time_steps(context, state, state_files)
        written = time_writing(context, state, state_files, checkpoints, validated)
    finally:
        remove_trial_files(files.output_dir)

    untried = (
        (config.synthetic_identities - trial_config.synthetic_identities) * EMBEDDING_SIZE * torch.float32.itemsize
    )
    sizes = state.sizes
    costs = Costs(
        stage1_step=stage1_step,
        stage2_step=stage2_step,
        load=timer.seconds["load"],
        embed_val=Estimate.about(embed_val),
        validate=Estimate.about(timer.seconds["validate"]),
        measure=timer.seconds["measure"],
        evaluation=evaluation,
        write_byte=written.seconds / (written.state_bytes + written.checkpoint_bytes),
        sizes=replace(sizes, objectives=sizes.objectives + untried, stage2=sizes.stage2 + untried),
        batches=batches_of(len(scan.train.vlr_images), config.batch_size, loaded.device.type),
        save_every_seconds=control.save_every_seconds,
    )
    return _Trial(costs, written, sizes)


def _peak_of_process() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_of_device(device: torch.device, images: int, trial_images: int) -> int | None:
    """With CUDA's context, and the faces that the training would keep there."""
    if device.type != "cuda":
        return None
    unseen = (images - trial_images) * _FACE_BYTES
    fits = images * _FACE_BYTES <= torch.cuda.mem_get_info(device)[0] / 4
    return torch.cuda.max_memory_reserved(device) + context_bytes(device) + (unseen if fits else 0)
