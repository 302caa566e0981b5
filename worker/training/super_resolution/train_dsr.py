"""Training of a DSR network on one page: prepare -> measure the baselines -> train -> compare.

Random degradations reduce HR faces, and the network learns to undo them, by pixel losses and by the features of a
frozen EdgeFace. The best epoch is the one whose enlarged val faces EdgeFace recognises best. Similarity to the HR faces
does not select it, since a network that makes all faces look alike would win.
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.architectures import DsrLayout
from app.finetune.artifact_names import DSR_NAME
from app.finetune.checked_copy import copy_of
from app.finetune.config import FACE_SIZE
from app.finetune.content_pairs import join_by_content
from app.finetune.counted import by_number, counted
from app.finetune.dataset import HR_FOLDER, JobWarning, Split, check_comparable, scan_hr
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation import Images
from app.finetune.events import (
    EnlargementMeasured,
    Finished,
    Prepared,
    Report,
    StageStarted,
    Stopped,
    Warned,
    WrittenFile,
)
from app.finetune.image_file import paths_of
from app.finetune.images import READER_VERSION
from app.finetune.leaks import AllowedLeaks
from app.finetune.network_limits import refuse_too_large
from app.finetune.part_reading import refuse_changed
from app.finetune.repeated_photos import repeats_warnings
from worker.training.checks.leaks import refuse_copied_photos, refuse_same_people, some_of_each
from worker.training.data.image_reader import ImageReader, Preparation, problem_warnings, refuse_unreadable
from worker.training.data.preprocess import RESAMPLER, Enlarge, EnlargeByDsr, Faces, enlarge_bicubic, enlarge_bilinear
from worker.training.models.dsr import DSR, load_dsr
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import face_set
from worker.training.models.layout import lay_out, layout_warnings
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import BICUBIC_WORK, FORWARD_WORK
from worker.training.runtime.cpu_parallel import parallel_for
from worker.training.runtime.device import choose_device, describe_device, device_warnings
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.phase_plan import READ_WORK, Pace, plan_dsr_training
from worker.training.runtime.progress import Progress, at_work
from worker.training.runtime.tf32 import has_tf32
from worker.training.storage.atomic import saved_bytes, write_whole
from worker.training.storage.digests import sha256_of_weights
from worker.training.storage.paths import TrainingFiles
from worker.training.super_resolution.comparison import verdict_of
from worker.training.super_resolution.initialise import new_dsr
from worker.training.super_resolution.loop import DsrRunContext, Work, state_dict_of, train_to_the_end
from worker.training.super_resolution.preparation import embed_both_ways
from worker.training.super_resolution.state import DsrInputs, DsrTrainState, DsrTrainStateFiles, SavedDsrState
from worker.training.super_resolution.val_faces import Enlarged, ValFaces, enlarge_val, val_faces

_EDGEFACE_XXS_PRODUCTS = 120e6
"""DSR multiplications that take as long as one forward pass of EdgeFace-XXS, timed on 2 cores with 64 channels and 8
blocks."""


def train_dsr(
    config: DsrTrainingConfig, files: TrainingFiles, report: Report, control: Control | None = None
) -> Finished | Stopped:
    """Train a DSR network and report every event. Return the last event, Stopped if `control` was stopped.

    `files` holds the paths of the names in `config`; `files.dsr` is None for a new network. With `files.resume` the
    training resumes from that state. On the same machine a CPU run repeats bit for bit, resumed or not. Raises
    EdgefaceError.
    """
    return report_outcome(partial(_train, config, files, report, control or Control()), report)


def _train(config: DsrTrainingConfig, files: TrainingFiles, report: Report, control: Control) -> Finished:
    started = time.monotonic()

    # Check
    saved = SavedDsrState(files.resume.state) if files.resume else None
    progress = Progress(report, reported=saved.progress if saved else 0.0)
    progress.start("checking")
    control = at_work(control, progress)
    device = choose_device(config.device, control.gpu)
    edgeface, variant = load_edgeface(copy_of(files.copies, files.edgeface), device)
    edgeface.eval().requires_grad_(requires_grad=False)
    dsr = load_dsr(copy_of(files.copies, files.dsr)) if files.dsr else new_dsr(config.layout, config.seed)
    refuse_too_large(dsr.layout, config.vlr_sizes, files.dsr or "the new network")
    dsr = dsr.requires_grad_(requires_grad=True).to(device)
    lay_out(dsr, device)
    train = scan_hr(files.train_dir, files.train_reading.pattern)
    val = scan_hr(files.val_dir, files.val_reading.pattern)
    check_comparable(val)
    allowed = AllowedLeaks(config.allowed_leaks)
    look_for_leaks = not saved and not allowed.everything
    work, images, sizes = _work(dsr.layout, config), len(train.hr_images) + len(val.hr_images), len(config.vlr_sizes)
    each_epoch = len(train.hr_images) * work.step + len(val.hr_images) * sizes * work.validation
    pace, training = Pace.of(device.type, variant.parameters), config.epochs * each_epoch
    plan = plan_dsr_training(images, len(val.hr_images), sizes, pace, training=training, compares=look_for_leaks)
    progress.plan(plan)

    def on_read(count: int) -> None:
        progress.advance(count * READ_WORK)

    reader_version = saved.inputs.reader if saved else READER_VERSION
    reader = ImageReader(files.prepared_dir, config.num_workers, control, reader_version, on_read)
    train_images, val_images = (
        reader.read(paths_of(split.hr_images), Preparation(), with_prints=True, with_looks=look_for_leaks)
        for split in (train, val)
    )
    inputs = DsrInputs(
        edgeface=sha256_of_weights(files.edgeface, files.copies, control),
        dsr=sha256_of_weights(files.dsr, files.copies, control) if files.dsr else None,
        train_hr=train_images.digest,
        val_hr=val_images.digest,
        reader=reader_version,
    )
    if saved:
        saved.refuse_changed(inputs)
    for reading, split, read in ((files.train_reading, train, train_images), (files.val_reading, val, val_images)):
        refuse_changed(reading, split, dict(zip(read.paths, read.sha256s, strict=True)), (HR_FOLDER,))
    if look_for_leaks:
        # `scan_hr` lists each HR image as a VLR image too, and each copy would be reported twice.
        train_hr, val_hr = (replace(split, vlr_images=()) for split in (train, val))
        prints = {**train_images.prints, **val_images.prints}
        refuse_copied_photos(train_hr, val_hr, prints, reader.looks.read, config.num_workers, allowed, control)
    val, val_repeats = join_by_content(val, val_images.prints, "val")
    check_comparable(val)
    repeats = [*repeats_warnings(train, train_images.prints, "train"), *val_repeats]

    # Prepare
    progress.start("preparing")
    reader.looks.clear()
    refuse_unreadable([train_images, val_images])

    def on_prepared(count: int) -> None:
        progress.advance(count * BICUBIC_WORK)

    train_faces, hr_faces = (reader.faces(each, on_prepared) for each in (train_images, val_images))
    looked_at = [*problem_warnings("train", [train_images]), *problem_warnings("val", [val_images])]
    subjects, val_subjects = ({image.subject for image in split.hr_images} for split in (train, val))
    of_data = _warnings(subjects, val_subjects, train_faces)
    of_run = [*device_warnings(config.device), *(saved.warnings() if saved else ())]
    for warning in (*of_run, *looked_at, *repeats, *of_data):
        report(Warned(warning))
    report(
        Prepared(
            train_images=len(train.hr_images),
            val_images=len(val.hr_images),
            subjects=len(subjects),
            selection="verification_auc",
            variant=variant.name,
            enlargement=dsr.describe(),
            resampler=RESAMPLER,
            device=describe_device(device),
            precision="tf32" if has_tf32(device) else "float32",
            seconds=time.monotonic() - started,
            val_subjects=len(val_subjects),
            val_subjects_in_train=len(val_subjects & subjects),
        )
    )

    # Embed the HR faces, which are the targets
    def on_faces(count: int) -> None:
        progress.advance(count * FORWARD_WORK)
        control.refuse_if_stopped()

    progress.start("teacher_targets")
    parallel = parallel_for(device, config.batch_size)
    faces_of_val = val_faces(val.hr_images, hr_faces.pixels_u8, config.vlr_sizes, edgeface, device, on_faces)
    train_e_2ND = embed_both_ways(edgeface, train_faces.pixels_u8, device, on_faces, parallel=parallel)

    if saved is None and files.val_reading.manifest is None:
        for warning in control.judge_faces(hr_faces.pixels_u8):
            report(Warned(warning))

    # Refuse people under two names
    if look_for_leaks:
        progress.start("comparing")
        for warning in _refuse_people_of_val(train, train_e_2ND[0], faces_of_val, allowed, control):
            report(Warned(warning))

    # Measure the baselines
    progress.start("measuring")
    measure = partial(enlarge_val, faces_of_val, edgeface=edgeface, device=device, on_faces=on_faces, parallel=parallel)
    without: dict[Images, Enlarge] = {"direct": enlarge_bilinear, "bicubic": enlarge_bicubic}
    enlarged: dict[Images, Enlarged] = {name: measure(enlarge) for name, enlarge in without.items()}
    for name in without:
        if saved is None:
            report(_measured(name, enlarged[name]))

    # Train
    optimizer = torch.optim.Adam(dsr.parameters(), lr=config.lr, betas=(0.9, 0.99), fused=True)
    state = DsrTrainState(dsr, optimizer, micro_batch_size=config.batch_size)
    state_files = DsrTrainStateFiles(files.output_dir, inputs, control, progress)
    if saved and files.resume:
        saved.restore(state)
        state.checkpoint = saved.checkpoint_of(files.resume)
    else:
        report(state_files.write(state))
    context = DsrRunContext(
        config=config,
        device=device,
        edgeface=edgeface,
        train_u8_NCHW=train_faces.pixels_u8,
        train_e_2ND=train_e_2ND,
        val=faces_of_val,
        enlarge=EnlargeByDsr(dsr, files.dsr or Path(DSR_NAME), device, lambda _: control.refuse_if_stopped()),
        save=partial(_save, files.output_dir, control),
        work=work,
        report=report,
        progress=progress,
        control=control,
        parallel=parallel,
    )
    progress.start("stage_0", (state.epoch + state.step / context.steps_per_epoch) / config.epochs)
    if not state.steps_done:
        report(StageStarted(0, config.epochs, "super_resolution"))
    best = train_to_the_end(context, state, state_files)

    # Compare the exported file
    progress.start("evaluating")
    path = best.full.path
    exported = EnlargeByDsr(load_dsr(path), path, device, lambda _: control.refuse_if_stopped())
    enlarged["dsr"] = measure(exported)
    report(_measured("dsr", enlarged["dsr"]))
    verdict = verdict_of(enlarged, control.refuse_if_stopped)
    for warning in (*layout_warnings(edgeface, device), *layout_warnings(dsr, device))[:1]:
        report(Warned(warning))
    progress.finish()
    return Finished(
        before=enlarged["bicubic"].measure().recognition,
        after=enlarged["dsr"].measure().recognition,
        verdict=verdict,
        best_epoch=best.epoch,
        seconds=time.monotonic() - started,
        selection="verification_auc",
    )


def _refuse_people_of_val(
    train: Split, train_e_ND: Tensor, val: ValFaces, allowed: AllowedLeaks, control: Control
) -> list[JobWarning]:
    """Refuse people of val who have a second name in val or train. Names that occur in train only do not matter.

    Raises PersonUnderTwoNames and StopRequested.
    """
    places = some_of_each(train.hr_images)
    images = [*(train.hr_images[place] for place in places), *val.images]
    faces = face_set(torch.cat([train_e_ND[places], val.hr_e_ND]), images)
    return refuse_same_people(faces, allowed, control, with_one_of={image.subject for image in val.images})


def _warnings(train: set[str], val: set[str], train_faces: Faces) -> list[JobWarning]:
    warnings = []
    if known := train & val:
        message = (
            f"{len(known)} of {counted(len(val), 'val subject')} {by_number(len(known), 'is', 'are')} in train too: "
            "the best epoch is selected by people that the network has seen"
        )
        warnings.append(JobWarning(code="val_subjects_trained_on", message=message))
    if small := sum(count for size, count in train_faces.sizes.items() if min(size) < FACE_SIZE):
        message = (
            f"{small} of {counted(train_faces.sizes.total(), 'train HR image')} {by_number(small, 'is', 'are')} "
            f"smaller than {FACE_SIZE} px and {by_number(small, 'was', 'were')} enlarged "
            "to it: the network learns their blur"
        )
        warnings.append(JobWarning(code="hr_images_small", message=message))
    return warnings


def _measured(name: Images, enlarged: Enlarged) -> EnlargementMeasured:
    return EnlargementMeasured(name, enlarged.psnr, enlarged.ssim, enlarged.identity, enlarged.measure().recognition)


def _save(output_dir: Path, control: Control, dsr: DSR, epoch: int) -> WrittenFile:
    """Write `best-epoch-NNN/dsr.pth`, the bare state dict. Raises DiskFull."""
    return write_whole(output_dir / f"best-epoch-{epoch:03d}" / DSR_NAME, saved_bytes(state_dict_of(dsr)), control)


def _work(layout: DsrLayout, config: DsrTrainingConfig) -> Work:
    """Return the cost of the network: a step runs it and EdgeFace forwards and backwards, without weight gradients of
    EdgeFace."""
    sizes = config.vlr_sizes
    enlarging = sum(_products(layout, size) for size in sizes) / len(sizes) / _EDGEFACE_XXS_PRODUCTS
    return Work(step=3 * enlarging + 2.5 * FORWARD_WORK, validation=enlarging + FORWARD_WORK)


def _products(layout: DsrLayout, size: int) -> float:
    """Return the multiplications of one face's forward pass: weights times positions of their maps."""
    side, products = float(size), 0.0
    for name, shape in layout.shapes().items():
        if name.endswith(".weight") and len(shape) == 4:
            products += torch.Size(shape).numel() * side**2
        if name.startswith("upsamplers.") and name.endswith(".0.weight"):
            side *= (shape[0] // shape[1]) ** 0.5
    return products
