"""Fourier shell correlations as a figure: thresholds drawn, regions told apart by line and marker, not by colour."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryolithe_stream.evaluate.fsc import THRESHOLDS, Fsc, RegionName
from cryolithe_stream.geometry import Floats

_MARKERS_ON_A_CURVE = 12
_NICE = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
_TITLES: dict[RegionName, str] = {"all": "all frequencies", "visible": "visible region", "wedge": "missing wedge"}


class _Style(NamedTuple):
    color: str
    line: Any
    marker: str


# Colours of Okabe and Ito, which the colour-blind tell apart; each has a dash and a marker of its own for print.
_STYLES = (
    _Style("#000000", "-", ""),
    _Style("#0072B2", (0, (5, 1.5)), "o"),
    _Style("#D55E00", (0, (1, 1)), "^"),
    _Style("#009E73", (0, (5, 1.5, 1, 1.5)), "s"),
    _Style("#CC79A7", "-", "D"),
    _Style("#56B4E9", (0, (3, 1, 1, 1, 1, 1)), "v"),
)


def fsc_figure(curves: Mapping[str, Fsc]) -> Figure:
    """One panel with the regions of a single pair, or for several pairs a panel for each region with a line a pair.

    Names are drawn as they are: a $ begins no formula, and a _ at the start does not hide a line from the legend.

    The horizontal axis is in 1/Å below and in Å above; the thresholds 0.143 and 0.5 are drawn.
    """
    pairs = list(curves.items())
    regions = pairs[0][1].regions
    single = len(pairs) == 1
    n_panels = 1 if single else len(regions)
    figure = Figure(figsize=(4.6 if n_panels == 1 else 3.1 * n_panels, 3.4), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, n_panels, sharey=True, squeeze=False)[0])
    lowest = min(float(np.nanmin(fsc.curve(region), initial=0.0)) for _, fsc in pairs for region in regions)
    last = max(float(fsc.frequency_per_angstrom[-1]) for _, fsc in pairs)
    for axes in panels:
        _frame(axes, last, lowest)
    for i, region in enumerate(regions):
        for j, (name, fsc) in enumerate(pairs):
            label, style = (_TITLES[region], i) if single else (_literal(name), j)
            _line(panels[0 if single else i], fsc.frequency_per_angstrom, fsc.curve(region), label, style)
        if not single:
            panels[i].set_title(_TITLES[region], fontsize=9)
    panels[0].set_ylabel("Fourier shell correlation", fontsize=9)
    if not single or len(regions) > 1:
        panels[0 if single else -1].legend(fontsize=7.5, frameon=False, loc="best", handlelength=3.2)
    return figure


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """The figure as a .png, .pdf or .svg file; pixels at 300 per inch."""
    stream = io.BytesIO()
    figure.savefig(stream, format=suffix.removeprefix("."), dpi=300)
    return stream.getvalue()


def _frame(axes: Axes, last: float, lowest: float) -> None:
    """Axes, thresholds and the resolutions on top."""
    axes.set_xlim(0, last)
    axes.set_ylim(min(-0.08, 1.1 * lowest), 1.04)
    axes.axhline(0, color="0.6", linewidth=0.6)
    for threshold in THRESHOLDS:
        axes.axhline(threshold, color="0.35", linewidth=0.7, linestyle=(0, (2, 2)))
        axes.text(0.012 * last, threshold + 0.012, f"{threshold:g}", fontsize=7, color="0.25", va="bottom")
    axes.set_xlabel("spatial frequency (1/Å)", fontsize=9)
    axes.tick_params(labelsize=8)
    top = axes.twiny()
    top.set_xlim(0, last)
    ticks = _resolutions(last)
    top.set_xticks([1 / r for r in ticks], [f"{r:g}" for r in ticks], fontsize=8)
    top.set_xlabel("resolution (Å)", fontsize=9)


def _resolutions(last: float) -> list[float]:
    """Round resolutions in Å, from the finest, whose places on an axis up to `last` (1/Å) do not crowd."""
    decades = 10.0 ** np.arange(np.floor(np.log10(1 / last)), np.floor(np.log10(1 / last)) + 3)
    chosen: list[float] = []
    for resolution in (float(decade * nice) for decade in decades for nice in _NICE):
        place = 1 / resolution
        if place <= 1.0001 * last and (not chosen or 1 / chosen[-1] - place > 0.13 * last) and place > 0.04 * last:
            chosen.append(resolution)
    return chosen


def _literal(name: str) -> str:
    """A name that Matplotlib takes letter by letter."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def _line(axes: Axes, frequency: Floats, values: Floats, label: str, number: int) -> None:
    style = _STYLES[number % len(_STYLES)]
    step = max(1, len(frequency) // _MARKERS_ON_A_CURVE)
    axes.plot(
        frequency,
        values,
        color=style.color,
        linestyle=style.line,
        marker=style.marker,
        markevery=((number * step // 3) % step, step),
        markersize=4,
        markerfacecolor="white",
        markeredgewidth=0.9,
        linewidth=1.3,
        label=label,
    )
