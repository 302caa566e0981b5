"""A config's fields as flags of a command, so that no list of them can fall behind it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.finetune.config import OF_JOB
from app.finetune.errors import ConfigError

Command = Callable[..., None]
_Config = TypeVar("_Config", bound=BaseModel)

_DIRECTORIES = ("dataset", "train_dir", "val_dir", "eval_dir")
_WEIGHTS = ("edgeface", "before", "dsr")


def config_options(config: type[BaseModel]) -> Callable[[Command], Command]:
    """A flag for every field."""

    def decorate(command: Command) -> Command:
        for name, field in reversed(config.model_fields.items()):
            command = _option(name, field)(command)
        return command

    return decorate


def validated(config: type[_Config], given: Mapping[str, Any]) -> _Config:
    """What was given by flags, and else the config's defaults. Raises ConfigError, naming the fields."""
    context = click.get_current_context()
    by_default = click.core.ParameterSource.DEFAULT  # not given: a recipe may have another default
    fields = {name: value for name, value in given.items() if context.get_parameter_source(name) is not by_default}
    return validated_fields(config, fields)


def validated_fields(config: type[_Config], fields: Mapping[str, Any]) -> _Config:
    """Raises ConfigError, naming the fields."""
    for name in _WEIGHTS:
        if str(fields.get(name)).startswith(OF_JOB):
            of_kind = "" if name == "dsr" else " --format backbone"
            raise ConfigError(
                f"{name}: {fields[name]!r} names weights of a service's job; here weights are files",
                f"fetch them first, by edgeface-finetune download JOB{of_kind}, and give that file",
            )
    try:
        return config.model_validate(fields)
    except ValidationError as invalid:
        wrong = [f"{'.'.join(map(str, error['loc'])) or 'config'}: {error['msg']}" for error in invalid.errors()]
        command = click.get_current_context().info_name
        raise ConfigError("; ".join(wrong), f"see edgeface-finetune {command} --help for every option") from None


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = f"--{name.replace('_', '-')}"
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


def _metavar(name: str, field: FieldInfo) -> str:
    if name in _DIRECTORIES:
        return "DIR"
    if name in _WEIGHTS:
        return "FILE"
    return "NUMBER" if field.annotation in (int, float, int | None) else "TEXT"
