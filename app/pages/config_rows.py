"""The fields of a job's config, each beside the value of the recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.finetune.job_config import JobConfig
from app.finetune.recipes import RECIPES

_ABOUT = frozenset({"recipe", "dataset", "train_dir", "val_dir", "eval_dir"})
"""What a job is about, and no choice of how it is done."""


@dataclass(frozen=True)
class ConfigRow:
    """`expected` is the recipe's value, of kinds without recipes the default."""

    name: str
    value: Any
    expected: Any
    description: str

    @property
    def changed(self) -> bool:
        return self.name not in _ABOUT and self.value != self.expected


def config_rows(config: JobConfig) -> list[ConfigRow]:
    """Return a row for each field, in the order of the config."""
    values, defaults = config.model_dump(), type(config).model_construct().model_dump()
    expected = {**defaults, **RECIPES.get(str(values.get("recipe", "")), {})}
    fields = type(config).model_fields
    return [
        ConfigRow(name, value, expected.get(name), fields[name].description or "") for name, value in values.items()
    ]


def differing(configs: Sequence[JobConfig]) -> Mapping[str, list[Any]]:
    """Return the values of the fields in which the configs differ, None where one has not the field."""
    dumped = [config.model_dump() for config in configs]
    names = dict.fromkeys(name for values in dumped for name in values)
    found = {name: [values.get(name) for values in dumped] for name in names}
    return {name: values for name, values in found.items() if any(each != values[0] for each in values)}
