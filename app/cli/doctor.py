"""`edgeface-finetune doctor`: find and repair disagreements between database rows and files."""

import sys

import click


@click.command()
@click.option("--repair", is_flag=True, help="Repair the findings.")
@click.option("--deep", is_flag=True, help="Compare the sha256 of every file, not only its size.")
@click.option("--accept-loss", is_flag=True, help="With --repair: drop rows even if all their files are missing.")
@click.option("--gpu", is_flag=True, help="Test the GPUs of this machine instead, in about 10 seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(repair: bool, deep: bool, accept_loss: bool, gpu: bool, as_json: bool) -> None:
    """Find disagreements between database rows and files. The service may run.

    Exit status 0 if there are none or all were repaired, else 1. With --gpu: 0 if a GPU was tested and every check
    passed, else 1.
    """
    if gpu and (repair or deep or accept_loss):
        raise click.UsageError("--gpu reads no files and no database: leave --repair, --deep and --accept-loss out")
    from app.cli.run.doctor import examine_service, test_gpus

    if gpu:
        well = test_gpus(as_json=as_json)
    else:
        well = examine_service(repair=repair, deep=deep, accept_loss=accept_loss, as_json=as_json)
    sys.exit(0 if well else 1)
