"""`evaluate` and `fsc` in this process, with files on disk."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
from evaluate_support import coloured, noise, write_mrc, write_tomogram

from cryolithe_stream.store import MrcStack
from cryolithe_stream_cli.main import main

SHAPE = (24, 32, 40)
TILTS = np.arange(-40.0, 61.0, 4.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A truth, two estimates, and the halves of one of them."""
    made = tmp_path_factory.mktemp("volumes")
    truth = coloured(SHAPE, 1, 0.2)
    write_mrc(made / "truth.mrc", truth)
    write_tomogram(made / "good.ome.zarr", 5 + 3 * (truth + 0.5 * noise(SHAPE, 2)), tilts_deg=TILTS)
    write_mrc(made / "poor.mrc", truth + 2 * noise(SHAPE, 3))
    for i, half in enumerate(("odd", "even")):
        write_tomogram(made / f"good_{half}.ome.zarr", truth + 0.7 * noise(SHAPE, 4 + i), tilts_deg=TILTS)
    write_mrc(made / "mask.mrc", np.ones(SHAPE, np.float32), 0.0)
    write_mrc(made / "small.mrc", truth[:, :, :30])
    write_mrc(made / "binned.mrc", truth, 20.0)
    for name, value in (("nan", np.nan), ("loud", 1e30)):
        with (write_mrc(made / f"{name}.mrc", truth)).open("r+b") as file:
            file.seek(1024 + 4 * 77)
            file.write(np.float32(value).tobytes())
    write_mrc(made / "flat.mrc", np.ones(SHAPE, np.float32))
    stack = MrcStack.create(made / ".stack", shape_tyx=SHAPE, pixel_angstrom=10.0)
    for tilt, image in enumerate(truth):
        stack.write_image(tilt, image)
    stack.finish(made / "stack.mrc")
    os.mkfifo(made / "pipe")
    np.savetxt(made / "ts.tlt", TILTS, fmt="%.1f")
    return made


def called(capsys, *words) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_estimates_stand_side_by_side(folder, capsys, tmp_path):
    words = ["evaluate", folder / "good.ome.zarr", folder / "poor.mrc", "--truth", folder / "truth.mrc"]
    files = ["--json", tmp_path / "e.json", "--csv", tmp_path / "e.csv", "--plot", tmp_path / "e.png"]
    code, out, err = called(capsys, *words, *files)
    assert (code, err) == (0, "")
    table = {line[:40].strip(): line[40:].split() for line in out.splitlines()[4:] if line[:1].isalpha()}
    assert out.splitlines()[4].split() == ["good.ome.zarr", "poor.mrc"]
    told = json.loads((tmp_path / "e.json").read_text())
    good, poor = told["estimates"]
    for i, (estimate, ratio) in enumerate(((good, 4.0), (poor, 0.25))):
        assert estimate["agreement"]["snr_db"] == pytest.approx(10 * np.log10(1 + ratio), abs=0.3)
        assert float(table["SNR (dB)"][i]) == pytest.approx(estimate["agreement"]["snr_db"], abs=0.006)
        assert estimate["fsc"]["tilt_range_deg"] == [-40.0, 60.0]
        assert set(estimate["fsc"]["resolution"]) == {"all", "visible", "wedge"}
    assert good["agreement"]["scale"] == pytest.approx(0.8 / 3, abs=0.01)
    rows = list(csv.DictReader((tmp_path / "e.csv").read_text().splitlines()))
    assert [row["estimate"] for row in rows] == ["good.ome.zarr"] * 12 + ["poor.mrc"] * 12
    for row, shell in zip(rows, good["fsc"]["shells"] + poor["fsc"]["shells"], strict=True):
        assert float(row["fsc_visible"]) == pytest.approx(shell["fsc_visible"])
        assert int(row["voxels_all"]) == shell["voxels_all"]
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.csv", "e.json", "e.png"]


def test_a_tomogram_finds_its_halves(folder, capsys):
    code, out, err = called(capsys, "fsc", folder / "good.ome.zarr")
    assert (code, err) == (0, "")
    both = called(capsys, "fsc", folder / "good_odd.ome.zarr", folder / "good_even.ome.zarr")
    assert both == (0, out, "")
    assert "tilts from -40 to 60 degrees" in out
    assert [line.split()[0] for line in out.splitlines()[-12:]] == [f"{(i + 1) / 24:.4g}" for i in range(12)]


def test_json_alone_goes_to_standard_output(folder, capsys):
    code, out, _ = called(capsys, "fsc", folder / "good.ome.zarr", "--json", "-", "--tilt-range", "-30,30")
    told = json.loads(out)
    assert code == 0
    assert told["fsc"]["tilt_range_deg"] == [-30.0, 30.0]
    shells = told["fsc"]["shells"]
    assert len(shells) == 12
    assert shells[0]["resolution_angstrom"] == pytest.approx(240.0)
    assert shells[0]["frequency_per_angstrom"] == pytest.approx(1 / 240)


def test_options_of_the_comparison(folder, capsys):
    pair = [folder / "truth.mrc", folder / "poor.mrc", "--json", "-"]
    for words, expected in [
        (["--angles", folder / "ts.tlt"], {"tilt_range_deg": [-40.0, 60.0]}),
        (["--roi", "4:20,:,8:"], {"shape_zyx": [16, 32, 32]}),
        (["--voxel-size", "3.5"], {"voxel_angstrom": 3.5}),
        (["--taper", "0"], {"taper": 0.0, "tilt_range_deg": None}),
        (["--mask", folder / "mask.mrc", "--roi", "0:8,:,:"], {"shape_zyx": [8, 32, 40]}),
        (["--memory", "100MB"], {"tiles": {"count": 1, "shape_zyx": list(SHAPE)}}),
    ]:
        code, out, err = called(capsys, "fsc", *pair, *words)
        assert (code, err) == (0, "")
        told = json.loads(out)["fsc"]
        assert {key: told[key] for key in expected} == expected


