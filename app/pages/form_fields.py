"""The fields of a form, made from the schema of a config: label, meaning, range and default of each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from app.finetune.recipes import RECIPES
from app.pages.formats import config_value

Kind = Literal["number", "text", "lines", "choice", "switch"]

LABELS: Mapping[str, str] = {
    "dataset": "Dataset",
    "train_dir": "Training folder",
    "val_dir": "Validation folder",
    "allowed_leaks": "Leaks to accept",
    "edgeface": "Start from",
    "dsr": "Enlarge faces with",
    "vlr_size": "Small faces, px",
    "device": "Device",
    "mixed_precision": "Mixed precision",
    "stage1_epochs": "Epochs, stage 1",
    "stage2_epochs": "Epochs, stage 2",
    "batch_size": "Images per step",
    "num_workers": "Threads that decode",
    "head_lr": "Learning rate, head, stage 1",
    "backbone_lr": "Learning rate, recogniser",
    "head_lr_stage2": "Learning rate, head, stage 2",
    "arcface_scale": "ArcFace scale",
    "arcface_margin": "ArcFace margin",
    "weight_decay": "Weight decay",
    "label_smoothing": "Label smoothing",
    "early_stop_patience": "Stop early after",
    "val_interval": "Epochs between validations",
    "warmup": "Warm-up",
    "keep": "Epoch to export",
    "interpolation": "Interpolation with the start",
    "synthetic_identities": "Synthetic identities",
    "vlr_share": "Share of small faces",
    "hr_share": "Share of large faces",
    "smallest_view": "Smallest faces, px",
    "largest_view": "Largest faces, px",
    "contrastive_temperature": "Contrastive temperature",
    "seed": "Seed",
    "subject_pattern": "Person's name in a path",
    "split": "Split by",
    "val_fraction": "Val, share",
    "test_fraction": "Test, share",
    "align": "Find and align faces",
}
"""Plain labels by the API's names of the fields. A field without one is shown by its name."""


@dataclass(frozen=True)
class FormField:
    """`value` is what the form shows at first; `defaults` are the texts of the default by recipe. A text that is empty
    stands for the default, or for null."""

    name: str
    label: str
    kind: Kind
    value: str
    defaults: dict[str, str]
    meaning: str
    limits: str
    choices: tuple[str, ...]


def form_fields(
    config: type[BaseModel], values: Mapping[str, Any], *, only: Iterable[str] | None = None
) -> dict[str, FormField]:
    """Return the fields of a config, in its order. `values` are those that differ from the defaults.

    Recipes count for a config that has the field `recipe`. `only` are the fields to make. Raises KeyError for a name
    that the config has not.
    """
    properties: dict[str, dict[str, Any]] = config.model_json_schema()["properties"]
    recipes = RECIPES if "recipe" in properties else {"": {}}
    return {
        name: _field(name, properties[name], values, recipes)
        for name in (properties if only is None else only)
        if name != "recipe"
    }


def _field(
    name: str, schema: dict[str, Any], values: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]
) -> FormField:
    default = schema.get("default")
    typed = next((each for each in schema.get("anyOf", ()) if each.get("type") != "null"), schema)
    defaults = {recipe: field_text(preset.get(name, default)) for recipe, preset in recipes.items()}
    recipe = values.get("recipe", next(iter(recipes)))
    return FormField(
        name=name,
        label=LABELS.get(name, name),
        kind=_kind(typed),
        value=field_text(values[name]) if name in values else defaults[recipe],
        defaults=defaults,
        meaning=schema.get("description", ""),
        limits=_limits(typed),
        choices=tuple(map(str, typed.get("enum", ()))),
    )


def _kind(schema: dict[str, Any]) -> Kind:
    if "enum" in schema:
        return "choice"
    kinds: dict[str, Kind] = {"integer": "number", "number": "number", "array": "lines", "boolean": "switch"}
    return kinds.get(schema["type"], "text")


def field_text(value: Any) -> str:
    """Return a value as a person types it into the form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return config_value(value) if isinstance(value, float) else str(value)


def _limits(schema: dict[str, Any]) -> str:
    """As in `above 0 to 1`, `1 to 1000`, `0 to below 1`; empty without limits."""
    low = _bound(schema, "minimum", "exclusiveMinimum", "above ")
    high = _bound(schema, "maximum", "exclusiveMaximum", "below ")
    return f"{low} to {high}" if low and high else ""


def _bound(schema: dict[str, Any], closed: str, opened: str, word: str) -> str:
    if closed in schema:
        return f"{schema[closed]}"
    return f"{word}{schema[opened]:.4g}" if opened in schema else ""
