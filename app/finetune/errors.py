"""Errors that a config, a dataset or a weights file can cause; each builds its own message from its object.

EdgefaceError                      code, message, hint, blame
├── ConfigError                    a value that no machine could run
├── DataError                      blame: data
│   ├── FolderMissing              train_dir or val_dir lacks vlr_images/ or hr_images/
│   ├── FolderUnreadable           the service's user may not list it
│   ├── FolderEmpty                a folder holds no image
│   ├── UnreadableImages           truncated, corrupt or not an image
│   ├── TrainHrMissing             the recipe needs an HR image of every face to train on
│   ├── TooFewSubjects             ArcFace needs two subjects
│   ├── NothingToSelectBy          no val subject is in train and no two val images can be compared
│   ├── PhotoCopied                one photo is in two parts of the dataset, or under two names
│   ├── PersonUnderTwoNames        two subjects look like one person
│   ├── NothingToCompare           no two images to evaluate can be compared
│   ├── FileGone                   an input was removed while the job ran
│   ├── ChangedWhileRead           somebody wrote to the dataset while it was prepared
│   └── InputsChanged              the files are no longer those that the saved state was trained on
├── WeightsError                   blame: request
│   ├── WeightsUnreadable          not a file that torch.save wrote
│   ├── WeightsUnsafe              holds pickled classes, which are never loaded
│   ├── WeightsQuantized           int8, cannot be fine-tuned
│   └── WeightsMismatch            keys or shapes do not fit the architecture
├── TrainingDiverged               blame: request
│   ├── EnlargementNotFinite       the DSR network gave NaN or infinity
│   ├── LossNotFinite              the loss became NaN or infinity, twice
│   └── DsrLossNotFinite           that of a DSR network did
├── OutOfMemory                    even one image at a time does not fit the device
├── DiskFull                       no space for a state, a checkpoint or prepared faces
└── DeviceUnavailable              the config asks for a device this machine lacks

The errors of jobs (not found, not cancellable, ...) continue this tree in app/jobs/errors.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

Blame = Literal["request", "data", "service"]


class ErrorReport(BaseModel):
    """What a person is told of an error: on the job, in the problem+json answer and on the terminal."""

    code: str
    message: str
    hint: str
    blame: Blame


class EdgefaceError(Exception):
    """Base of every error this project raises on purpose. `code` is stable; `hint` says what to do next."""

    code: str = "error"
    blame: Blame = "service"

    def __init__(self, message: str, hint: str) -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.hint = hint

    def report(self) -> ErrorReport:
        return ErrorReport(code=self.code, message=self.message, hint=self.hint, blame=self.blame)


def printable(name: object) -> str:
    """A file name that is not UTF-8 with its odd bytes spelled out: JSON could not carry them."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def name_some(names: Sequence[object], limit: int = 5) -> str:
    """`a, b, c and 4 more`: enough names to act on, not a page of them."""
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
            "a dataset holds train_processed/{vlr_images,hr_images} and val_processed/{vlr_images,hr_images}; "
            "`edgeface-finetune dataset build` makes one from a folder per subject",
        )


class FolderUnreadable(DataError):
    code = "dataset_folder_unreadable"

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"{folder} cannot be listed: {error.strerror}",
            "let the user that the service runs as (uid 10001 in the images) read it: chmod -R a+rX",
        )


class FolderEmpty(DataError):
    code = "dataset_folder_empty"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} holds no image", "put PNG, JPEG, BMP, WebP, TIFF or PGM images there")


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
        which = "none is there" if len(missing) == images else f"{len(missing)} are missing: {name_some(missing)}"
        super().__init__(
            f"this training learns from the HR image of each of its {images} VLR images, by the same name in {folder}; "
            f"{which}",
            'add them, or remove the VLR images that have none; or train by "recipe": "guide", which needs none',
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
            f"no epoch can be chosen by {folder}: it has subjects that train lacks, so accuracy does not serve, and no "
            "VLR image with another HR image of its own subject and one of another, so verification does not either",
            "give at least two val subjects two images each, in vlr_images/ and hr_images/",
        )


class PhotoCopied(DataError):
    code = "photo_copied"

    def __init__(self, copies: Sequence[object]) -> None:
        self.copies = copies
        count = "a photo is" if len(copies) == 1 else f"{len(copies)} photos are"
        super().__init__(
            f"the dataset leaks: {count} in it twice, in two parts or under two names: {name_some(copies)}",
            "remove one of each (its VLR and its HR image), since figures from photos that were trained on mean "
            "nothing; or allow them by name: allowed_leaks takes file names, pairs of subjects as `a=b`, or `*`",
        )


