"""The base of every error that the project raises on purpose, and the errors of configs, datasets and weights.

All errors, with their codes. A test compares the drawing with the classes.

EdgefaceError                       error
├── ConfigError                     config_invalid
├── DataError                       dataset_invalid
│   ├── FolderMissing               dataset_folder_missing
│   ├── FolderUnreadable            dataset_folder_unreadable
│   ├── FolderEmpty                 dataset_folder_empty
│   ├── UnreadableImages            image_unreadable
│   ├── TrainHrMissing              train_hr_missing
│   ├── TooFewSubjects              too_few_subjects
│   ├── NothingToSelectBy           val_not_comparable
│   ├── PhotoCopied                 photo_copied
│   ├── PersonUnderTwoNames         person_under_two_names
│   ├── NothingToCompare            eval_not_comparable
│   ├── FileGone                    file_gone
│   ├── ChangedWhileRead            changed_while_read
│   ├── InputsChanged               inputs_changed
│   ├── NamesCollide                names_collide
│   ├── OutputNotEmpty              output_exists
│   ├── TooFewToSplit               too_few_to_split
│   ├── CannotFold                  cannot_fold
│   └── NothingAligned              nothing_aligned
├── WeightsError                    weights_invalid
│   ├── WeightsUnreadable           weights_unreadable
│   ├── WeightsUnsafe               weights_unsafe
│   ├── WeightsQuantized            weights_quantized
│   └── WeightsMismatch             weights_mismatch
├── TrainingDiverged                training_diverged
│   ├── EnlargementNotFinite        dsr_not_finite
│   ├── LossNotFinite               loss_not_finite
│   └── DsrLossNotFinite            dsr_loss_not_finite
├── OutOfMemory                     out_of_memory
├── DiskFull                        disk_full
├── DeviceUnavailable               device_unavailable
├── AlignExtraMissing               align_extra_missing
├── AlignModelDamaged               align_model_damaged
├── JobNotFound                     job_not_found
├── NotPausable                     job_not_pausable
├── NotPaused                       job_not_paused
├── NotRetryable                    job_not_retryable
├── StatesGone                      states_gone
├── NothingToPin                    nothing_to_pin
├── IdempotencyKeyReused            idempotency_key_reused
├── NotEvaluated                    not_evaluated
├── CheckpointNotReady              checkpoint_not_ready
├── CheckpointNotKept               checkpoint_not_kept
├── NoBackbone                      no_backbone
├── StoredFileMissing               file_missing
├── CursorInvalid                   cursor_invalid
├── InputError                      input_invalid
│   ├── OutsideRoots                path_outside_roots
│   ├── DatasetNotFound             dataset_not_found
│   ├── WeightsNotFound             weights_not_found
│   ├── DsrTooLarge                 dsr_too_large
│   ├── WeightsJobNotFound          weights_job_not_found
│   ├── WeightsNotOfKind            weights_not_of_kind
│   ├── WeightsNotReady             weights_not_ready
│   └── WeightsNotKept              weights_not_kept
├── LeaseLost                       lease_lost
├── TrainerDied                     trainer_died
├── TrainerCrashed                  internal_error
├── TrainerStuck                    trainer_stuck
├── DeviceFailed                    device_failed
├── MachineFailed                   machine_failed
├── FilesAway                       files_away
├── WorkerLost                      worker_lost
├── Poisoned                        poison
├── BackupExists                    backup_exists
├── BackupNeedsServer               backup_needs_pg_dump
├── BackupDamaged                   backup_damaged
├── BackupFailed                    backup_failed
└── DatabaseMissing                 database_missing

The other modules that define some of them: training_errors.py beside this one, app/dataset_build_errors.py,
app/alignment/errors.py, app/inputs/errors.py, app/jobs/errors.py, app/jobs/attempt_errors.py, app/backup.py and
app/sqlite_file.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

Blame = Literal["request", "data", "service"]


class ErrorReport(BaseModel):
    """An error as a person reads it: on the job, in the problem+json answer and on the terminal."""

    code: str
    message: str
    hint: str
    blame: Blame


class EdgefaceError(Exception):
    """Base class. `code` never changes; `hint` says what to do next; `blame` says where the cause is."""

    code: str = "error"
    blame: Blame = "service"

    def __init__(self, message: str, hint: str) -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.hint = hint

    def report(self) -> ErrorReport:
        return ErrorReport(code=self.code, message=self.message, hint=self.hint, blame=self.blame)


def printable(name: object) -> str:
    """The name with each byte that is not UTF-8 escaped, because JSON cannot hold it."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def name_some(names: Sequence[object], limit: int = 5) -> str:
    """The first `limit` names and the number of the others, as in `a, b, c and 4 more`."""
    shown = ", ".join(printable(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


class ConfigError(EdgefaceError):
    code = "config_invalid"
    blame: Blame = "request"


class DataError(EdgefaceError):
    code = "dataset_invalid"
    blame: Blame = "data"


class FolderMissing(DataError):
    code = "dataset_folder_missing"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} does not exist",
            "a dataset contains train_processed/{vlr_images,hr_images} and val_processed/{vlr_images,hr_images}; "
            "`edgeface-finetune dataset build` makes one from a folder per subject",
        )


