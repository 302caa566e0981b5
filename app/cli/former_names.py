"""Lines about former names on the terminal."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.finetune.deprecations import FormerNameWarning


@contextmanager
def print_former_names() -> Iterator[None]:
    """Print each FormerNameWarning as a line instead of Python's two with the source."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", FormerNameWarning)
        default = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *arguments: object) -> None:
            if issubclass(category, FormerNameWarning):
                click.echo(f"warning: {message}", err=True)
            else:
                default(message, category, *arguments)  # type: ignore[arg-type]

        warnings.showwarning = show  # type: ignore[assignment]
        yield