def test_tiles_are_told(tmp_path, capsys):
    for name in "ab":
        write_mrc(tmp_path / f"{name}.mrc", noise((32, 40, 100), ord(name)))
    code, out, _ = called(capsys, "fsc", tmp_path / "a.mrc", tmp_path / "b.mrc", "--memory", "2MiB")
    assert code == 0
    assert "tiles of 32 x " in out
    assert "missing wedge not told apart" in out


def test_levels_are_compared(folder, capsys):
    code, out, _ = called(capsys, "fsc", folder / "good.ome.zarr", "--level", 0, "--json", "-")
    assert (code, json.loads(out)["level"]) == (0, 0)
    code, _, err = called(capsys, "fsc", folder / "good.ome.zarr", "--level", 3)
    assert (code, err.count("\n")) == (2, 1)
    assert "no level 3" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fsc", "poor.mrc"], "poor_odd.mrc and poor_even.mrc are not beside"),
        (["fsc", "truth.mrc", "absent.mrc"], "absent.mrc does not exist"),
        (["fsc", "truth.mrc", "small.mrc"], "24 x 32 x 30"),
        (["fsc", "truth.mrc", "binned.mrc"], "of 10 angstrom"),
        (["fsc", "truth.mrc", "nan.mrc"], "1 NaN"),
        (["fsc", "truth.mrc", "flat.mrc"], "one value everywhere"),
        (["fsc", "truth.mrc", "ts.tlt"], "ts.tlt"),
        (["fsc", "truth.mrc", "poor.mrc", "--tilt-range", "60"], "not two numbers"),
        (["fsc", "truth.mrc", "poor.mrc", "--tilt-range", "60,-60"], "tilt range of 60 to -60"),
        (["fsc", "truth.mrc", "poor.mrc", "--tilt-range=-60,60", "--angles", "ts.tlt"], "both --tilt-range"),
        (["fsc", "truth.mrc", "poor.mrc", "--memory", "lots"], "--memory lots"),
        (["fsc", "truth.mrc", "poor.mrc", "--memory", "1kB"], "Give --memory 2MiB"),
        (["fsc", "truth.mrc", "poor.mrc", "--roi", "0:99,:,:"], "0:99"),
        (["fsc", "truth.mrc", "poor.mrc", "--roi", "0:4,:,:"], "too thin"),
        (["fsc", "truth.mrc", "poor.mrc", "--taper", "0.9"], "taper of 0.9"),
        (["fsc", "truth.mrc", "poor.mrc", "--taper", "nan"], "taper of nan"),
        (["fsc", "truth.mrc", "poor.mrc", "--taper", "inf"], "taper of inf"),
        (["fsc", "truth.mrc", "truth.mrc"], "truth.mrc is named twice"),
        (["fsc", "truth.mrc", "loud.mrc"], "the limit is 1e+25"),
        (["fsc", "truth.mrc", "stack.mrc"], "stack.mrc is a tilt series"),
        (["fsc", "truth.mrc", "poor.mrc", "--csv", "-"], "only --json"),
        (["fsc", "truth.mrc", "poor.mrc", "--json", "pipe", "--overwrite"], "pipe exists"),
        (["fsc", "truth.mrc", "poor.mrc", "--voxel-size", "0"], "voxel size of 0.0"),
        (["fsc", "truth.mrc", "poor.mrc", "--mask", "small.mrc"], "24 x 32 x 30"),
        (["fsc", "truth.mrc", "poor.mrc", "--plot", "x.jpg"], "x.jpg is no name of a figure"),
        (["fsc", "truth.mrc", "poor.mrc", "--csv", "absent/x.csv"], "not an existing folder"),
        (["fsc", "truth.mrc", "poor.mrc", "--json", "truth.mrc", "--overwrite"], "named twice"),
        (["evaluate", "poor.mrc", "--truth", "small.mrc"], "24 x 32 x 30"),
        (["evaluate", "poor.mrc", "poor.mrc", "--truth", "truth.mrc"], "named twice"),
        (["evaluate", "poor.mrc"], "--truth"),
        (["evaluate", "--truth", "truth.mrc"], "ESTIMATE"),
    ],
)
def test_what_a_user_can_put_right_is_one_line_and_exit_code_2(folder, capsys, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    code, out, err = called(capsys, *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert said in err
    assert sorted(folder.iterdir()) == before


def test_nothing_is_overwritten_unless_asked(folder, capsys, tmp_path):
    words = ["fsc", folder / "truth.mrc", folder / "poor.mrc", "--csv", tmp_path / "x.csv"]
    (tmp_path / "x.csv").write_text("mine")
    code, _, err = called(capsys, *words)
    assert (code, (tmp_path / "x.csv").read_text()) == (2, "mine")
    assert "--overwrite" in err
    assert called(capsys, *words, "--overwrite")[0] == 0
    assert (tmp_path / "x.csv").read_text().startswith("shell,frequency_per_voxel,")


def test_unknown_voxel_sizes_and_inverted_density_are_warned_of(folder, capsys, tmp_path):
    inverted = -coloured(SHAPE, 1, 0.2)
    write_mrc(tmp_path / "a.mrc", inverted, 0.0)
    write_mrc(tmp_path / "b.mrc", -inverted, 0.0)
    code, out, err = called(capsys, "evaluate", tmp_path / "a.mrc", "--truth", tmp_path / "b.mrc")
    assert code == 0
    assert "give --voxel-size" in err
    assert "density of one inverted" in err
    assert "exact" in out
