"""`batch plan` as people meet it: a table, a manifest, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from batch_trees import angles, series, stack

from cryolithe_stream.batch import read_manifest
from cryolithe_stream.run import plan_run
from cryolithe_stream_cli.main import main


@pytest.fixture
def source(tmp_path):
    for name in ("TS_01", "TS_02"):
        series(tmp_path / "data" / "grid" / name, name)
    stack(tmp_path / "data" / "single.mrc", (1, 4, 4))
    return tmp_path / "data"


def test_a_manifest_and_a_table(source, tmp_path, capsys):
    output = tmp_path / "m.yaml"
    assert main(["batch", "plan", str(source), "-o", str(output), "--thickness", "200", "--bin", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["series", "views", "size", "pixel", "alignment", "halves"]
    assert lines[1].split() == ["grid/TS_01", "5", "8", "x", "6", "2.5", "Å", "grid/TS_01/TS_01.xf", "-"]
    assert any(line.startswith("single.mrc") and "a single image" in line for line in lines)
    assert any(line.startswith("recipe etomo:") for line in lines)
    assert lines[-1] == f"2 series found, 1 skipped → {output}"
    manifest = read_manifest(output)
    assert manifest.options == {"thickness": 200, "bin": 2}
    assert manifest.source == source
    options = manifest.run_options(manifest.series[0], tmp_path / "out")
    assert (options.thickness, options.bin) == (200, 2)
    assert options.output == tmp_path / "out" / "grid" / "TS_01.ome.zarr"


def test_json_on_standard_output_and_nothing_else(source, tmp_path, capsys):
    assert main(["batch", "plan", str(source), "-o", str(tmp_path / "m.yaml"), "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in told["series"]] == ["grid/TS_01", "grid/TS_02"]
    assert told["series"][0]["shape_vyx"] == [5, 6, 8]
    assert told["skipped"] == [{"path": "single.mrc", "reason": "a single image, not a tilt series"}]
    assert told["tried"]["etomo"] == 2


def test_nothing_found_is_exit_code_1_and_no_manifest(tmp_path, capsys):
    stack(tmp_path / "bare.mrc")
    assert main(["batch", "plan", str(tmp_path), "-o", str(tmp_path / "m.yaml")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "0 series found, 1 skipped; nothing written"
    assert "no tilt angles for bare.mrc" in lines[1]
    assert not (tmp_path / "m.yaml").exists()


def test_a_manifest_that_is_there_stays_before_anything_is_searched(source, tmp_path, capsys):
    output = tmp_path / "m.yaml"
    output.write_text("mine")
    assert main(["batch", "plan", str(source), "-o", str(output)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert main(["batch", "plan", str(source), "-o", str(output), "--overwrite"]) == 0
    assert len(read_manifest(output).series) == 2


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["{source}", "--recipe", "etmo"], "did you mean 'etomo'"),
        (["{source}", "--thickness", "many", "--method", "fpb"], "2 options are wrong"),
        (["{source}/nowhere"], "does not exist"),
        ([], "no folder is named"),
        (["{source}", "-o", "{source}/no/m.yaml"], "is no folder"),
        (["{source}", "--angles", "x.tlt"], "No such option"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(source, tmp_path, monkeypatch, capsys, words, part):
    monkeypatch.chdir(tmp_path)
    assert main(["batch", "plan", *(word.format(source=source) for word in words)]) == 2
    captured = capsys.readouterr()
    assert part in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (tmp_path / "manifest.yaml").exists()


def test_the_path_of_a_model_holds_from_any_folder(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.safetensors").touch()
    for model, kept in (("own.safetensors", str(tmp_path / "own.safetensors")), ("default", "default")):
        assert main(["batch", "plan", str(source), "-o", "m.yaml", "--overwrite", "--model", model]) == 0
        assert read_manifest(Path("m.yaml")).options == {"model": kept}


def test_names_that_steer_terminals_are_written_out(tmp_path, capsys):
    folder = tmp_path / "d\x1b[31m"
    series(folder, "a\nb")
    stack(folder / "x\x1b]0;t\x07.mrc", (1, 4, 4))
    assert main(["batch", "plan", str(tmp_path), "-o", str(tmp_path / "m.yaml")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert out.splitlines()[1].startswith("d_[31m/a_b")


def test_a_reader_that_goes_away_leaves_a_whole_manifest(source, tmp_path):
    words = [sys.executable, "-m", "cryolithe_stream_cli", "batch", "plan", str(source), "-o", str(tmp_path / "m.yaml")]
    root = Path(__file__).parents[2]
    subprocess.run(
        ["sh", "-c", 'exec "$@" | true', "sh", *words],
        check=True,
        env={"PYTHONPATH": f"{root}:{root / 'cli'}", "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert len(read_manifest(tmp_path / "m.yaml").series) == 2


def test_plan_of_a_folder_where_angles_are_but_no_alignment_says_so(tmp_path, capsys):
    stack(tmp_path / "d" / "a.mrc")
    angles(tmp_path / "d" / "a.tlt")
    assert main(["batch", "plan", str(tmp_path / "d"), "-o", str(tmp_path / "m.yaml")]) == 0
    assert "none: taken as aligned" in capsys.readouterr().out


def test_the_real_series_is_planned_as_run_takes_it(example, tmp_path):
    output = tmp_path / "m.yaml"
    assert main(["batch", "plan", str(example), "-o", str(output), "--method", "fbp", "--thickness", "120"]) == 0
    manifest = read_manifest(output)
    (one,) = manifest.series
    assert (one.name, one.alignment) == ("ts254", example / "ts254.xf")
    planned = plan_run(manifest.run_options(one, tmp_path / "out")).summary()
    assert (planned["tilts"], planned["thickness_from"]) == (41, "--thickness")
