"""`pixref dev`: everything on this machine, in one terminal (`make run`)."""

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import urllib3

from schema.roles import APP
from service.embedded.child import Child
from service.embedded.errors import ChildDied
from service.embedded.minio import MinioServer, find_minio
from service.embedded.ports import require_free_port
from service.embedded.postgres import SUPERUSER, PostgresServer
from service.embedded.secrets import LocalSecrets, load_or_create_secrets
from service.embedded.state import StateDir, locked_state_dir
from service.embedded.supervisor import Supervisor
from service.settings import SERVICE_ENV, LocalSettings, child_environment, write_service_env

DATABASE = "pixref"
SAMPLES = 1_000
# Exists once the sample pictures were loaded, so that pictures which their owner has deleted do not come back.
LOADED_MARK = "samples-loaded"
# Addresses that stand for all of a machine's; a browser needs one of them.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (read from a setting, not listened on)


class _Command(Child):
    """One of our own commands. When it fails, its last words are a sentence, and its log says nothing more."""

    _answered = False

    def wait_until_ready(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().wait_until_ready(meanwhile)
        self._answered = True

    def stop(self) -> None:
        # Granian passes over a signal that comes while its workers start, and then waits for them as long as for requests under way.
        if not self._answered:
            self.kill()
        super().stop()

    def died(self) -> ChildDied:
        code = self.wait()
        if code < 0:
            return ChildDied(f"{self.name} was killed by {signal.Signals(-code).name}; its log is {self.log_path}")
        lines = self.last_lines()
        said = [place for place, line in enumerate(lines) if line.startswith("pixref: ")]
        if not said:
            return super().died()
        return ChildDied("\n".join(lines[said[-1] :]).removeprefix("pixref: "))


def _servers(settings: LocalSettings, secrets: LocalSecrets, state: StateDir) -> tuple[list[Child], dict[str, str]]:
    """Return the servers to start, and the settings by which the service reaches them; a server that the user names is not started."""
    children: list[Child] = []
    reader = settings.reader_password.get_secret_value() if settings.reader_password else secrets.reader_password
    analyst = settings.analyst_password.get_secret_value() if settings.analyst_password else secrets.analyst_password
    reached = {
        "PIXREF_READER_PASSWORD": reader,
        "PIXREF_ANALYST_PASSWORD": analyst,
        "PIXREF_SECRET_KEY": secrets.secret_key,
        "PIXREF_ADMIN_TOKEN": secrets.admin_token,
        "PIXREF_HOST": settings.host,
        "PIXREF_PORT": str(settings.port),
        "PIXREF_STATE_DIR": str(state.path),
    }
    if settings.database_url is None:
        postgres = PostgresServer(
            state.postgres, port=settings.db_port, superuser_password=secrets.postgres_password, log_path=state.log("postgres")
        )
        children.append(postgres)
        reached["DATABASE_URL"] = postgres.url(APP, secrets.app_password, DATABASE)
        reached["DATABASE_ADMIN_URL"] = postgres.url(SUPERUSER, secrets.postgres_password, DATABASE)
    else:
        reached["DATABASE_URL"] = settings.database_url.get_secret_value()
    # A key that the user has set is what every other command reads too, so it becomes the key of our server as well.
    key, secret = secrets.s3_access_key, secrets.s3_secret_key
    if settings.s3_access_key and settings.s3_secret_key:
        key, secret = settings.s3_access_key, settings.s3_secret_key.get_secret_value()
    reached |= {"S3_ACCESS_KEY": key, "S3_SECRET_KEY": secret}
    if settings.s3_endpoint is None:
        minio = MinioServer(
            find_minio(settings.minio_bin, say=click.echo),
            state.objects,
            port=settings.s3_port,
            root_user=secrets.minio_root_user,
            root_password=secrets.minio_root_password,
            log_path=state.log("minio"),
        )
        children.append(minio)
        reached |= {
            "S3_ENDPOINT": minio.endpoint,
            "S3_PUBLIC_ENDPOINT": minio.endpoint,
            "MINIO_ROOT_USER": secrets.minio_root_user,
            "MINIO_ROOT_PASSWORD": secrets.minio_root_password,
        }
    else:
        reached["S3_ENDPOINT"] = settings.s3_endpoint
    return children, reached


def _base_url(settings: LocalSettings) -> str:
    host = _WILDCARDS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _is_ready(base_url: str) -> bool:
    try:
        return urllib3.request("GET", f"{base_url}/readyz", timeout=2.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _pixref(state: StateDir, reached: Mapping[str, str], *arguments: str, ready: Callable[[], bool] | None = None) -> Child:
    name = "web" if arguments == ("serve",) else "worker" if arguments == ("work",) else arguments[0]
    return _Command(
        name,
        [Path(sys.executable).with_name("pixref"), *arguments],
        env=child_environment(reached, privileged=arguments == ("init",)),
        log_path=state.log(name),
        ready=ready,
        stop_timeout_s=35.0,
    )


@click.command()
def command() -> None:
    """Start everything on this machine, with servers of its own (`make run`); Ctrl-C stops it, the state folder keeps it."""
    settings = LocalSettings.load()
    with locked_state_dir(settings.path) as state, Supervisor(say=click.echo) as supervisor:
        secrets = load_or_create_secrets(state.secrets_file)
        require_free_port(settings.port, "PIXREF_PORT")
        children, reached = _servers(settings, secrets, state)
        supervisor.start(*children)
        base_url = _base_url(settings)
        # It is not ready before `init` has made the database what it should be, but its own start need not wait for that.
        web = _pixref(state, reached, "serve", ready=lambda: _is_ready(base_url))
        supervisor.launch(web)
        click.echo("preparing database, bucket and model")
        supervisor.run(_pixref(state, reached, "init"))
        write_service_env(state.path, reached)
        try:
            mark = state.path / LOADED_MARK
            if not mark.exists():
                click.echo(f"loading the first {SAMPLES:,} pictures of MNIST")
                supervisor.run(_pixref(state, reached, "load", "mnist", "--count", str(SAMPLES)))
                mark.touch()
            worker = _pixref(state, reached, "work")
            supervisor.launch(worker)
            supervisor.await_ready(web, worker)
            click.echo(f"logs are in {state.path / 'log'}; Ctrl-C stops everything")
            click.echo(f"Pixref is ready: {base_url}/sign-in?token={secrets.admin_token}")
            supervisor.run_until_signal()
        finally:
            # Other commands must not look for servers that have gone.
            (state.path / SERVICE_ENV).unlink(missing_ok=True)