class PersonUnderTwoNames(DataError):
    code = "person_under_two_names"

    def __init__(self, pairs: Sequence[object]) -> None:
        self.pairs = pairs
        super().__init__(
            f"the dataset leaks: {name_some(pairs)} look like one person under two names",
            "give all images of a person one subject, in one part unless the split is by images; or, if they are "
            "different people, allow them by name: allowed_leaks takes pairs of subjects as `a=b`, or `*`",
        )


class NothingToCompare(DataError):
    code = "eval_not_comparable"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"nothing in {folder} can be compared: no VLR image has another HR image of its own subject and one of "
            "another subject",
            "give at least two subjects two images each, in vlr_images/ and hr_images/; the subject is the file name "
            "up to the first `_`",
        )


class FileGone(DataError):
    code = "file_gone"

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"{path} is gone: it was removed while the job ran",
            "put it back, then POST /jobs/{id}/retry goes on from the last saved state",
        )


class ChangedWhileRead(DataError):
    code = "changed_while_read"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"images in {folder} changed while they were prepared",
            "let nothing write to the dataset, then retry the job",
        )


class InputsChanged(DataError):
    code = "inputs_changed"

    def __init__(self, what: Sequence[str]) -> None:
        super().__init__(
            f"{name_some(what)} changed since the state was saved that this training would go on from",
            "put the files back and retry the job, or train from the start: POST /jobs/{id}/retry?from=start",
        )


class WeightsError(EdgefaceError):
    code = "weights_invalid"
    blame: Blame = "request"


class WeightsUnreadable(WeightsError):
    code = "weights_unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is not a readable PyTorch weights file: {reason}",
            "give a file that torch.save wrote; download it again if it may be cut short",
        )


class WeightsUnsafe(WeightsError):
    code = "weights_unsafe"

    def __init__(self, path: Path, pickled: str) -> None:
        super().__init__(
            f"{path} holds the pickled object {pickled}; loading it could run code, so it is refused",
            "save the bare state dict where it was made: torch.save(model.state_dict(), path)",
        )


class WeightsQuantized(WeightsError):
    code = "weights_quantized"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is quantised to int8 (a `_q` file), and int8 weights cannot be fine-tuned",
            "use the float32 file of the same model, such as edgeface_xxs.pt instead of edgeface_xxs_q.pt",
        )


class WeightsMismatch(WeightsError):
    code = "weights_mismatch"

    def __init__(self, path: Path | str, architecture: str, difference: str) -> None:
        super().__init__(
            f"{path} does not fit {architecture}: {difference}",
            "weights are loaded strictly, since a partly loaded model trains noise: give the file of this architecture",
        )


class TrainingDiverged(EdgefaceError):
    code = "training_diverged"
    blame: Blame = "request"


class EnlargementNotFinite(TrainingDiverged):
    code = "dsr_not_finite"

    def __init__(self, dsr: Path, images: int) -> None:
        super().__init__(
            f"the DSR network in {dsr} gave NaN or infinity for {images} images",
            'give weights trained for faces in [0, 1], or leave "dsr" at "bicubic"',
        )


class LossNotFinite(TrainingDiverged):
    code = "loss_not_finite"

    def __init__(self, stage: int, epoch: int) -> None:
        super().__init__(
            f"the loss became NaN or infinity in epoch {epoch} of stage {stage}, and this after going back to the last "
            "good state with a lower learning rate; no checkpoint was written from it",
            "lower head_lr in stage 1, backbone_lr and head_lr_stage2 in stage 2; "
            'if mixed_precision is fp16, try "bf16" or "off"',
        )


class DsrLossNotFinite(TrainingDiverged):
    code = "dsr_loss_not_finite"

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(
            f"the loss of the DSR network became NaN or infinity at step {step} of epoch {epoch}; no weight was moved "
            "by it",
            "lower lr and submit the training again; if it goes on from `dsr` weights, see that those are trained for "
            "faces in [0, 1]",
        )


class OutOfMemory(EdgefaceError):
    code = "out_of_memory"
    blame: Blame = "request"

    def __init__(self, micro_batch_size: int) -> None:
        super().__init__(
            f"the device ran out of memory even with {micro_batch_size} image at a time",
            "choose a smaller backbone, or a device with more free memory (is another program using it?)",
        )


class DiskFull(EdgefaceError):
    code = "disk_full"

    def __init__(self, path: Path) -> None:
        super().__init__(f"no space left to write {path}", "free space on that disk: the job goes on by itself then")


class DeviceUnavailable(EdgefaceError):
    code = "device_unavailable"
    blame: Blame = "request"

    def __init__(self, device: str, available: Sequence[str]) -> None:
        super().__init__(
            f"device {device!r} is not available on this worker (it has {name_some(available)})",
            'set "device" to "auto", or start a worker on a machine that has the device',
        )
