"""`dataset`, which is short for train_dir and val_dir in the configs of trainings."""

from app.finetune.dataset import TRAIN_FOLDER, VAL_FOLDER


def with_directories(values: object) -> object:
    """The fields as given, and the directories that `dataset` stands for where they are not given themselves."""
    if isinstance(values, dict) and isinstance(values.get("dataset"), str):
        name = values["dataset"].rstrip("/")
        return {
            **values,
            "train_dir": values.get("train_dir") or f"{name}/{TRAIN_FOLDER}",
            "val_dir": values.get("val_dir") or f"{name}/{VAL_FOLDER}",
        }
    return values


def refuse_unnamed_directories(**directories: str | None) -> None:
    """Raises ValueError naming those that are None."""
    if missing := " and ".join(name for name, directory in directories.items() if directory is None):
        raise ValueError(f"{missing} missing: name a dataset, or both train_dir and val_dir")
