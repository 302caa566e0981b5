"""The whole method on one page: prepare -> measure -> stage 1 -> stage 2 -> evaluate.

The head is ArcFace (Deng et al., CVPR 2019), the backbone EdgeFace (George et al., arXiv:2307.01838); the two stages,
their defaults and the preprocessing are the guide's. Everything random comes from `config.seed`.
"""

import time
from functools import partial

import torch

from app.finetune.architectures import EMBEDDING_SIZE
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning, scan_dataset, subject_of
from app.finetune.events import Finished, Prepared, RecognitionMeasured, Report, Stopped, Warned
from app.finetune.leaks import AllowedLeaks
from app.finetune.recipes import views_warning
from worker.training.checkpoints.best_model import Checkpoints, Provenance
from worker.training.checkpoints.weight_interpolation import weights_of
from worker.training.checks.leaks import refuse_copied_photos, refuse_people_under_two_names
from worker.training.checks.overfitting import overfitting_warning
from worker.training.checks.val_people import val_people_warnings
from worker.training.data.prepare import prepare
from worker.training.data.preprocess import RESAMPLER, enlarge_bicubic, enlarge_by_dsr
from worker.training.estimation.duration import DurationPredictor
from worker.training.estimation.evaluation_cost import time_evaluation, unknown_embeddings
from worker.training.evaluation.after_training import evaluate_training
from worker.training.loop.context import RunContext
from worker.training.loop.recovery import train_to_the_end
from worker.training.loop.state import begin
from worker.training.loop.train_state_file import SavedState, TrainStateFiles
from worker.training.models.dsr import load_dsr
from worker.training.models.edgeface import load_edgeface
from worker.training.objectives.arcface import ArcFace
from worker.training.objectives.teacher import embed_with_teacher, make_synthetic_identities, teacher_targets
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import parallel_for
from worker.training.runtime.device import choose_device, choose_precision, describe_device, to_device_if_it_fits
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.progress import Progress, evaluation_work, total_work, work_after_training
from worker.training.storage.digests import digest_inputs
from worker.training.storage.paths import TrainingFiles
from worker.training.validation.validate import embed_val


def finetune(
    config: FinetuneConfig, files: TrainingFiles, report: Report, control: Control | None = None
) -> Finished | Stopped:
    """Fine-tune as `config` says, on `files`, and tell `report` all that happens; the last event is what this returns:
    `Stopped` if `control` asked for it.

    `files` has as paths what `config` has as names; with `files.resume` it goes on from there as if nothing had
    happened. A CPU run repeats exactly, bit for bit, on the same machine, in one go or in several.
    Raises EdgefaceError and its kin: device, weights and file names are checked before any image is opened, and all
    images before any is enlarged.
    """
    return report_outcome(partial(_finetune, config, files, report, control or Control()), report)


