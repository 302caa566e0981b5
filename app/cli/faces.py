"""`edgeface-finetune compare-faces` and `embed`: a model of a running service tried on photos."""

from pathlib import Path

import click

from app.cli.connecting import connect, url_option

_PHOTO = click.Path(exists=True, dir_okay=False, path_type=Path)

_model_option = click.option("--model", required=True, help="A weights name or job:ID, as in configs.")
_align_option = click.option(
    "--align/--no-align",
    default=True,
    show_default=True,
    help="Whether faces are found and aligned, or the photos are faces that are cropped already.",
)


@click.command("compare-faces")
@click.argument("probe", metavar="A", type=_PHOTO)
@click.argument("gallery", metavar="B...", type=_PHOTO, nargs=-1, required=True)
@_model_option
@_align_option
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@url_option
def compare_faces(probe: Path, gallery: tuple[Path, ...], model: str, align: bool, as_json: bool, url: str) -> None:
    """Say whether the photos A and B show one person, by the model and by the weights that it was made from.

    With several photos B, the most similar one comes first. The service keeps no photo.
    """
    with connect(url) as client:
        answer = client.compare_faces(model, probe, gallery, align=align, on_status=_print_waiting)
    if as_json:
        click.echo(answer.model_dump_json(indent=2))
        return
    click.echo(answer.sentence)
    for match in answer.matches:
        before = "" if match.before is None else f"  before {match.before.similarity:.3f} ({match.before.answer})"
        click.echo(f"{match.photo.name}  {match.after.similarity:.3f} ({match.after.answer}){before}")
    if answer.why_no_before is not None:
        click.echo(f"Nothing to compare with: {answer.why_no_before}.")


@click.command()
@click.argument("photos", type=_PHOTO, nargs=-1, required=True)
@_model_option
@_align_option
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="NumPy file: `names`, and `embeddings`, float32 [N, 512], L2-normalised.",
)
@url_option
def embed(photos: tuple[Path, ...], model: str, align: bool, out: Path, url: str) -> None:
    """Write the embeddings of the faces in PHOTOS to a file of NumPy, at most 50 photos in one request."""
    try:
        import numpy as np
    except ModuleNotFoundError:
        raise click.UsageError("the file is written by NumPy, which is not installed: pip install numpy") from None
    from app.finetune.atomic import atomic_file

    found: list[list[float]] = []
    with connect(url) as client:
        for first in range(0, len(photos), _AT_ONCE):
            some = photos[first : first + _AT_ONCE]
            answer = client.embed(model, some, align=align, on_status=_print_waiting)
            found += [each.embedding for each in answer.embeddings]
    with atomic_file(out) as file:
        np.savez(file, names=np.array([str(photo) for photo in photos]), embeddings=np.array(found, np.float32))
    click.echo(out)


_AT_ONCE = 8
"""Photos in one request, which has 20 MB at most."""


def _print_waiting(status: str) -> None:
    click.echo(f"the ONNX file of the model is made first: the job is {status}", err=True)
