"""`pixref fsck`: compare rows and bucket."""

import sys

import click

from service.cli.output import write_json
from service.settings import Settings
from service.upkeep.fsck import Finding, Report, fsck
from service.wiring import open_rows, open_store

# What is wrong, and the way out.
_WORDS = {
    "lost": "pictures whose object is missing: upload the same files again",
    "corrupt": "pictures whose object was altered: upload the same files again",
    "mended": "pictures marked as damaged whose object is sound: --repair clears the mark",
    "astray": "objects that no row names: --repair removes them in a week",
    "models": "model versions whose files are missing or altered, or were: registering the same .keras file again heals one",
}


def _write(report: Report, *, deep: bool) -> None:
    read = f", {report.verified} pictures read" if deep else ""
    click.echo(f"{report.rows} rows and {report.objects} objects compared{read}")
    for name, words in _WORDS.items():
        finding: Finding = getattr(report, name)
        if finding.count:
            click.echo(f"{finding.count:>8}  {words}")
            click.echo("".join(f"          {example}\n" for example in finding.examples), nl=False)
    if report.leases_overdue or report.removals_overdue:
        late = f"{report.leases_overdue} abandoned uploads and {report.removals_overdue} removals are more than an hour late"
        click.echo(f"{late}: is the worker running (`pixref work`)?")
    if report.marked or report.healed or report.quarantined:
        done = f"{report.marked} pictures and models marked or cleared, {report.healed} healed from the database"
        click.echo(f"{done}, {report.quarantined} objects in quarantine")
    for reason in report.refused:
        click.echo(f"refused: {reason}", err=True)
    click.echo("clean" if report.clean else "not clean")


@click.command()
@click.option("--deep", is_flag=True, help="read every picture and compare its bytes with SHA-256")
@click.option("--repair", is_flag=True, help="mark damaged pictures, put objects that no row names into quarantine for a week")
@click.option("--force", is_flag=True, help="repair even where more than 1 % of the store is concerned")
@click.option("--json", "as_json", is_flag=True, help="print the report as JSON")
def command(deep: bool, repair: bool, force: bool, as_json: bool) -> None:
    """Compare rows and bucket, both ways. Changes nothing without --repair, and may run beside everything else.

    Exit code 0: they agree; 1: they do not.
    """
    settings = Settings.load()
    report = fsck(open_rows(settings, name="fsck"), open_store(settings), deep=deep, repair=repair, force=force)
    if as_json:
        write_json(report.to_json())
    else:
        _write(report, deep=deep)
    sys.exit(0 if report.clean else 1)
