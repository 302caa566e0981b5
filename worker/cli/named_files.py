"""Finds what a config names by path, and checks it as far as PyTorch is not needed, which takes seconds to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from app.finetune.checked_copy import Copies
from app.finetune.config import BICUBIC
from app.finetune.dataset_errors import FolderMissing
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import KINDS
from app.finetune.job_warning import JobWarning
from app.finetune.state_dicts import Weights
from app.inputs.weights_names import find_weights_path
from app.settings import Settings
from worker.checked_copies import keep_copies

_DIRECTORIES = ("train_dir", "val_dir", "eval_dir")


@dataclass(frozen=True)
class NamedFiles:
    """The weights files of a config, and their checked copies. `dsr` and `before` are None where the config names
    none."""

    edgeface: Path
    before: Path | None = None
    dsr: Path | None = None
    copies: Copies = field(default_factory=dict)


def find_named_files(config: JobConfig) -> NamedFiles:
    """Find and check the weights, and print the warnings about them.

    Raises FolderMissing, WeightsNotFound, and the errors of `keep_copies`.
    """
    for directory in _DIRECTORIES:
        folder = getattr(config, directory, None)
        if folder is not None and not Path(folder).is_dir():
            raise FolderMissing(Path(folder))
    settings = Settings()
    root = settings.weights_dir
    families: Mapping[str, Weights] = next(kind.weights for kind in KINDS.values() if kind.config is type(config))
    found = {}
    for role in families:
        name = getattr(config, role)
        if name in (None, BICUBIC):
            continue
        found[role] = find_weights_path(role, name, root)
    weights = {path: families[role] for role, path in found.items()}
    copies = keep_copies(weights, settings.checked_weights_dir, _warn)
    return NamedFiles(**found, copies=copies)


def _warn(warning: JobWarning) -> None:
    click.echo(f"warning: {warning.message} ({warning.code})", err=True)
