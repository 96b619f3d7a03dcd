"""`pixref work`: the background worker."""

import asyncio
import logging
import signal
import threading

import click
import psycopg
from procrastinate.exceptions import ConnectorException

from service.cli.trouble import reason_of
from service.errors import DatabaseUnavailable
from service.jobs import QUEUE_UPKEEP, QUEUE_WORK, parts, worker_app
from service.logs import set_up
from service.settings import Settings
from service.tasks import Parts
from service.upkeep.checks import check_database
from service.upkeep.sessions import end_overdue_sessions
from service.wiring import open_door, open_rows, open_store

# Not by LISTEN: whoever may connect to a database may NOTIFY there, and the queue's listener believes what it is told; a word that is no
# JSON ends it, and the worker with it.
POLL_S = 1.0
# The nightly and the hourly check may take long, and the jobs of every minute must not wait for them. Long jobs have a worker of their own, one at
# a time: each of them takes all processors that it gets.
CONCURRENCY = {QUEUE_UPKEEP: 4, QUEUE_WORK: 1}
# In-flight jobs get this long after SIGTERM; what is cut off then is taken up by the next worker.
GRACE_S = 20

log = logging.getLogger(__name__)


@click.command()
def command() -> None:
    """Run the background worker: deletions, sweeps, jobs. Any number may run."""
    settings = Settings.load()
    set_up(settings.log_level)
    sessions = open_rows(settings, name="worker")
    check_database(sessions)  # the queue itself would wait half a minute for a database that is not there
    if end_overdue_sessions(sessions) is None:
        log.warning("SQL clients' sessions that go on too long cannot be ended here: `pixref init` says what is missing")
    app = worker_app(settings.database_url.get_secret_value())
    draining = threading.Event()
    work = Parts(sessions, open_store(settings), open_door(settings))

    async def run() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def drain() -> None:
            draining.set()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, drain)
        async with app.open_async():
            workers = [
                asyncio.create_task(
                    app.run_worker_async(
                        queues=[queue],
                        concurrency=concurrency,
                        listen_notify=False,
                        fetch_job_polling_interval=POLL_S,
                        shutdown_graceful_timeout=GRACE_S,
                        delete_jobs="successful",
                        install_signal_handlers=False,
                        additional_context=parts(work, draining),
                    )
                )
                for queue, concurrency in CONCURRENCY.items()
            ]
            stopping = asyncio.create_task(stop.wait())
            # Neither worker ends by itself, but by an error, which ends the other.
            await asyncio.wait([*workers, stopping], return_when=asyncio.FIRST_COMPLETED)
            draining.set()
            for task in (*workers, stopping):
                task.cancel()
            for outcome in await asyncio.gather(*workers, return_exceptions=True):
                if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
                    raise outcome

    try:
        asyncio.run(run())
    except (psycopg.OperationalError, ConnectorException) as exc:
        raise DatabaseUnavailable(
            f"the worker lost the database ({reason_of(exc)}): start it again when PostgreSQL runs"
        ) from exc
