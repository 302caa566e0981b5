"""Presets for the fields that a config leaves out. `guide` is the defaults of FinetuneConfig themselves."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from app.finetune.job_warning import JobWarning

Recipe = Literal["guide", "recommended"]

RECOMMENDED: Mapping[str, Any] = {
    "stage1_epochs": 0,
    "stage2_epochs": 60,
    "batch_size": 64,
    "backbone_lr": 1e-4,
    "head_lr_stage2": 1e-3,
    "early_stop_patience": 0,
    "val_interval": 5,
    "keep": "last",
    "warmup": 0.05,
    "interpolation": 0.7,
    "synthetic_identities": 768,
}

RECIPES: Mapping[str, Mapping[str, Any]] = {"guide": {}, "recommended": RECOMMENDED}


def with_recipe(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields, completed by the preset that `recipe` names. An unknown recipe adds none."""
    recipe = values.get("recipe")
    return {**RECIPES.get(recipe, {}), **values} if isinstance(recipe, str) else values


_NAMES = frozenset({"recipe", "dataset", "train_dir", "val_dir", "eval_dir"})
"""What a job is about, and no choice of how it is done."""


def changed_fields(config: BaseModel) -> dict[str, Any]:
    """The fields of a config that differ from its recipe, or without one from the defaults."""
    values, defaults = config.model_dump(), type(config).model_construct().model_dump()
    expected: dict[str, Any] = {**defaults, **RECIPES.get(values.get("recipe", ""), {})}
    return {name: value for name, value in values.items() if name not in _NAMES and value != expected.get(name)}


_TESTED_VIEWS = 18_000
_MANY_VIEWS = 40_000


def views_warning(*, synthetic_identities: int, stage2_epochs: int, train_images: int) -> JobWarning | None:
    """Return a warning if a training with synthetic identities shows many more faces than any tested one."""
    views = stage2_epochs * train_images
    if not synthetic_identities or views <= _MANY_VIEWS:
        return None
    return JobWarning(
        code="more_views_than_measured",
        message=f"stage 2 would show {views:,} faces: {stage2_epochs} epochs of {train_images:,} images. The "
        f"recommended recipe was tested with {_TESTED_VIEWS:,} (60 epochs of 300 images); with more faces, the model "
        f"memorised small sets of identities. Set stage2_epochs to about "
        f"{max(1, round(_TESTED_VIEWS / train_images))} and raise it while val improves, or raise "
        "synthetic_identities",
    )
