"""The whole method on one page: check -> prepare -> measure -> stage 1 -> stage 2 -> evaluate.

The head is ArcFace (Deng et al., CVPR 2019), the backbone EdgeFace (George et al., arXiv:2307.01838); the two stages,
their defaults and the preprocessing are the guide's. Everything random comes from `config.seed`.
"""

from functools import partial

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.events import Finished, RecognitionMeasured, Report, Stopped, Warned
from app.finetune.image_file import paths_of
from app.finetune.images import READER_VERSION
from app.finetune.leaks import AllowedLeaks
from worker.training.checkpoints.best_model import Checkpoints
from worker.training.checkpoints.exported_model import export_best
from worker.training.checks.leaks import check_people, label_warnings, people_hr_images, refuse_copied_photos
from worker.training.checks.overfitting import overfitting_warning
from worker.training.checks.val_people import val_people_warnings
from worker.training.data.prepare import prepare, read_dataset
from worker.training.estimation.duration import DurationPredictor
from worker.training.estimation.evaluation_cost import time_evaluation, unknown_embeddings
from worker.training.evaluation.after_training import evaluate_training
from worker.training.loop.recovery import train_to_the_end
from worker.training.loop.setup import RunFaces, TeacherFaces, build_run, load
from worker.training.loop.train_state_file import SavedState, TrainStateFiles
from worker.training.models.edgeface import load_edgeface
from worker.training.models.layout import layout_warnings
from worker.training.objectives.teacher import make_synthetic_identities
from worker.training.runtime.control import Control
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.phase_plan import EVALUATION_WORK, Pace, plan_finetuning
from worker.training.runtime.phase_timer import PhaseTimer
from worker.training.runtime.progress import Progress, at_work
from worker.training.storage.paths import TrainingFiles
from worker.training.validation.validate import embed_val


def finetune(
    config: FinetuneConfig, files: TrainingFiles, report: Report, control: Control | None = None
) -> Finished | Stopped:
    """Fine-tune `files.edgeface` and emit every event to `report`. Returns the last event, which is `Stopped` where
    `control` asked for it.

    `files` has the paths for the names in `config`; with `files.resume` the run resumes from that state as if it had
    never stopped. A run on a CPU repeats exactly, bit for bit, on the same machine, resumed or not.

    Raises EdgefaceError: device, weights and file names are checked before any image is opened, and all images before
    any is enlarged.
    """
    return report_outcome(partial(_finetune, config, files, report, control or Control()), report)


