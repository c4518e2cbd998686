"""The figure: its axes, thresholds, and lines that differ without colour."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_support import coloured, noise

from cryolithe_stream.evaluate import fourier_shell_correlation
from cryolithe_stream.evaluate.plot import figure_bytes, fsc_figure


@pytest.fixture(scope="module")
def curves():
    signal = coloured((32, 40, 48), 1)
    made = {}
    for i, level in enumerate((0.3, 1.0, 3.0)):
        other = signal + level * noise(signal.shape, i)
        made[f"noise {level}"] = fourier_shell_correlation(signal, other, voxel_angstrom=8.0, tilt_range_deg=(-60, 60))
    return made


def drawn(axes):
    """The lines that bear a label."""
    return [line for line in axes.get_lines() if not line.get_label().startswith("_")]


def test_one_pair_is_a_panel_of_its_regions(curves):
    name, fsc = next(iter(curves.items()))
    (axes, top) = fsc_figure({name: fsc}).axes
    lines = drawn(axes)
    assert [line.get_label() for line in lines] == ["all frequencies", "visible region", "missing wedge"]
    for line, region in zip(lines, fsc.regions, strict=True):
        np.testing.assert_allclose(line.get_ydata(), fsc.curve(region))
        np.testing.assert_allclose(line.get_xdata(), fsc.frequency / 8.0)
    assert len({(str(line._unscaled_dash_pattern), line.get_marker()) for line in lines}) == 3
    levels = {float(line.get_ydata()[0]) for line in axes.get_lines() if len(line.get_ydata()) == 2}
    assert levels == {0.0, 0.143, 0.5}
    assert axes.get_xlabel() == "spatial frequency (1/Å)"
    for tick, label in zip(top.get_xticks(), top.get_xticklabels(), strict=True):
        assert tick == pytest.approx(1 / float(label.get_text()))
    assert top.get_xlim() == axes.get_xlim()
    assert len(top.get_xticks()) >= 4


def test_several_pairs_are_a_panel_for_each_region(curves):
    figure = fsc_figure(curves)
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == ["all frequencies", "visible region", "missing wedge"]
    for axes in panels:
        assert [line.get_label() for line in drawn(axes)] == list(curves)
    assert sum(axes.get_legend() is not None for axes in panels) == 1


def test_names_are_drawn_as_they_are(curves):
    fsc = next(iter(curves.values()))
    figure = fsc_figure({"_a.mrc": fsc, "$\\foo$.mrc": fsc})
    figure_bytes(figure, ".svg")
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_a.mrc", r"\$\foo\$.mrc"]


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_it_is_written_as_a_picture(curves, suffix, magic):
    assert figure_bytes(fsc_figure(curves), suffix).startswith(magic)


@pytest.mark.parametrize("voxel", [0.5, 1.0, 3.7, 13.48, 100.0])
def test_resolutions_stand_on_top_at_any_voxel_size(voxel):
    a, b = noise((16, 16, 16), 1), noise((16, 16, 16), 2)
    _, top = fsc_figure({"a": fourier_shell_correlation(a, b, voxel_angstrom=voxel)}).axes
    places = np.sort(top.get_xticks()) / top.get_xlim()[1]
    assert len(places) >= 3
    assert places.max() <= 1.001
    assert np.diff(places).min() > 0.1
