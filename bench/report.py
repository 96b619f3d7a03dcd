"""Where results go: one JSON file a scenario, and its tables in docs/benchmarks.md between two markers."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.result import Check, Result, Series
from service.settings import PROJECT_DIR

RESULTS = PROJECT_DIR / "bench" / "results"
DOCUMENT = PROJECT_DIR / "docs" / "benchmarks.md"


def save(result: Result, run: Mapping[str, Any], *, results: Path = RESULTS, document: Path = DOCUMENT) -> Path:
    """Write the scenario's JSON file and rewrite its tables in the document. Returns the file."""
    results.mkdir(exist_ok=True)
    file = results / f"{result.scenario}.json"
    file.write_text(json.dumps({**run, **result.to_json()}, indent=2) + "\n", encoding="utf-8")
    text = document.read_text(encoding="utf-8")
    document.write_text(put_between_markers(text, result.scenario, tables(result) + "\n\n" + origin(run)), encoding="utf-8")
    return file


def put_between_markers(text: str, name: str, content: str) -> str:
    """Replace what stands between the markers of `name`. Raises `ValueError` when they are not there once each."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the document needs the lines {begin} and {end}, once each")
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL)


def tables(result: Result) -> str:
    """Return the contenders' medians and the checks as two Markdown tables."""
    return _contenders(result.series) + "\n\n" + _checks(result.checks)


def origin(run: Mapping[str, Any]) -> str:
    """Return the sentence that says where the figures are from."""
    where, state = run["machine"], " with uncommitted changes" if run["dirty"] else ""
    commit = (run["commit"] or "no commit")[:12]
    return (
        f"`{run['command']}` on {run['date'][:10]}, commit {commit}{state}; {where['cpu']}, {where['cores']} cores, "
        f"{where['memory_gib']} GiB, Python {where['python']}; load average before the run {where['load_average_before'][0]}."
    )


def number(value: float) -> str:
    """Return a figure with three significant digits, and whole from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _contenders(series: Sequence[Series]) -> str:
    metrics = list(dict.fromkeys(metric for each in series for metric in each.samples))
    rows = []
    for each in series:
        rows.append([each.name, *(_spread(each.samples[metric]) if metric in each.samples else "" for metric in metrics)])
    return _table(["", *metrics], rows)


def _checks(checks: Sequence[Check]) -> str:
    rows = []
    for check in checks:
        verdict = "" if not check.required else f"{check.required}: {'met' if check.met else '**missed**'}"
        rows.append([check.name, f"{_spread(check.values)} {check.unit}", verdict])
    return _table(["Ratio or figure", "median (range over rounds)", "required"], rows)


def _spread(values: Sequence[float]) -> str:
    middle = f"**{number(median(values))}**"
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
