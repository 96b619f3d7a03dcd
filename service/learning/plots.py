"""Pictures of how a model learned and how well it does, drawn with Matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from schema.tables.evaluations import BINS
from service.learning.evaluations import Mistake, Report

# Of more labels than this the cells are too small for numbers.
NAMED_MAX = 30
TRAINING, VALIDATION = "#1f6feb", "#bf3989"


def draw_history(epochs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw loss and accuracy by epoch into a PNG; `epochs` are those of a training's result."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    numbers = [epoch["epoch"] for epoch in epochs]
    for place, name in enumerate(("loss", "accuracy"), 1):
        axes = figure.add_subplot(1, 2, place)
        for key, colour, title in ((name, TRAINING, "training"), (f"validation_{name}", VALIDATION, "validation")):
            values = [epoch[key] for epoch in epochs]
            if None not in values:
                axes.plot(numbers, values, color=colour, marker="o", label=title)
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def draw_confusion(report: Report, path: Path) -> None:
    """Draw the confusion matrix into a PNG: rows are labels, columns predictions, shades the share of the label's pictures."""
    names = [each.label for each in report.classes]
    places = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    for cell in report.cells:
        counts[places[cell.label], places[cell.predicted]] = cell.pictures
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(16.0, 3 + 0.5 * len(names))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90 if any(len(name) > 2 for name in names) else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.set_title(_title(report))
    if len(names) <= NAMED_MAX:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, dpi=120)


def draw_reliability(report: Report, path: Path) -> None:
    """Draw the reliability diagram into a PNG: what share is right against how sure the version was, and how many pictures are behind it."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color="#8b949e", linestyle="--", label="calibrated")
    above.plot(
        [each.mean_score for each in report.bins],
        [each.accuracy for each in report.bins],
        color=TRAINING,
        marker="o",
        label="this version",
    )
    above.set_ylabel("share that is right")
    above.set_ylim(0, 1.02)
    above.grid(alpha=0.3)
    above.legend(loc="upper left")
    above.set_title(f"{_title(report)}, calibration error {report.info.calibration_error:.2%}")
    edges = [each.score_from for each in report.bins]
    below.bar(edges, [each.pictures for each in report.bins], width=1 / BINS, align="edge", color=TRAINING)
    below.set_xlim(0, 1)
    below.set_xlabel("score")
    below.set_ylabel("pictures")
    figure.savefig(path, dpi=120)


def draw_mistakes(
    mistakes: Sequence[tuple[Mistake, npt.NDArray[np.uint8] | npt.NDArray[np.uint16]]], title: str, path: Path
) -> None:
    """Draw mistakes with their pictures into a PNG, titled `label → prediction (score)`."""
    columns = 6
    lines = max(1, -(-len(mistakes) // columns))
    figure = Figure(figsize=(columns * 1.6, lines * 1.9 + 0.4), layout="constrained")
    figure.suptitle(title if mistakes else f"{title}: no mistakes")
    for place, (mistake, pixels) in enumerate(mistakes, 1):
        axes = figure.add_subplot(lines, columns, place)
        axes.axis("off")
        levels = pixels if pixels.dtype == np.uint8 else pixels / np.float32(65535)
        if levels.shape[2] <= 2:
            axes.imshow(levels[:, :, 0], cmap="gray", vmin=0, vmax=255 if levels.dtype == np.uint8 else 1)
        else:
            axes.imshow(levels)
        axes.set_title(
            f"{_short(mistake.label)} → {_short(mistake.predicted)} ({mistake.score:.0%})", fontsize=8, parse_math=False
        )
    figure.savefig(path, dpi=120)


def _short(name: str) -> str:
    return name if len(name) <= 12 else f"{name[:11]}…"


def _title(report: Report) -> str:
    info = report.info
    accuracy = "" if info.accuracy is None else f": {info.accuracy:.2%} of {info.pictures:,}"
    return f"{info.model} version {info.version}{accuracy}"
