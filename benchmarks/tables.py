"""Benchmarks as Markdown: means over the specimens of a set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

Record = dict[str, Any]

METRICS = {
    "snr_db": ("SNR, dB", "{:.2f}"),
    "correlation": ("correlation", "{:.3f}"),
    "wedge_fsc_band": ("wedge FSC, 0.10–0.15", "{:.2f}"),
    "wedge_fsc_point": ("wedge FSC at 0.1", "{:.2f}"),
}
_OVER = ("snr_db", "wedge_fsc_band")
_MEASURED = (
    "SNR after the best affine fit to the truth, and correlation, on the middle third of the rows; Fourier shell "
    "correlation (FSC) in the missing wedge, in cycles/voxel, of the whole volume."
)


def mean_of(records: Iterable[Record], metric: str, wanted: Record) -> float | None:
    """Mean of a metric over the records whose entries are those wanted; None when there are none."""
    values = [r[metric] for r in records if all(r[key] == value for key, value in wanted.items())]
    return fmean(values) if values else None


def table(corner: str, rows: Sequence[str], columns: Sequence[str], cell: Callable[[str, str], str]) -> str:
    """A Markdown table of texts."""
    lines = [f"| {corner} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(cell(row, column) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def quality_markdown(content: Record, *, headline: float) -> str:
    """The tables of `quality.py`: the headline level first, then every set over the noise levels, then the speed."""
    records, names, levels = content["results"], content["methods"]["names"], content["levels"]
    level = headline if headline in levels else levels[0]
    parts = [f"Input at {level:g} dB. {_MEASURED}"]
    for set_name, specimens in content["sets"].items():
        count = f"{len(specimens)} specimen{'s' * (len(specimens) != 1)}"
        parts.append(f"**{set_name}** ({count})")
        parts.append(_all_metrics(records, names, {"set": set_name, "input_snr_db": level}))
    parts.append("Over the noise of the input:")
    columns = {f"{level:g}": {"input_snr_db": level} for level in levels}
    for set_name in content["sets"]:
        for metric in _OVER:
            parts.append(f"**{set_name}: {METRICS[metric][0]}**")
            parts.append(_one_metric(records, names, metric, "input, dB", columns, {"set": set_name}))
    parts.append("Speed, from the recorded series to the volume; the search of the best filters counts:")
    parts.append(speed_markdown(content))
    if content["topaz"] == "not installed":
        parts.append("Topaz-Denoise was asked for and is not installed (`pip install topaz-em`).")
    return "\n\n".join(parts) + "\n"


def robustness_markdown(content: Record) -> str:
    """The tables of `robustness.py`: for each condition, SNR and wedge FSC over its values."""
    records, names = content["results"], content["methods"]["names"]
    parts = [f"Input at {content['input_snr_db']:g} dB unless the noise is varied. {_MEASURED}"]
    for condition, values in content["conditions"].items():
        columns = {value: {"value": value} for value in values}
        for metric in _OVER:
            parts.append(f"**{condition}: {METRICS[metric][0]}**")
            parts.append(_one_metric(records, names, metric, condition, columns, {"condition": condition}))
    return "\n\n".join(parts) + "\n"


def speed_markdown(content: Record) -> str:
    """Voxels per second of every method, over all its volumes."""
    records, threads = content["results"], content["run"]["threads"]

    def cell(row: str, _: str) -> str:
        mine = [r for r in records if r["method"] == row]
        return f"{sum(r['voxels'] for r in mine) / sum(r['seconds'] for r in mine):,.0f}" if mine else "–"

    return table("method", content["methods"]["names"], [f"voxels/s, {threads} thread{'s' * (threads != 1)}"], cell)


def _all_metrics(records: list[Record], names: list[str], wanted: Record) -> str:
    """Every metric of the records wanted, a row a method."""
    metrics = {title: (metric, form) for metric, (title, form) in METRICS.items()}

    def cell(row: str, column: str) -> str:
        metric, form = metrics[column]
        return _text(form, mean_of(records, metric, wanted | {"method": row}))

    return table("method", names, list(metrics), cell)


def _one_metric(
    records: list[Record], names: list[str], metric: str, corner: str, columns: dict[str, Record], wanted: Record
) -> str:
    """One metric of the records wanted, a row a method; columns say what else is wanted."""

    def cell(row: str, column: str) -> str:
        return _text(METRICS[metric][1], mean_of(records, metric, wanted | columns[column] | {"method": row}))

    return table(corner, names, list(columns), cell)


def _text(form: str, value: float | None) -> str:
    return "–" if value is None else form.format(value)
