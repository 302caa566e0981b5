"""Errors of the folders and file names of a dataset. All errors are drawn in app/finetune/error_tree.py."""

from collections.abc import Sequence
from pathlib import Path

from app.finetune.counted import by_number, counted
from app.finetune.errors import ConfigError, DataError, name_some


class SubjectPatternInvalid(ConfigError):
    code = "subject_pattern_invalid"

    def __init__(self, text: str, reason: str, names: Sequence[str]) -> None:
        super().__init__(
            f"subject_pattern: {text!r} is no pattern: {reason}",
            f"use {', '.join(names)}, or a regular expression of the image's path without suffix whose first group is "
            r"the subject, such as (.+)_\d+",
        )


class DatasetNameTaken(DataError):
    code = "dataset_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is a dataset or a folder {name!r} already",
            "choose another name: GET /datasets lists those that are taken",
        )


class DatasetHidesUpload(DataError):
    code = "dataset_hides_upload"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the folder {name!r} in the datasets' root has the name of a dataset that was uploaded, and hides it",
            f"rename the folder, or delete the uploaded dataset: DELETE /datasets/{name}?files=true",
        )


class FolderMissing(DataError):
    """`similar` is the name of a folder beside it that may be meant."""

    code = "dataset_folder_missing"

    def __init__(self, folder: Path, images_beside: int = 0, similar: str | None = None) -> None:
        beside = f", but {folder.parent} itself has {counted(images_beside, 'image')}" if images_beside else ""
        if similar is not None:
            beside = f", but {folder.parent} has {similar}: names of folders are compared letter by letter"
        super().__init__(
            f"{folder} does not exist{beside}",
            f"rename the folder: mv {folder.parent / similar} {folder}"
            if similar is not None
            else "a dataset contains train_processed/{vlr_images,hr_images} and val_processed/{vlr_images,hr_images}; "
            "`edgeface-finetune dataset build` makes one from a folder per subject",
        )


class FolderUnreadable(DataError):
    code = "dataset_folder_unreadable"

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"{folder} cannot be listed: {error.strerror}",
            "allow the service's user (uid 10001 in the container images) to read it: chmod -R a+rX",
        )


class FilesNotRegular(DataError):
    """`entries` are names of images with what they are instead of files."""

    code = "dataset_files_not_regular"

    def __init__(self, folder: Path, entries: Sequence[str]) -> None:
        super().__init__(
            f"{counted(len(entries), 'image')} in {folder} {by_number(len(entries), 'is no file', 'are no files')}: "
            f"{name_some(entries)}",
            "remove them, or replace them by images",
        )


class LinksLeadOutside(DataError):
    """`links` are names. Where they lead is not for everybody who may use the service."""

    code = "dataset_links_outside"

    def __init__(self, folder: Path, links: Sequence[str]) -> None:
        super().__init__(
            f"{counted(len(links), 'link')} in {folder} {by_number(len(links), 'leads', 'lead')} outside the folders "
            f"that the service reads: {name_some(links)}",
            "`ls -l` shows where they lead. Copy the images into the dataset; or have the service's operator name the "
            "folder that they are in by EDGEFACE_LINKED_DIRS",
        )


class ManifestUnreadable(DataError):
    code = "dataset_manifest_unreadable"

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be read: {error.strerror or error}",
            "remove it, or replace it by the file that `dataset build` wrote, which the service's user must be allowed "
            "to read",
        )


class FolderEmpty(DataError):
    """`subfolders` and `others` are the names of what the folder contains instead."""

    code = "dataset_folder_empty"

    def __init__(self, folder: Path, subfolders: Sequence[str] = (), others: Sequence[str] = ()) -> None:
        has = [
            *([f"{counted(len(subfolders), 'folder')} ({name_some(subfolders)})"] if subfolders else []),
            *([f"{counted(len(others), 'other file')} ({name_some(others)})"] if others else []),
        ]
        hint = (
            "if each folder has the images of one subject, register the dataset with subject_pattern folder, or run "
            "`edgeface-finetune dataset build` on it"
            if subfolders
            else "add images; docs/datasets.md lists the formats"
        )
        super().__init__(f"{folder} contains no image{f', but {name_some(has)}' if has else ''}", hint)


