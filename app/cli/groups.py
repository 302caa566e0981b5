"""Command groups that import a command when it is called."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that also has `lazy_commands` (`module:attribute` by name) and the commands of an entry point group."""

    def __init__(
        self, *arguments: Any, lazy_commands: Mapping[str, str], entry_point_group: str, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._lazy = lazy_commands
        self._entry_point_group = entry_point_group

    def list_commands(self, ctx: click.Context) -> list[str]:
        installed = (entry.name for entry in entry_points(group=self._entry_point_group))
        return sorted({*super().list_commands(ctx), *self._lazy, *installed})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in self._lazy:
            module, attribute = self._lazy[cmd_name].split(":")
            command = getattr(import_module(module), attribute)
        for entry in entry_points(group=self._entry_point_group, name=cmd_name):
            command = command or entry.load()
        return command