class FolderUnreadable(DataError):
    code = "dataset_folder_unreadable"

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"{folder} cannot be listed: {error.strerror}",
            "allow the service's user (uid 10001 in the container images) to read it: chmod -R a+rX",
        )


class FolderEmpty(DataError):
    code = "dataset_folder_empty"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} contains no image", "add PNG, JPEG, BMP, WebP, TIFF or PGM images")


class UnreadableImages(DataError):
    code = "image_unreadable"

    def __init__(self, reasons: dict[Path, str]) -> None:
        self.reasons = reasons
        listed = name_some([f"{path} ({reason})" for path, reason in reasons.items()])
        count = "an image" if len(reasons) == 1 else f"{len(reasons)} images"
        super().__init__(f"cannot read {count}: {listed}", "replace or remove the files named, then submit again")


class TrainHrMissing(DataError):
    code = "train_hr_missing"

    def __init__(self, folder: Path, missing: Sequence[str], images: int) -> None:
        which = "none exists" if len(missing) == images else f"{len(missing)} are missing: {name_some(missing)}"
        super().__init__(
            f"this training needs the HR image of each of its {images} VLR images, with the same name in {folder}; "
            f"{which}",
            'add them or remove the VLR images without one; or train with "recipe": "guide", which needs no HR images',
        )


class TooFewSubjects(DataError):
    code = "too_few_subjects"

    def __init__(self, folder: Path, subjects: Sequence[str]) -> None:
        super().__init__(
            f"{folder} has {len(subjects)} subject ({name_some(subjects)}); training needs at least 2",
            "the subject is the file name up to the first `_`, as in 007_01.png: check the names",
        )


class NothingToSelectBy(DataError):
    code = "val_not_comparable"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} cannot be used to choose the best epoch: accuracy needs subjects that are in train, and "
            "verification needs a VLR image with a second HR image of its subject and an HR image of another subject",
            "provide at least two val subjects with two images each, in vlr_images/ and hr_images/",
        )


class PhotoCopied(DataError):
    code = "photo_copied"

    def __init__(self, copies: Sequence[object]) -> None:
        self.copies = copies
        count = "a photo is" if len(copies) == 1 else f"{len(copies)} photos are"
        super().__init__(
            f"the dataset leaks: {count} in two parts or under two subjects: {name_some(copies)}",
            "remove one copy of each (VLR and HR image), because results on photos from the training data are not "
            "valid; or allow them: allowed_leaks takes file names, pairs of subjects as `a=b`, or `*`",
        )


class PersonUnderTwoNames(DataError):
    code = "person_under_two_names"

    def __init__(self, pairs: Sequence[object]) -> None:
        self.pairs = pairs
        super().__init__(
            f"the dataset leaks: {name_some(pairs)} look like one person with two subject names",
            "use one subject name for all images of a person, and one part unless the split is by images; if they are "
            "different people, allow them: allowed_leaks takes pairs of subjects as `a=b`, or `*`",
        )


class NothingToCompare(DataError):
    code = "eval_not_comparable"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"no two images in {folder} can be compared: no VLR image has a second HR image of its subject and an HR "
            "image of another subject",
            "provide at least two subjects with two images each, in vlr_images/ and hr_images/; the subject is the "
            "file name up to the first `_`",
        )


class FileGone(DataError):
    code = "file_gone"

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"{path} was removed while the job ran",
            "restore it, then send POST /jobs/{id}/retry: the job resumes from its last saved state",
        )


class ChangedWhileRead(DataError):
    code = "changed_while_read"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"images in {folder} changed while they were prepared",
            "stop whatever writes to the dataset, then retry the job",
        )


class InputsChanged(DataError):
    code = "inputs_changed"

    def __init__(self, what: Sequence[str]) -> None:
        super().__init__(
            f"{name_some(what)} changed since the state was saved that this training resumes from",
            "restore the files and retry the job, or train from the start: POST /jobs/{id}/retry?from=start",
        )


class WeightsError(EdgefaceError):
    code = "weights_invalid"
    blame: Blame = "request"


class WeightsUnreadable(WeightsError):
    code = "weights_unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is not a readable PyTorch weights file: {reason}",
            "use a file that torch.save wrote; download it again if it may be incomplete",
        )


class WeightsUnsafe(WeightsError):
    code = "weights_unsafe"

    def __init__(self, path: Path, pickled: str) -> None:
        super().__init__(
            f"{path} contains the pickled object {pickled}; loading it could run code, so it is refused",
            "save only the state dict, with the program that made the file: torch.save(model.state_dict(), path)",
        )


class WeightsQuantized(WeightsError):
    code = "weights_quantized"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is quantised to int8 (a `_q` file); int8 weights cannot be fine-tuned",
            "use the float32 file of the same model, such as edgeface_xxs.pt instead of edgeface_xxs_q.pt",
        )


class WeightsMismatch(WeightsError):
    code = "weights_mismatch"

    def __init__(self, path: Path | str, architecture: str, difference: str) -> None:
        super().__init__(
            f"{path} does not fit {architecture}: {difference}",
            "weights are loaded strictly because a partly loaded model trains noise: use a file of this architecture",
        )
