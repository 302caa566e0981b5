"""Command groups that import a command when it is called, and none to list them."""

import ast
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group of `lazy_commands`, `module:attribute` by name, and of those of an entry point group.

    The list of `--help` and of the shell's completion takes the first sentence of each command from its source: to
    import all commands takes seconds.
    """

    def __init__(
        self, *arguments: Any, lazy_commands: Mapping[str, str], entry_point_group: str | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._lazy = lazy_commands
        self._entry_point_group = entry_point_group

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._places()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._lazy.get(cmd_name) or self._installed.get(cmd_name)
        return super().get_command(ctx, cmd_name) if place is None else _load(place)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click suggests none of the lazy ones.
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        width = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name, width)) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=self._summary(ctx, name)) for name in names]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def _places(self) -> Mapping[str, str]:
        return {**self._installed, **self._lazy}

    @cached_property
    def _installed(self) -> Mapping[str, str]:
        if self._entry_point_group is None:
            return {}
        from importlib.metadata import entry_points

        return {entry.name: entry.value for entry in entry_points(group=self._entry_point_group)}

    def _summary(self, ctx: click.Context, name: str, width: int = 45) -> str:
        place = self._places().get(name)
        docstring = None if place is None else _docstring(place)
        command = self.get_command(ctx, name) if docstring is None else click.Command(name, help=docstring)
        return "" if command is None else command.get_short_help_str(width)


def _load(place: str) -> click.Command:
    module, attribute = place.split(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


def _docstring(place: str) -> str | None:
    """Return the docstring of the function at `module:attribute` without importing the module. None: it has none, or
    it is no function of the source."""
    module, attribute = place.split(":")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    for node in ast.parse(Path(spec.origin).read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            return ast.get_docstring(node)
    return None
