"""The results as text, JSON and pictures."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facewave.blendshapes import INDEX
from facewave.providers.embedded.articulation import lip_gap
from facewave.providers.embedded.transcript.pronounce import SIL

from .clips import Clip
from .scores import BILABIAL, FPS
from .systems import Weights

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("lag_ms", "lag ms", "{:+.0f}"),
    ("r", "r", "{:.2f}"),
    ("r_best", "r best", "{:.2f}"),
    ("r_jaw", "jaw r", "{:.2f}"),
    ("r_closure", "closure r", "{:.2f}"),
    ("r_pucker", "pucker r", "{:.2f}"),
    ("r_spread", "spread r", "{:.2f}"),
    ("closure_recall", "p b m closed", "{:.2f}"),
    ("false_closure", "false", "{:.3f}"),
    ("closure_precision", "precision", "{:.2f}"),
    ("labiodental_hit", "f v", "{:.2f}"),
    ("labiodental_false", "false", "{:.3f}"),
    ("rounding_auc", "round AUC", "{:.2f}"),
    ("jaw_auc", "jaw AUC", "{:.2f}"),
    ("viseme_accuracy", "visemes", "{:.2f}"),
    ("rest", "rest", "{:.3f}"),
    ("jitter", "jitter", "{:.2f}"),
    ("cpu", "CPU", "{:.3f}"),
)
"""Key, heading, format. CPU is processor seconds for each second of audio."""

Rows = Sequence[tuple[str, Mapping[str, float]]]


def table(title: str, rows: Rows, keys: Sequence[str] = ()) -> str:
    """A Markdown table, one row a system; a dash where there is nothing to measure."""
    columns = [column for column in COLUMNS if not keys or column[0] in keys]
    heads = ["", *(head for _, head, _ in columns)]
    body = [[name, *(cell(values, key, form) for key, _, form in columns)] for name, values in rows]
    widths = [max(len(row[i]) for row in [heads, *body]) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(":" + "-" * (w + 1) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([f"### {title}", "", line(heads), rule, *map(line, body), ""])


def cell(values: Mapping[str, float], key: str, form: str) -> str:
    value = values.get(key, math.nan)
    return form.format(value) if math.isfinite(value) else "-"


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: Path, results: Mapping[str, Any]) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        if isinstance(value, float):
            return round(value, 5) if math.isfinite(value) else None
        return value

    write(path, json.dumps(plain(results), indent=1, ensure_ascii=False) + "\n")


def draw(path: Path, groups: Mapping[str, Rows], examples: Sequence[tuple[Clip, Weights, Weights]]) -> None:
    """One picture: what every system scores, and two clips frame by frame beside the rules.

    Args:
        path: PNG file.
        groups: Group name to its rows.
        examples: Clip, weights of facewave, weights of the rules.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(15, 5 + 4.2 * len(examples)))
    shape = figure.add_gridspec(
        1 + len(examples), 2, height_ratios=[1.15] + [1] * len(examples), hspace=0.35, wspace=0.15
    )
    left, right = figure.add_subplot(shape[0, 0]), figure.add_subplot(shape[0, 1])
    names = list(dict.fromkeys(name for rows in groups.values() for name, _ in rows))
    colours = dict(zip(names, plt.get_cmap("tab10")(np.arange(len(names)) % 10), strict=True))
    marks = dict(zip(groups, "osD^vP", strict=False))
    for group, rows in groups.items():
        for name, values in rows:
            left.scatter(
                values["false_closure"], values["closure_recall"], color=colours[name], marker=marks[group], s=55
            )
    left.set(
        xlabel="lips closed in open vowels",
        ylabel="p b m that close",
        title="Closures",
        xlim=(-0.01, None),
        ylim=(-0.03, 1.03),
    )
    left.grid(alpha=0.3)
    from matplotlib.lines import Line2D

    keys = [Line2D([], [], color=colours[name], marker="o", ls="", label=name) for name in names]
    keys += [Line2D([], [], color="grey", marker=marks[group], ls="", label=group) for group in groups]
    left.legend(handles=keys, fontsize=8, loc="lower right")
    width = 0.8 / max(len(groups), 1)
    for g, (group, rows) in enumerate(groups.items()):
        values_of = dict(rows)
        for i, name in enumerate(names):
            if name in values_of:
                right.bar(
                    i + g * width,
                    values_of[name]["r"],
                    width * 0.9,
                    color=colours[name],
                    alpha=1 - 0.22 * g,
                    label=group,
                )
    right.set_xticks([i + 0.4 - width / 2 for i in range(len(names))], names, rotation=20, ha="right", fontsize=8)
    right.set(ylabel="r with the rules, eight curves", title="Bars from left: " + ", ".join(groups))
    right.grid(axis="y", alpha=0.3)
    for row, (clip, ours, rules) in enumerate(examples, start=1):
        axes = shape[row, :].subgridspec(3, 1, hspace=0.05).subplots(sharex=True)
        assert isinstance(axes, np.ndarray)
        at = np.arange(len(ours)) / FPS
        for axis, (label, curve) in zip(
            axes,
            (("lip gap", lip_gap), ("jawOpen", column("jawOpen")), ("mouthPucker", column("mouthPucker"))),
            strict=True,
        ):
            axis.plot(at, curve(rules), color="0.6", lw=1.2, label="rules from phone times")
            axis.plot(at, curve(ours), color="tab:blue", lw=1.3, label="facewave, 100 ms")
            axis.set_ylabel(label, fontsize=9)
            for start, end, symbol in clip.phones:
                if symbol in BILABIAL:
                    axis.axvspan(start, end, color="tab:red", alpha=0.15, lw=0)
                elif symbol in {"f", "v"}:
                    axis.axvspan(start, end, color="tab:orange", alpha=0.15, lw=0)
        for start, end, symbol in clip.phones:
            if symbol != SIL:
                axes[0].text((start + end) / 2, axes[0].get_ylim()[1], symbol, ha="center", va="bottom", fontsize=7)
        axes[0].set_title(f"{clip.id} ({clip.voice}, {clip.language}); p b m red, f v orange", fontsize=10, pad=14)
        axes[0].legend(fontsize=8, loc="upper right")
        axes[-1].set(xlabel="s", xlim=(0, len(ours) / FPS))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    figure.savefig(temporary, format="png", dpi=80, bbox_inches="tight")
    plt.close(figure)
    os.replace(temporary, path)


def column(name: str) -> Any:
    return lambda weights: weights[:, INDEX[name]]