class SubjectsNotFound(DataError):
    """`names` are the images whose name the pattern does not match, of all `images`."""

    code = "subjects_not_found"

    def __init__(self, folder: Path, names: Sequence[str], images: int, pattern: object) -> None:
        super().__init__(
            f"{folder}: {len(names)} of {counted(images, 'image')} {by_number(len(names), 'has', 'have')} no subject "
            f"({name_some(names)}); the subject is {pattern}",
            "rename the images or choose another subject_pattern: docs/datasets.md lists them",
        )


class TrainHrMissing(DataError):
    code = "train_hr_missing"

    def __init__(self, folder: Path, missing: Sequence[str], images: int, near: Sequence[tuple[str, str]] = ()) -> None:
        some = "1 has none" if len(missing) == 1 else f"{len(missing)} have none"
        which = "none has one" if len(missing) == images else some
        super().__init__(
            f"this training needs the HR image of each of its {counted(images, 'VLR image')}, with the same name in "
            f"{folder}; {which} ({name_some(missing)}){describe_near(near)}",
            'add them or remove the VLR images without one; or train with "recipe": "guide", which needs no HR images',
        )


class DatasetChanged(DataError):
    """`files` are the paths in the dataset whose content is not what the service checked, or that came or went."""

    code = "dataset_changed"

    def __init__(self, dataset: str, files: Sequence[str]) -> None:
        count = "a file differs" if len(files) == 1 else f"{len(files)} files differ"
        super().__init__(
            f"dataset {dataset}: {count} from those that the service checked: {name_some(files)}",
            "restore them and retry the job; or send POST /datasets (edgeface-finetune dataset register), then submit "
            "the job again: a retry compares with the former files",
        )


class TooFewSubjects(DataError):
    """`names` are some of its images."""

    code = "too_few_subjects"

    def __init__(self, folder: Path, subjects: Sequence[str], names: Sequence[str], pattern: object) -> None:
        super().__init__(
            f"{folder} has {counted(len(subjects), 'subject')} ({name_some(subjects)}) in its "
            f"{counted(len(names), 'image')} ({name_some(names)}); training needs at least 2",
            f"the subject is {pattern}: rename the images, or choose another subject_pattern",
        )


class NothingToSelectBy(DataError):
    """`why` and `hint` say what val has instead, and what to do."""

    code = "val_not_comparable"

    def __init__(self, folder: Path, why: str, hint: str) -> None:
        super().__init__(
            f"{folder} cannot be used to choose the best epoch: accuracy needs subjects that are in train, and "
            "verification needs a VLR image with an HR image of another photo of its subject and an HR image of "
            f"another subject; {why}",
            hint,
        )


class NothingToCompare(DataError):
    """`why` and `hint` say what the folder has instead, and what to do."""

    code = "eval_not_comparable"

    def __init__(self, folder: Path, why: str, hint: str) -> None:
        super().__init__(
            f"no two images in {folder} can be compared: no VLR image has an HR image of another photo of its subject "
            f"and an HR image of another subject; {why}",
            hint,
        )


def describe_near(near: Sequence[tuple[str, str]]) -> str:
    """A clause about names that nearly match, empty without any."""
    return near_clause(name_some([f"{first} and {second}" for first, second in near])) if near else ""


def near_clause(pairs: object) -> str:
    """The same clause, from the pairs in words."""
    return f"; names are compared letter by letter, so these do not match: {pairs}"


class FileGone(DataError):
    code = "file_gone"

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"{path} was removed while the job ran",
            "restore it, then send POST /jobs/{id}/retry: the job resumes from its last saved state",
        )
