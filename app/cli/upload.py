"""`edgeface-finetune upload`: send a file or a folder to a service, and make a dataset or weights of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from app.cli.connecting import url_option

_DATASET, _WEIGHTS = "dataset", "weights"

_IMPORT_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--subject-pattern", help="Which part of a path is the subject. Default: the first folder."),
    click.option(
        "--vlr-size", type=click.IntRange(4, 111), help="Side of the VLR images that are made.  [default: 16]"
    ),
    click.option("--split", type=click.Choice(["subjects", "images"]), help="Of the parts.  [default: subjects]"),
    click.option("--val-fraction", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="[default: 0.2]"),
    click.option(
        "--test-fraction", type=click.FloatRange(0, 1, max_open=True), help="0: no test part.  [default: 0.2]"
    ),
    click.option("--seed", type=click.IntRange(0), help="Of the split.  [default: 42]"),
    click.option("--align", is_flag=True, default=None, help="Detect and align the faces."),
    click.option("--allow-leak", "allowed_leaks", multiple=True, help="As of `dataset build`; may be repeated."),
)


def _import_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_IMPORT_OPTIONS):
        function = option(function)
    return function


@click.command()
@click.argument("path", metavar="FILE_OR_FOLDER", type=click.Path(exists=True, path_type=Path))
@click.option("--as", "becomes", type=click.Choice([_DATASET, _WEIGHTS]), help="Make it a dataset, or weights.")
@click.option("--name", help="Of the dataset or the weights. Default: that of the file or folder.")
@_import_options
@click.option("--watch", "watching", is_flag=True, help="Watch the job that makes the dataset until it ends.")
@url_option
def upload(path: Path, becomes: str | None, name: str | None, watching: bool, url: str, **options: Any) -> None:
    """Send FILE_OR_FOLDER to a service. Prints the id of the upload, that of the job which makes the dataset, or the
    weights.

    A folder is sent as a tar file, without hidden files. After a lost connection it goes on; the same command goes on
    where a killed one was. Exit status 1 if the job that is watched does not succeed.
    """
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if becomes is None and name is not None:
        raise click.UsageError("--name names a dataset or weights: add --as dataset or --as weights")
    if becomes != _DATASET and (given or watching):
        raise click.UsageError("the options of a dataset and --watch need --as dataset")
    from app.cli.sending import connect_to_send, send

    with connect_to_send(url) as client:
        sent = send(client, path)
        if becomes is None:
            click.echo(sent.id)
            return
        if becomes == _WEIGHTS:
            weights = client.receive_weights(name or path.name, sent.id)
            click.echo(f"{weights.name}  {weights.network}  sha256 {weights.sha256}")
            return
        dataset = name or path.absolute().name.partition(".")[0]
        job = client.import_dataset(dataset, sent.id, options=given)
    click.echo(job.id)
    if watching:
        from app.cli.live import watch_to_the_end

        watch_to_the_end(url, job.id)
