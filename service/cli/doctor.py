"""`pixref doctor`: every part, what is wrong with it, and how to mend it."""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click

from service.cli.output import write_json
from service.errors import PixrefError
from service.models.confinement import allowed_here
from service.models.serving import ModelServer
from service.settings import Settings
from service.upkeep import checks
from service.wiring import open_rows, open_store

_COLORS = {"ok": "green", "broken": "red", "unknown": "yellow"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A part's state: ok, broken, or unknown because a part that it needs is broken."""

    part: str
    state: str
    what_to_do: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Check every part, each after those that it needs."""
    sessions, store = open_rows(settings, name="doctor"), open_store(settings)
    parts: dict[str, tuple[tuple[str, ...], Callable[[], None]]] = {
        "database": ((), lambda: checks.check_connection(sessions)),
        "schema": (("database",), lambda: checks.check_database(sessions)),
        "bucket": ((), lambda: checks.check_bucket(store)),
        "signing host": (
            ("bucket",),
            lambda: checks.check_signing(store, settings.s3_endpoint, lifetime_s=settings.url_lifetime_s),
        ),
        "clock": (("database",), lambda: checks.check_clock(sessions, settings.s3_endpoint)),
        "model": (("schema", "bucket"), lambda: checks.check_model(ModelServer(sessions, store))),
    }
    sound = set()
    for part, (needed, check) in parts.items():
        missing = [name for name in needed if name not in sound]
        if missing:
            yield Finding(part, "unknown", f"mend first: {', '.join(missing)}")
            continue
        try:
            check()
        except PixrefError as exc:
            yield Finding(part, "broken", exc.detail)
        else:
            sound.add(part)
            yield Finding(part, "ok", "")
    try:
        missing = allowed_here().missing
    except (OSError, subprocess.SubprocessError) as exc:
        yield Finding("sandbox", "broken", f"no process can be started to open models in: {exc}")
    else:
        # Not broken: what holds is enough for models that one trusts.
        yield Finding(
            "sandbox", "ok", f"models are opened without {'; '.join(missing)}, which this system lacks" if missing else ""
        )


def _write(finding: Finding) -> None:
    head = f"{finding.part:<14}{click.style(f'{finding.state:<9}', fg=_COLORS[finding.state])}"
    lines = [finding.what_to_do]
    if sys.stdout.isatty():  # in a pipe every part is one line
        width = max(shutil.get_terminal_size().columns - 23, 30)
        lines = textwrap.wrap(finding.what_to_do, width, break_long_words=False, break_on_hyphens=False) or [""]
    click.echo((head + f"\n{'':23}".join(lines)).rstrip())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="print a list of {part, state, what_to_do}")
def command(as_json: bool) -> None:
    """Name every broken part and how to mend it. Exit code 1 when one is broken."""
    findings = []
    for finding in examine(Settings.load()):
        findings.append(finding)
        if not as_json:
            _write(finding)
    if as_json:
        write_json([asdict(finding) for finding in findings])
    sys.exit(1 if any(finding.state != "ok" for finding in findings) else 0)
