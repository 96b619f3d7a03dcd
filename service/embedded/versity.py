"""Versity S3 Gateway as a child process: a second, unrelated S3 server that keeps objects as plain files."""

import os
from pathlib import Path

from service.embedded.child import Child
from service.embedded.gobin import find_program
from service.embedded.ports import LOOPBACK, answers_http, require_free_port

_HEALTH_PATH = "/healthz"


def find_versity() -> Path | None:
    """Return the installed `versitygw`, or None: it is not needed to run Pixref."""
    return next(find_program("versitygw"), None)


class VersityServer(Child):
    """A Versity S3 Gateway on 127.0.0.1 with its buckets as folders of `data_dir`."""

    def __init__(
        self,
        binary: Path,
        data_dir: Path,
        *,
        port: int,
        access_key: str,
        secret_key: str,
        log_path: Path,
        port_setting: str = "S3_PORT",
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._port_setting = port_setting
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VGW_", "ROOT_"))}
        env = {**kept, "ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key}
        argv: list[str | Path] = [
            binary.absolute(),
            "--quiet",
            "--health",
            _HEALTH_PATH,
            "--port",
            f"{LOOPBACK}:{port}",
            "posix",
            self.data_dir,
        ]
        super().__init__("versitygw", argv, log_path=log_path, env=env)

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        require_free_port(self.port, self._port_setting)
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def is_ready(self) -> bool:
        return answers_http(self.port, _HEALTH_PATH)
