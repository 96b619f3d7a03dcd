"""`pixref serve`: the web server."""

import click

from service.settings import Settings

# A request waits on PostgreSQL and the store far longer than it computes; each thread holds one connection of the pool.
THREADS = 4
# Requests under way get this long after SIGTERM; a store that does not answer holds one for 15 s at most.
GRACE_S = 20
BACKLOG = 256


@click.command()
def command() -> None:
    """Run the web server: granian, PIXREF_WEB_WORKERS processes of 4 threads."""
    settings = Settings.load()  # a wrong setting must end here, not in a worker that is started again and again
    from granian import Granian
    from granian.constants import Interfaces

    from service.logs import set_up

    set_up(settings.log_level)
    Granian(
        "service.wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.web_workers,
        blocking_threads=THREADS,
        backlog=BACKLOG,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=GRACE_S,
        log_enabled=False,
    ).serve()
