"""What `recipe` sets the fields to that a job does not set itself. The guide's recipe is the config's own defaults."""

from collections.abc import Mapping
from typing import Any, Literal

from app.finetune.dataset import JobWarning

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
    "invented_people": 768,
}

RECIPES: Mapping[str, Mapping[str, Any]] = {"guide": {}, "recommended": RECOMMENDED}


def with_recipe(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields as given, and those of the recipe that they name. An unknown recipe sets none."""
    recipe = values.get("recipe")
    return {**RECIPES.get(recipe, {}), **values} if isinstance(recipe, str) else values


_MEASURED_VIEWS = 18_000
_MANY_VIEWS = 40_000


def views_warning(*, invented_people: int, stage2_epochs: int, train_images: int) -> JobWarning | None:
    """Where a training with invented people shows many more faces than any that was measured."""
    views = stage2_epochs * train_images
    if not invented_people or views <= _MANY_VIEWS:
        return None
    return JobWarning(
        code="more_views_than_measured",
        message=f"stage 2 would show {views:,} faces: {stage2_epochs} epochs of {train_images:,} images. The "
        f"recommended recipe was measured at {_MEASURED_VIEWS:,} (60 epochs of 300 images); with more of them, few "
        f"people were learned by heart. Set stage2_epochs to about {max(1, round(_MEASURED_VIEWS / train_images))} "
        "and raise it by what val says, or invent more people by invented_people",
    )
