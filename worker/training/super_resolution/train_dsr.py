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
from app.finetune.config import FACE_SIZE
from app.finetune.dataset import JobWarning, Split, comparable, scan_hr, subject_of
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import NothingToCompare
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
from app.finetune.leaks import AllowedLeaks
from worker.training.checks.leaks import refuse_copied_photos, refuse_same_people, some_of_each
from worker.training.data.image_reader import ImageReader, Preparation, refuse_unreadable
from worker.training.data.preprocess import RESAMPLER, Enlarge, Faces, enlarge_bicubic, enlarge_bilinear, enlarge_by_dsr
from worker.training.models.dsr import DSR, load_dsr
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import face_set
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import FORWARD_WORK
from worker.training.runtime.cpu_parallel import parallel_for
from worker.training.runtime.device import choose_device, describe_device
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.progress import Progress
from worker.training.storage.atomic import saved_bytes, write_whole
from worker.training.storage.digests import sha256_of
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
    device = choose_device(config.device, control.slot)
    saved = SavedDsrState(files.resume.state) if files.resume else None
    edgeface, variant = load_edgeface(files.edgeface, device)
    edgeface.eval().requires_grad_(requires_grad=False)
    dsr = load_dsr(files.dsr) if files.dsr else new_dsr(config.layout, config.seed)
    dsr = dsr.requires_grad_(requires_grad=True).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train, val = scan_hr(files.train_dir), scan_hr(files.val_dir)
    if not comparable(val):
        raise NothingToCompare(files.val_dir)
    allowed = AllowedLeaks(config.allowed_leaks)
    look_for_leaks = not saved and not allowed.everything
    reader = ImageReader(files.prepared_dir, config.num_workers, control)
    train_images, val_images = (
        reader.read(split.hr_images, Preparation(), with_prints=look_for_leaks, with_looks=look_for_leaks)
        for split in (train, val)
    )
    inputs = DsrInputs(
        edgeface=sha256_of(files.edgeface, control),
        dsr=sha256_of(files.dsr, control) if files.dsr else None,
        train_hr=train_images.digest,
        val_hr=val_images.digest,
    )
    if saved:
        saved.refuse_changed(inputs)
    if look_for_leaks:
        # `scan_hr` lists each HR image as a VLR image too, and each copy would be reported twice.
        train_hr, val_hr = (replace(split, vlr_images=()) for split in (train, val))
        prints = {**train_images.prints, **val_images.prints}
        refuse_copied_photos(train_hr, val_hr, prints, reader.looks.read, config.num_workers, allowed, control)

    # Prepare
    reader.looks.clear()
    refuse_unreadable([train_images, val_images])
    train_faces, hr_faces = reader.faces(train_images), reader.faces(val_images)
    subjects = {subject_of(path.name) for path in train.hr_images}
    for warning in _warnings(subjects, {subject_of(path.name) for path in val.hr_images}, train_faces):
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
            precision="float32",
            seconds=time.monotonic() - started,
        )
    )

    # Refuse people under two names
    def on_faces(_: int) -> None:
        control.refuse_if_stopped()

    parallel = parallel_for(device, config.batch_size)
    faces_of_val = val_faces(val.hr_images, hr_faces.pixels_u8, config.vlr_sizes, edgeface, device, on_faces)
    train_e_2ND = embed_both_ways(edgeface, train_faces.pixels_u8, device, on_faces, parallel=parallel)
    if look_for_leaks:
        for warning in _refuse_people_of_val(train, train_e_2ND[0], faces_of_val, allowed, control):
            report(Warned(warning))

    # Measure the baselines
    measure = partial(enlarge_val, faces_of_val, edgeface=edgeface, device=device, on_faces=on_faces, parallel=parallel)
    without: dict[Images, Enlarge] = {"direct": enlarge_bilinear, "bicubic": enlarge_bicubic}
    enlarged: dict[Images, Enlarged] = {name: measure(enlarge) for name, enlarge in without.items()}
    for name in without:
        if saved is None:
            report(_measured(name, enlarged[name]))

    # Train
    work = _work(dsr.layout, config)
    each_epoch = len(train.hr_images) * work.step + len(val.hr_images) * len(config.vlr_sizes) * work.validation
    progress = Progress(config.epochs * each_epoch, report, reported=saved.progress if saved else 0.0)
    optimizer = torch.optim.Adam(dsr.parameters(), lr=config.lr, betas=(0.9, 0.99), fused=True)
    state = DsrTrainState(dsr, optimizer, micro_batch_size=config.batch_size)
    state_files = DsrTrainStateFiles(files.output_dir, inputs, control, progress)
    if saved and files.resume:
        saved.restore(state, progress)
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
        enlarge=enlarge_by_dsr(dsr, files.dsr or Path(DSR_NAME), device, on_faces),
        save=partial(_save, files.output_dir, control),
        work=work,
        report=report,
        progress=progress,
        control=control,
        parallel=parallel,
    )
    if not state.steps_done:
        report(StageStarted(0, config.epochs))
    best = train_to_the_end(context, state, state_files)

    # Compare the exported file
    path = best.full.path
    enlarged["dsr"] = measure(enlarge_by_dsr(load_dsr(path), path, device, on_faces))
    report(_measured("dsr", enlarged["dsr"]))
    verdict = verdict_of(enlarged, control.refuse_if_stopped)
    progress.finish()
    return Finished(
        before=enlarged["bicubic"].measure().recognition,
        after=enlarged["dsr"].measure().recognition,
        verdict=verdict,
        best_epoch=best.epoch,
        seconds=time.monotonic() - started,
    )


def _refuse_people_of_val(
    train: Split, train_e_ND: Tensor, val: ValFaces, allowed: AllowedLeaks, control: Control
) -> list[JobWarning]:
    """Refuse people of val who have a second name in val or train. Names that occur in train only do not matter.

    Raises PersonUnderTwoNames and StopRequested.
    """
    places = some_of_each(train.hr_images)
    paths = [*(train.hr_images[place] for place in places), *val.paths]
    faces = face_set(torch.cat([train_e_ND[places], val.hr_e_ND]), paths)
    return refuse_same_people(faces, allowed, control, with_one_of={subject_of(path.name) for path in val.paths})


def _warnings(train: set[str], val: set[str], train_faces: Faces) -> list[JobWarning]:
    warnings = []
    if known := train & val:
        message = (
            f"{len(known)} of {len(val)} val subjects are in train too: the best epoch is selected by people that the "
            "network has seen"
        )
        warnings.append(JobWarning(code="val_subjects_trained_on", message=message))
    if small := sum(count for size, count in train_faces.sizes.items() if min(size) < FACE_SIZE):
        message = (
            f"{small} of {train_faces.sizes.total()} train HR images are smaller than {FACE_SIZE} px and were enlarged "
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