def _finetune(config: FinetuneConfig, files: TrainingFiles, report: Report, control: Control) -> Finished:
    timer = PhaseTimer()

    # Check
    saved = SavedState(files.resume.state) if files.resume else None
    progress = Progress(report, reported=saved.progress if saved else 0.0)
    progress.start("checking")
    control = at_work(control, progress)
    loaded = load(config, files, control, timer)
    scan, device, parallel = loaded.scan, loaded.device, loaded.parallel
    for warning in (*loaded.warnings(config), *(saved.warnings() if saved else ())):
        report(Warned(warning))
    allowed = AllowedLeaks(config.allowed_leaks)
    look_for_leaks = not saved and not allowed.everything
    people_hr = paths_of(people_hr_images(scan)) if look_for_leaks else ()
    pace = Pace.of(device.type, loaded.variant.parameters)
    resumed = saved.stage if saved else None
    progress.plan(plan_finetuning(config, scan, pace, resumed=resumed, compares=look_for_leaks))
    reader = saved.inputs.reader if saved else READER_VERSION
    dataset = read_dataset(
        config,
        files,
        scan,
        loaded.by_dsr,
        control,
        progress,
        with_prints=look_for_leaks,
        in_fp16=loaded.in_fp16,
        people_hr=people_hr,
        reader=reader,
    )
    inputs = dataset.inputs
    if saved:
        saved.refuse_changed(inputs)
    dataset.refuse_changed(files, scan)
    if look_for_leaks:
        look = dataset.reader.looks.read
        refuse_copied_photos(scan.train, scan.val, dataset.prints, look, config.num_workers, allowed, control)
    loaded, same_photos = loaded.join_photos(dataset.prints)
    scan = loaded.scan
    for warning in same_photos:
        report(Warned(warning))

    # Prepare
    progress.start("preparing")
    train, train_hr, val, hr_faces = prepare(config, scan, dataset, report, progress)
    report(loaded.prepared(config, timer.elapsed))
    if saved is None and files.val_reading.manifest is None:
        for warning in control.judge_faces(val.gallery_u8_GCHW):
            report(Warned(warning))

    # Measure the recognition of the initial weights
    frozen = None
    if saved is None or saved.stage == 1:
        progress.start("measuring")
        with timer.phase("embed"):
            frozen = embed_val(loaded.backbone, val, device, progress, control, parallel)
    if saved:
        before = saved.before
    elif frozen:
        with timer.phase("measure"):
            before = frozen.measure()
        report(RecognitionMeasured("before", before.recognition))

    # Judge the labels, and refuse people under two names, whom only a backbone recognises
    if look_for_leaks and frozen:
        progress.start("comparing")
        for warning in check_people(scan, train, hr_faces, frozen, loaded.backbone, device, allowed, control, parallel):
            report(Warned(warning))
    elif frozen and not saved:
        for warning in label_warnings(frozen.gallery, control):
            report(Warned(warning))

    # Train: stage 1, stage 2
    labels_N, teacher_faces = loaded.labels(), None
    if train_hr and inputs.train_hr:
        progress.start("teacher_targets")
        synthetic = make_synthetic_identities(
            config, train_hr, inputs.train_hr, labels_N, files.prepared_dir, progress, control
        )
        teacher_faces = TeacherFaces(train_hr.pixels_u8, synthetic.pixels_u8)
    faces = RunFaces(train.pixels_u8, labels_N, val, teacher_faces)
    context, state = build_run(config, loaded, faces, before, report, progress, control, files.compiled_dir)
    state_files = TrainStateFiles(files.output_dir, inputs, control, files.resume, report)
    if saved and files.resume:
        saved.restore(state, context)
        state.checkpoint = saved.checkpoint_of(files.resume)
    else:
        with timer.phase("write"):
            first = state_files.write(state, context)
        report(first)
    if control.predict_duration:
        known = frozen or unknown_embeddings(val, device)
        evaluation = partial(time_evaluation, config, scan.val, known, loaded.by_dsr)
        context.step_listeners.append(DurationPredictor(context, state, timer, evaluation).after_step)
    checkpoints = Checkpoints(files.output_dir, loaded.provenance(config), control)
    best = train_to_the_end(context, state, state_files, checkpoints, frozen)

    # Measure the recognition of the exported checkpoint, read from its file, which is what users get
    progress.start("evaluating")
    tuned, _ = load_edgeface(best.full.path, device)
    best_embeddings = embed_val(tuned, val, device, progress, control, parallel)
    after = best_embeddings.measure()
    report(RecognitionMeasured("after", after.recognition))

    # Evaluate
    overfits = overfitting_warning(state.epochs_reported)
    warnings = [
        *val_people_warnings(scan, config),
        *([] if overfits is None else [overfits]),
        *layout_warnings(loaded.backbone, device),
    ]
    evaluated = evaluate_training(
        config,
        files,
        best,
        state.epochs_reported,
        warnings,
        EVALUATION_WORK,
        progress,
        control,
        frozen,
        best_embeddings,
    )
    exported = export_best(
        tuned,
        loaded.variant.name,
        best,
        val,
        best_embeddings.probes_PD,
        best_embeddings.gallery_GD,
        files,
        control,
    )
    failed = [each for each in (evaluated, exported) if isinstance(each, JobWarning)]
    for warning in (*failed, *warnings):
        report(Warned(warning))
    progress.finish()
    return Finished(
        before.recognition,
        after.recognition,
        evaluated.message if isinstance(evaluated, JobWarning) else evaluated.evaluation.verdict,
        best.epoch,
        timer.elapsed,
        None if isinstance(evaluated, JobWarning) else evaluated,
        state.best.criterion,
        None if isinstance(exported, JobWarning) else exported,
    )
