"""The `dataset` field of training configs, which sets train_dir and val_dir."""

from app.finetune.dataset_folders import TRAIN_FOLDER, VAL_FOLDER


def with_directories(values: object) -> object:
    """Return the fields, with the directories that `dataset` sets where they are left out."""
    if isinstance(values, dict) and isinstance(values.get("dataset"), str):
        name = values["dataset"].rstrip("/")
        return {
            **values,
            "train_dir": values.get("train_dir") or f"{name}/{TRAIN_FOLDER}",
            "val_dir": values.get("val_dir") or f"{name}/{VAL_FOLDER}",
        }
    return values


def refuse_unnamed_directories(**directories: str | None) -> None:
    """Raise ValueError naming the directories that are None."""
    if missing := " and ".join(name for name, directory in directories.items() if directory is None):
        raise ValueError(f"{missing} missing: name a dataset, or both train_dir and val_dir")
