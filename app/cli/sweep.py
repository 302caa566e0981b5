"""`edgeface-finetune sweep`: the table of a sweep."""

import click

from app.cli.connecting import connect, url_option


@click.command()
@click.argument("name")
@click.option("--watch", "watching", is_flag=True, help="Wait until all its jobs have ended.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer of the API.")
@url_option
def sweep(name: str, watching: bool, as_json: bool, url: str) -> None:
    """Show the sweep NAME: a line for each setting, the best on val first, with mean and spread over its seeds.

    `submit --sweep` makes sweeps.
    """
    from rich.console import Console

    from app.cli.sweeps import sweep_table, watch_sweep

    with connect(url) as client:
        view = watch_sweep(client, name, Console(stderr=True)) if watching else client.sweep(name)
    click.echo(view.model_dump_json(indent=2) if as_json else "\n".join(sweep_table(view)))
