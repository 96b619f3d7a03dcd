"""The recorded run: `make faults N=10000 SEED=1`. Prints progress, and writes what it did and found to tests/faults/results/."""

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import click

from bench.machine import commit, machine
from tests.faults.inject import Tally, run_round

RESULTS = Path(__file__).with_name("results")
# A fresh database and bucket now and then, and another seed, so that rows of early injections do not hide those of late ones.
ROUND = 250


@click.command()
@click.option("-n", "--count", type=click.IntRange(1), default=10_000, show_default=True, help="injections")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True, help="worlds at once")
def main(count: int, seed: int, jobs: int) -> None:
    """Run COUNT injections. Exit code 1: something that must hold did not."""
    started = time.monotonic()
    about = {**commit(), "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    whole = Tally(seed)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rounds = [
            pool.submit(run_round, seed * 1_000_000 + number, min(ROUND, count - begin))
            for number, begin in enumerate(range(0, count, ROUND))
        ]
        for done in as_completed(rounds):
            tally = done.result()
            whole.add(tally)
            click.echo(f"{whole.injections:>7} of {count}, {time.monotonic() - started:.0f} s", err=True)
            for violation in tally.violations:
                click.echo(violation, err=True)
    command = f"make faults N={count} SEED={seed}"
    total = whole.to_json() | about | {"command": command, "seconds": round(time.monotonic() - started)}
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{count}-{seed}.json"
    file.write_text(json.dumps(total, indent=2) + "\n")
    click.echo(f"{whole.injections} injections, {whole.killed} kills, {len(whole.violations)} violations: {file}")
    sys.exit(1 if whole.violations else 0)


if __name__ == "__main__":
    main()
