"""Suggests the field that an unknown name may mean."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from app.finetune.deprecations import RENAMED_FIELDS
from app.finetune.job_kinds import KINDS

MOST_SUGGESTIONS = 3

LONGEST_NAME = 100
"""Characters of an unknown name for which similar ones are searched. The time grows with their square."""

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("lr", "backbone_lr", "head_lr", "head_lr_stage2"),
    "lr": ("backbone_lr", "head_lr", "head_lr_stage2"),
    "epoch": ("epochs", "stage1_epochs", "stage2_epochs"),
    "model": ("edgeface",),
    "weights": ("edgeface",),
    "backbone": ("edgeface",),
    "checkpoint": ("edgeface",),
    "pretrained": ("edgeface",),
    "data": ("dataset",),
    "data_dir": ("dataset",),
    "dataset_dir": ("dataset",),
    "folder": ("dataset",),
    "root": ("dataset",),
    "path": ("dataset",),
    "test_dir": ("eval_dir", "val_dir"),
    "validation_dir": ("val_dir", "eval_dir"),
    "baseline": ("before",),
    "sr": ("dsr",),
    "super_resolution": ("dsr",),
    "bs": ("batch_size",),
    "threads": ("num_workers",),
    "wd": ("weight_decay",),
    "amp": ("mixed_precision",),
    "fp16": ("mixed_precision",),
    "bf16": ("mixed_precision",),
    "dtype": ("mixed_precision",),
    "gpu": ("device",),
    "cuda": ("device",),
    "resolution": ("vlr_size", "vlr_sizes"),
    "lr_size": ("vlr_size", "vlr_sizes"),
    "preset": ("recipe",),
}
"""Fields by the names that other programs give them. Only those of the config are suggested."""

_PREFIXES = ("num_", "n_", "max_", "total_", "init_", "initial_")

_PARAMETERS: Mapping[str, str] = {
    "priority": "it is a parameter of the request: POST {path}?priority=N, or submit --priority N",
    "dry_run": "it is a parameter of the request: POST {path}?dry_run=true, or submit --dry-run",
    "idempotency_key": "it is a header of the request: Idempotency-Key, or submit --idempotency-key KEY",
    "kind": "the path of the request selects the kind of job: POST {path} here",
}
"""What people look for in the config that is not in it. `{path}` is the path that takes the config."""


def suggest_field(name: str, config: type[BaseModel] | None) -> str:
    """Return the end of a sentence that suggests what `name` may mean, as in `; did you mean batch_size?`, or ""."""
    if config is None or len(name) > LONGEST_NAME:
        return ""
    fields = similar_fields(name, config)
    if fields:
        return f"; did you mean {one_of(fields)}?"
    plain, kind = _snake_case(name), next((kind for kind in KINDS.values() if kind.config is config), None)
    if kind is not None and plain in _PARAMETERS:
        return f"; {_PARAMETERS[plain].format(path=kind.path)}"
    others = [kind for kind in KINDS.values() if plain in kind.config.model_fields]
    return f"; it is a field of {others[0].title} (POST {others[0].path})" if others else ""


def one_of(names: Sequence[str]) -> str:
    """As in `a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def similar_fields(name: str, config: type[BaseModel]) -> list[str]:
    """Return the fields of the config that `name` may mean, the likeliest first."""
    return list(dict.fromkeys(_candidates(_snake_case(name), list(config.model_fields))))[:MOST_SUGGESTIONS]


def _candidates(name: str, fields: list[str]) -> Iterator[str]:
    """Yield from the first way that finds any: another spelling, a former name, a synonym, a part of the name, a typing
    error."""
    bare = next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
    for each in dict.fromkeys((name, bare)):
        known = (each, RENAMED_FIELDS.get(each, each), *_SYNONYMS.get(each, ()))
        if found := [field for field in known if field in fields]:
            yield from found
            return
        parts = set(each.split("_"))
        if found := [field for field in fields if parts <= set(field.split("_"))]:
            yield from found
            return
    yield from get_close_matches(name, fields, n=MOST_SUGGESTIONS, cutoff=0.7)


def _snake_case(name: str) -> str:
    """`batchSize`, `batch-size` and `Batch Size` become `batch_size`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s.-]+", "_", words).lower()
