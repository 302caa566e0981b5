"""What `recipe` sets the fields to that a job does not set itself. The guide's recipe is the config's own defaults."""

from collections.abc import Mapping
from typing import Any, Literal

Recipe = Literal["guide", "recommended"]

RECOMMENDED: Mapping[str, Any] = {
    "stage1_epochs": 0,
    "stage2_epochs": 60,
    "batch_size": 64,
    "backbone_lr": 1e-4,
    "early_stop_patience": 0,
    "val_interval": 5,
    "keep": "last",
    "warmup": 0.05,
    "invented_people": 768,
}

RECIPES: Mapping[str, Mapping[str, Any]] = {"guide": {}, "recommended": RECOMMENDED}


def with_recipe(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields as given, and those of the recipe that they name. An unknown recipe sets none."""
    recipe = values.get("recipe")
    return {**RECIPES.get(recipe, {}), **values} if isinstance(recipe, str) else values
