"""`pixref work`: the background worker."""

import asyncio

import click

from service.jobs import parts, worker_app
from service.logs import set_up
from service.settings import Settings
from service.wiring import open_rows, open_store

# In-flight jobs get this long after SIGTERM; what is cut off then is taken up by the next worker.
GRACE_S = 20


@click.command()
def command() -> None:
    """Run the background worker: deletions, sweeps, jobs. Any number may run."""
    settings = Settings.load()
    set_up(settings.log_level)
    app = worker_app(settings.database_url.get_secret_value())

    async def run() -> None:
        async with app.open_async():
            await app.run_worker_async(
                concurrency=2,
                shutdown_graceful_timeout=GRACE_S,
                delete_jobs="successful",
                additional_context=parts(open_rows(settings, name="worker"), open_store(settings)),
            )

    asyncio.run(run())
