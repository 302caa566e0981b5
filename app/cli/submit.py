"""`edgeface-finetune submit`."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from app.cli.connecting import connect, url_option
from app.cli.job_ids import with_whole_ids
from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import query_messages
from app.finetune.job_kinds import FINETUNING, KINDS, dry_run_of, submitted_apart

if TYPE_CHECKING:
    from app.client import Client


class _Submit(click.Command):
    """Accepts `--dry-run` and `--dry-run=VALUE`. click would take the CONFIG that follows `--dry-run` as VALUE."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for message in query_messages([("dry_run", arg.removeprefix("--dry-run=")) for arg in args]):
            click.echo(f"warning: {message}", err=True)
        return super().parse_args(ctx, [_FLAG_OF_DRY_RUN.get(arg, arg) for arg in args])


_FLAG_OF_DRY_RUN = {
    "--dry-run=true": "--dry-run",
    "--dry-run=estimate": "--estimate",
    "--dry-run=measure": "--estimate",
}


_FLAG_OF_KIND = {kind.name: f"--{kind.name.replace('_', '-')}" for kind in submitted_apart()}


def _kind_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for each kind of job that has a path of its own."""
    for name, flag in reversed(_FLAG_OF_KIND.items()):
        text = f"CONFIG describes {KINDS[name].title} (POST {KINDS[name].path})."
        function = click.option(flag, name, is_flag=True, help=text)(function)
    return function


@click.command(cls=_Submit)
@click.argument("config", type=click.File("rb"), required=False)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field, in place of CONFIG's. May be repeated: --set dataset=orl16 --set backbone_lr=1e-4.",
)
@click.option(
    "--sweep",
    "swept",
    multiple=True,
    metavar="FIELD=VALUE,VALUE",
    help="Queue a fine-tuning for each value, and for each combination if repeated: --sweep backbone_lr=1e-5,1e-4 "
    "--sweep seed=1,2,3. Prints the name of the sweep; `sweep NAME` shows its table.",
)
@click.option(
    "--optuna",
    "trials",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Search the values of --sweep, such as backbone_lr=1e-6..1e-3, by N jobs one after the other, for the highest "
    "score on val. Needs --name; the study is NAME.optuna.log in this folder, from which the same command continues.",
)
@click.option("--name", default="", help="Name of the job, or of the sweep.")
@click.option("--tag", "tags", multiple=True, help="Tag of the job. May be repeated.")
@click.option("--notes", default="", help="Notes about the job.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Validate the config and print it; queue nothing. --dry-run=estimate: let a worker run some steps, and print "
    "the time, memory and disk that the job would need.",
)
@click.option("--estimate", is_flag=True, hidden=True)
@_kind_flags
@click.option("--json", "as_json", is_flag=True, help="Print the result of --dry-run=estimate as JSON.")
@click.option(
    "--priority",
    default=0,
    show_default=True,
    type=click.IntRange(-100, 100),
    help="Higher priorities run first.",
)
@click.option("--idempotency-key", help="Repeating CONFIG with the same key makes one job.")
@click.option("--watch", "watching", is_flag=True, help="Watch the job until it ends.")
@url_option
def submit(
    config: BinaryIO | None,
    settings: tuple[str, ...],
    swept: tuple[str, ...],
    trials: int | None,
    name: str,
    tags: tuple[str, ...],
    notes: str,
    dry_run: bool,
    estimate: bool,
    as_json: bool,
    priority: int,
    idempotency_key: str | None,
    watching: bool,
    url: str,
    **kinds: bool,
) -> None:
    """Queue the job that CONFIG describes, a file of JSON or YAML (`-` reads the standard input). Prints its id.

    Without CONFIG, --set sets all fields. A field like `edgeface: job:ID` takes the short ids that other commands take.
    """
    chosen = [kind for kind in _FLAG_OF_KIND if kinds[kind]]
    if len(chosen) > 1:
        flags = " and ".join(_FLAG_OF_KIND[kind] for kind in chosen)
        raise click.UsageError(f"{flags} exclude each other: leave one out")
    kind = chosen[0] if chosen else FINETUNING
    if (dry_run or estimate) and dry_run_of(kind) is None:
        raise click.UsageError(f"{KINDS[kind].title} has no dry run: leave --dry-run out")
    if swept and (kind != FINETUNING or dry_run or estimate or tags or notes):
        raise click.UsageError("--sweep queues fine-tunings: leave dry runs, other kinds, --tag and --notes out")
    if trials is not None and not (swept and name):
        raise click.UsageError("--optuna needs --name and --sweep, such as --sweep backbone_lr=1e-6..1e-3")
    if config is None and not settings:
        raise click.UsageError("give a file CONFIG, or fields by --set, such as --set dataset=orl16")
    from app.cli.config_text import read_config, set_fields

    content = set_fields({} if config is None else read_config(config), settings, KINDS[kind].config)
    with connect(url) as client:
        content = with_whole_ids(client, content, KINDS[kind])
        if trials is not None:
            _search(client, content, swept, name, priority, trials)
            return
        if swept:
            _submit_sweep(client, content, swept, name, priority, idempotency_key, watching=watching)
            return
        if dry_run:
            click.echo(client.dry_run(content).model_dump_json(indent=2))
            return
        if estimate:
            result = client.estimate(
                content, priority=priority, on_status=lambda reason: click.echo(f"estimating: {reason}", err=True)
            )
            if as_json:
                click.echo(result.model_dump_json(indent=2))
            else:
                from app.cli.durations import estimate_lines

                click.echo("\n".join(estimate_lines(result)))
            return
        job = client.submit(
            content,
            kind=kind,
            priority=priority,
            name=name,
            tags=tags,
            notes=notes,
            idempotency_key=idempotency_key,
        )
    for warning in job.warnings:
        click.echo(f"warning: {warning.message}", err=True)
    click.echo(job.id)
    if watching:
        from app.cli.live import watch_to_the_end

        watch_to_the_end(url, job.id)


def _submit_sweep(
    client: "Client",
    content: dict[str, Any],
    swept: tuple[str, ...],
    name: str,
    priority: int,
    idempotency_key: str | None,
    *,
    watching: bool,
) -> None:
    from rich.console import Console

    from app.cli.config_text import swept_fields
    from app.cli.sweeps import new_name, sweep_table, watch_sweep

    fields = swept_fields(swept, FinetuneConfig)
    shared = {field: value for field, value in content.items() if field not in fields}
    made = client.submit_sweep(name or new_name(), shared, fields, priority=priority, idempotency_key=idempotency_key)
    click.echo(made.name)
    if watching:
        click.echo("\n".join(sweep_table(watch_sweep(client, made.name, Console(stderr=True)))))


def _search(
    client: "Client", content: dict[str, Any], swept: tuple[str, ...], name: str, priority: int, trials: int
) -> None:
    if find_spec("optuna") is None:
        raise click.UsageError("--optuna needs the extra optuna: pip install optuna")
    from app.cli.optuna_search import Search, run_search

    run_search(client, Search(name, content, swept, priority), Path(), trials, click.echo)
