"""`edgeface-finetune dataset check`: what a job would refuse of a dataset, or warn of."""

import click


@click.command()
@click.argument("dataset", metavar="NAME_OR_FOLDER")
@click.option(
    "--allow-leak",
    multiple=True,
    metavar="NAME",
    help="Leak to accept, as in a job's allowed_leaks: FILE, a=b or *. May be repeated.",
)
@click.option("--subject-pattern", metavar="PATTERN", help="Pattern of the dataset's record. Default: the manifest's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(dataset: str, allow_leak: tuple[str, ...], subject_pattern: str | None, as_json: bool) -> None:
    """Check a dataset: a folder, or a name in the datasets root, as in a config. Exit status 2 if it cannot be trained
    on.

    A photo in two splits or under two names is a leak. Only a job finds people under two names, since that needs a
    backbone.
    """
    from app.cli.run.dataset_check import check_and_print

    check_and_print(dataset, allow_leak, subject_pattern, as_json=as_json)
