"""Click options made from the fields of a config, and configs from options or files."""

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.finetune.config import OF_JOB
from app.finetune.deprecations import RENAMED_FIELDS
from app.finetune.deprecations import field_messages as former_name_messages
from app.finetune.errors import ConfigError
from app.finetune.field_messages import field_messages
from app.finetune.field_names import one_of, similar_fields
from app.finetune.json_text import read_object

Command = Callable[..., None]
_Config = TypeVar("_Config", bound=BaseModel)

_DIRECTORIES = ("dataset", "train_dir", "val_dir", "eval_dir")
_WEIGHTS = ("edgeface", "before", "dsr")


class ConfigCommand(click.Command):
    """A command whose options are the fields of a config. For an unknown option it suggests those of similar fields."""

    config: type[BaseModel]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name.lstrip("-")
            similar = [_flag(field) for field in similar_fields(name, self.config)]
            if not similar:
                raise
            text = f"No such option {error.option_name!r}. Did you mean {one_of(similar)}?"
            raise click.NoSuchOption(error.option_name, text, ctx=ctx) from None


def config_command(config: type[BaseModel]) -> type[ConfigCommand]:
    """Return the class of a command whose options are the fields of `config`."""
    return type("ConfigCommand", (ConfigCommand,), {"config": config})


def config_options(config: type[BaseModel]) -> Callable[[Command], Command]:
    """Return a decorator that adds one option per field, and a hidden one per former field name."""

    def decorate(command: Command) -> Command:
        for former, current in RENAMED_FIELDS.items():
            if current in config.model_fields:
                command = click.option(_flag(former), former, hidden=True)(command)
        for name, field in reversed(config.model_fields.items()):
            command = _option(name, field)(command)
        return command

    return decorate


def validated(config: type[_Config], given: Mapping[str, Any]) -> _Config:
    """Build the config from the options that were given; the recipe fills the others.

    Raises ConfigError, naming the fields.
    """
    context = click.get_current_context()
    by_default = click.core.ParameterSource.DEFAULT
    fields = {name: value for name, value in given.items() if context.get_parameter_source(name) is not by_default}
    return _validated(config, fields, f"edgeface-finetune {context.info_name} --help lists every option")


def validated_json(config: type[_Config], file: BinaryIO) -> _Config:
    """Build the config from a file that holds one JSON object.

    Raises ConfigError, naming the fields, or line and column of what is no JSON.
    """
    fields = read_object(file.read(), file.name)
    return _validated(config, fields, "correct the fields named; docs/reference.md lists every field")


def _validated(config: type[_Config], fields: Mapping[str, Any], hint: str) -> _Config:
    """Build the config. Print a warning for each former field name."""
    for message in former_name_messages(fields):
        click.echo(f"warning: {message}", err=True)
    for name in _WEIGHTS:
        if str(fields.get(name)).startswith(OF_JOB):
            of_kind = "" if name == "dsr" else " --format backbone"
            raise ConfigError(
                f"{name}: {fields[name]!r} names the weights of a service's job, but this command takes a path",
                f"run edgeface-finetune download JOB{of_kind} and give the downloaded file",
            )
    try:
        return config.model_validate(fields)
    except ValidationError as invalid:
        wrong = [f"{field}: {message}" for field, message in field_messages(invalid.errors(), config)]
        raise ConfigError("; ".join(wrong), hint) from None


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = _flag(name)
    if field.annotation is bool:
        return click.option(flag, name, is_flag=True, default=field.default, help=field.description)
    if get_origin(field.annotation) is tuple:
        return click.option(flag, name, multiple=True, help=f"{field.description} May be repeated.", metavar="TEXT")
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else None
    return click.option(
        flag,
        name,
        type=click.Choice(choices) if choices else click.STRING,
        help=field.description,
        metavar=None if choices else _metavar(name, field),
        default=None if field.default is None else str(field.default),
        show_default=True,
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _metavar(name: str, field: FieldInfo) -> str:
    if name in _DIRECTORIES:
        return "DIR"
    if name in _WEIGHTS:
        return "FILE"
    return "NUMBER" if field.annotation in (int, float, int | None) else "TEXT"
