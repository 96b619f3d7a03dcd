"""`pixref jobs`: what is to be done, is being done, and has been done."""

import sys
import time
from dataclasses import asdict

import click

from schema.session import Sessions
from service.cli.output import write_json, write_table
from service.cli.progress import open_bar
from service.jobqueue import JobQueue
from service.settings import Settings
from service.tasks import Parts, do_job
from service.wiring import open_door, open_rows, open_store
from service.work.ledger import STATES, JobInfo, cancel_job, find_job, list_jobs

# How often a job that is followed is looked at.
LOOK_S = 0.5


@click.group()
def command() -> None:
    """List jobs, follow or cancel one."""


@command.command("list")
@click.option("--task", help="only jobs of this kind, such as predict")
@click.option("--state", type=click.Choice(STATES), help="only jobs in this state")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="at most so many, newest first")
@click.option("--json", "as_json", is_flag=True, help="print every fact as JSON")
def list_(task: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    page = list_jobs(open_rows(Settings.load(), name="jobs"), task=task, state=state, limit=limit)  # type: ignore[arg-type]
    if as_json:
        write_json([asdict(job) for job in page.items])
        return
    columns = ("id", "task", "state", "progress", "failed", "by", "created", "says")
    write_table(columns, [_row(job) for job in page.items])


def _row(job: JobInfo) -> tuple[object, ...]:
    progress = "" if job.progress is None else f"{job.progress:.0%}"
    says = job.error["detail"] if job.error else job.message or ""
    return (job.id, job.task, job.state, progress, job.failed, job.created_by, f"{job.created_at:%Y-%m-%d %H:%M}", says)


@command.command()
@click.argument("job_id", metavar="ID", type=int)
def show(job_id: int) -> None:
    """Print every fact of a job as JSON."""
    write_json(asdict(find_job(open_rows(Settings.load(), name="jobs"), job_id)))


@command.command()
@click.argument("job_id", metavar="ID", type=int)
def cancel(job_id: int) -> None:
    """Cancel a job; what it has done stays done."""
    job = cancel_job(open_rows(Settings.load(), name="jobs"), job_id)
    click.echo(f"job {job_id} is cancelled" if job.ended else f"job {job_id} ends within seconds")


@command.command()
@click.argument("job_id", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True, help="print the job as JSON when it has ended")
def follow(job_id: int, as_json: bool) -> None:
    """Show a job's progress until it ends. Ctrl-C stops the looking, not the job."""
    sessions = open_rows(Settings.load(), name="jobs")
    job = find_job(sessions, job_id)
    with open_bar(f"job {job_id}", job.total) as move:
        while not job.ended:
            move(job.done, job.total, job.message or job.state)
            time.sleep(LOOK_S)
            job = find_job(sessions, job_id)
    report(job, as_json=as_json)


def do_here(settings: Settings, sessions: Sessions, job_id: int, title: str, *, background: bool, as_json: bool) -> JobInfo:
    """Do a job before somebody's eyes, and return it when it is done; ends the command where it fails, or is left to the worker."""
    if background:
        JobQueue(settings.database_url.get_secret_value()).wake(job_id)
        click.echo(f"job {job_id} waits for the worker")
        sys.exit(0)
    with open_bar(title) as move:
        do_job(Parts(sessions, open_store(settings), open_door(settings)), job_id, watch=move)
    job = find_job(sessions, job_id)
    if job.state != "succeeded" or job.result is None:
        report(job, as_json=as_json)
    return job


def report(job: JobInfo, *, as_json: bool) -> None:
    """Print how a job ended, and exit: 0 it is done, 3 in part, 1 it failed or was cancelled."""
    if as_json:
        write_json(asdict(job))
    elif job.state == "succeeded":
        facts = ", ".join(f"{name} {value}" for name, value in (job.result or {}).items() if not isinstance(value, (list, dict)))
        click.echo(f"job {job.id} is done: {facts}" if facts else f"job {job.id} is done")
    if job.state == "failed" and job.error:
        click.echo(f"pixref: job {job.id} failed: {job.error['detail']}", err=True)
    elif not job.ended:
        click.echo(
            f"pixref: job {job.id} was put down; a worker goes on with it, and `pixref jobs follow {job.id}` shows how far it is",
            err=True,
        )
    elif job.state == "cancelled":
        click.echo(f"pixref: job {job.id} was cancelled; what was done stays done", err=True)
    sys.exit(1 if job.state != "succeeded" else 3 if job.failed else 0)
