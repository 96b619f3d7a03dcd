"""The runner: `python -m bench [SCENARIO ...] [--quick]`."""

import os
import sys
from datetime import UTC, datetime
from importlib import import_module

import click

from bench.machine import commit, machine
from bench.report import save, tables
from bench.result import Result
from bench.wrk import BenchError
from service.embedded.errors import EmbeddedError

SCENARIOS = ("predict", "serving", "bulk", "load", "presign", "fsck", "png", "uploads", "million", "gallery", "soak")


@click.command()
@click.argument("scenarios", nargs=-1, type=click.Choice(SCENARIOS))
@click.option("--quick", is_flag=True, help="a few seconds each, to see that it runs; nothing is kept")
def main(scenarios: tuple[str, ...], quick: bool) -> None:
    """Measure SCENARIO (default: all) and print figures and ratios. Exit code 1: a required ratio was missed, or nothing could be measured."""
    # Users' Python keeps compiled files; without them every start would be measured with a compiler in it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # noqa: TID251  (for the processes that we start)
    missed = 0
    for name in scenarios or SCENARIOS:
        about = {
            "command": f"python -m bench {name}",
            **commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
        }
        try:
            result: Result = import_module(f"bench.{name}").run(quick)
        except (BenchError, EmbeddedError) as exc:
            raise click.ClickException(f"{name}: {exc}") from exc
        click.echo(f"\n## {name}\n\n{tables(result)}\n")
        missed += sum(not check.met for check in result.checks)
        if not quick:
            click.echo(f"kept in {save(result, about).name} and docs/benchmarks.md")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
