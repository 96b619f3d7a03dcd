"""`pixref serve`: the web server."""

import gc
import socket

import click

from service.settings import Settings, SettingsError, single_native_thread

# A request waits on PostgreSQL and the store far longer than it computes; each thread holds one connection of the pool. Large uploads and slow
# clients never get all of them (`service.admission`, `service.web.pace`).
THREADS = 4
# Requests under way get this long after SIGTERM; a store that does not answer holds one for 15 s at most.
GRACE_S = 20
BACKLOG = 256


def listening_address(host: str, port: int) -> str:
    """Return the IP address of `host`, IPv4 first: granian takes no names. Raises `SettingsError` where we cannot listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, _, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as exc:
        raise SettingsError(
            f"port {port} of {host} cannot be listened on ({exc.strerror}): set PIXREF_PORT to a free one, or check PIXREF_HOST"
        ) from None
    return str(address[0])


def _import_application() -> None:
    """Import the application before the workers fork: they are ready sooner and share its memory. Nothing in it connects or loads a model."""
    single_native_thread()  # a fork would not take OpenBLAS's threads along
    # A thousand modules make a million objects that all stay: looking for garbage among them is a sixth of the time.
    gc.disable()
    import service.app  # noqa: F401

    gc.freeze()
    gc.enable()


@click.command()
def command() -> None:
    """Run the web server: granian, PIXREF_WEB_WORKERS processes of 4 threads."""
    settings = Settings.load()  # a wrong setting must end here, not in a worker that is started again and again
    address = listening_address(settings.host, settings.port)
    _import_application()
    from granian import Granian
    from granian.constants import Interfaces

    from service.logs import set_up

    set_up(settings.log_level)
    Granian(
        "service.wsgi:app",
        address=address,
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