def _finetune(config: FinetuneConfig, files: TrainingFiles, report: Report, control: Control) -> Finished:
    started = time.monotonic()
    predictor = DurationPredictor(wanted=control.predict_duration)

    # Check
    device = choose_device(config.device, control.slot)
    precision = choose_precision(config.mixed_precision, device)
    saved = SavedState(files.resume.state) if files.resume else None
    backbone, variant = predictor.timed("load", partial(load_edgeface, files.edgeface, device))
    dsr = load_dsr(files.dsr) if files.dsr else None
    scan = scan_dataset(files.train_dir, files.val_dir)
    many_views = views_warning(
        synthetic_identities=config.synthetic_identities,
        stage2_epochs=config.stage2_epochs,
        train_images=len(scan.train.vlr_images),
    )
    for warning in (*scan.warnings, *([] if many_views is None else [many_views])):
        report(Warned(warning))
    inputs = digest_inputs(files, scan, config.num_workers, control, with_train_hr=config.needs_train_hr)
    if saved:
        saved.refuse_changed(inputs)

    allowed = AllowedLeaks(config.allowed_leaks)
    if not saved and not allowed.everything:
        refuse_copied_photos(scan.train, scan.val, config.num_workers, allowed, control)

    # Prepare
    work = total_work(config, scan, with_dsr=dsr is not None)
    work_after = work_after_training(scan, with_dsr=dsr is not None)
    progress = Progress(work, report, told=saved.progress if saved else 0.0, work_after=work_after)
    by_dsr = enlarge_by_dsr(dsr, files.dsr, device) if dsr and files.dsr else None
    train, train_hr, val = prepare(config, scan, inputs, by_dsr, files.prepared_dir, report, progress, control)
    enlargement = dsr.describe() if dsr else "bicubic"
    report(
        Prepared(
            train_images=len(scan.train.vlr_images),
            val_images=len(scan.val.vlr_images),
            subjects=len(scan.subject_to_id),
            selection="last_epoch" if config.keep == "last" else scan.selection,
            variant=variant.name,
            enlargement=enlargement,
            resampler=RESAMPLER,
            device=describe_device(device),
            precision=precision.name,
            seconds=time.monotonic() - started,
        )
    )

    # Measure what the weights can do as they were given
    parallel = parallel_for(device, config.batch_size)
    embed_frozen = partial(embed_val, backbone, val, device, progress, control, parallel)
    frozen = None if saved and saved.stage == 2 else predictor.timed("embed", embed_frozen)
    if saved:
        before = saved.before
    elif frozen:
        before = predictor.timed("measure", frozen.measure)
        report(RecognitionMeasured("before", before.recognition))

    # Refuse people under two names, whom only a backbone can tell
    if not saved and frozen and not allowed.everything:
        for warning in refuse_people_under_two_names(
            scan, train.pixels_u8, frozen, backbone, config, device, allowed, control, parallel
        ):
            report(Warned(warning))

    # Train
    generator = torch.Generator().manual_seed(config.seed)
    head = ArcFace(EMBEDDING_SIZE, len(scan.subject_to_id), config.arcface_scale, config.arcface_margin, generator)
    labels = torch.tensor([scan.subject_to_id[subject_of(path.name)] for path in scan.train.vlr_images])
    faces_u8_NCHW = to_device_if_it_fits(train.pixels_u8, device)
    targets = None
    if train_hr and inputs.train_hr:
        invented = make_synthetic_identities(
            config, train_hr, inputs.train_hr, labels, files.prepared_dir, progress, control
        )
        # Of the backbone as it was given: a saved state is restored later.
        embed_by_teacher = partial(
            embed_with_teacher, backbone, device=device, parallel=parallel, progress=progress, control=control
        )
        targets = teacher_targets(train_hr, invented, labels, by_dsr or enlarge_bicubic, embed_by_teacher)
    context = RunContext(
        config=config,
        device=device,
        precision=precision,
        faces_u8_NCHW=faces_u8_NCHW,
        labels_N=labels.to(faces_u8_NCHW.device),
        val=val,
        selection=scan.selection,
        report=report,
        progress=progress,
        control=control,
        parallel=parallel,
        after_step=predictor.after_step,
        targets=targets,
        initial_weights=weights_of(backbone) if config.interpolation < 1 else None,
    )
    state = begin(context, backbone, head.to(device), generator, before)
    state_files = TrainStateFiles(files.output_dir, inputs, control, files.resume, report)
    if saved and files.resume:
        saved.restore(state, context)
        state.checkpoint = saved.checkpoint_of(files.resume)
    else:
        report(predictor.timed("write", partial(state_files.write, state, context)))
    known = frozen or unknown_embeddings(val, device)
    predictor.follow(context, state, partial(time_evaluation, config, scan.val, known, by_dsr))
    provenance = Provenance(config, scan.subject_to_id, variant.name, enlargement, RESAMPLER)
    best = train_to_the_end(context, state, state_files, Checkpoints(files.output_dir, provenance, control), frozen)

    progress.finish_training()

    # Measure what the best checkpoint can do, from its file: that is what is handed out
    tuned, _ = load_edgeface(best.full.path, device)
    best_embeddings = embed_val(tuned, val, device, progress, control, parallel)
    after = best_embeddings.measure()
    report(RecognitionMeasured("after", after.recognition))
    costs = evaluation_work(scan, with_dsr=dsr is not None)
    overfits = overfitting_warning(state.epochs_reported)
    warnings = [*val_people_warnings(scan, config), *([] if overfits is None else [overfits])]
    evaluated = evaluate_training(
        config, files, best, state.epochs_reported, warnings, costs, progress, control, frozen, best_embeddings
    )
    for warning in (*([evaluated] if isinstance(evaluated, JobWarning) else []), *warnings):
        report(Warned(warning))
    progress.finish()
    return Finished(
        before.recognition,
        after.recognition,
        evaluated.message if isinstance(evaluated, JobWarning) else evaluated.evaluation.verdict,
        best.epoch,
        time.monotonic() - started,
        None if isinstance(evaluated, JobWarning) else evaluated,
    )
