"""The command line that scripts rely on: flags, exit codes, one line for a fault."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cryolithe_stream.errors import CryolitheWarning, DamagedStoreError, InputError
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream_cli.faults import report, warnings_as_lines
from cryolithe_stream_cli.flags import FLAGS
from cryolithe_stream_cli.main import app, main

ROOT = Path(__file__).parents[2]
ISSUE_FLAGS = """--angles --alignment --model --method --engine --oversample --grid --thickness --bin --pixel-size --roi
    --halves --odd --even --patch-scale --invert --alignment-pixel-size --ome-zarr --precision --device --memory
    --cluster --dtype --exclude --config --overwrite --dry-run -o""".split()


def program(*words: str, **kwargs) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", "COLUMNS": "200"}
    command = [sys.executable, "-m", "cryolithe_stream_cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False, **kwargs)


def test_every_option_is_a_flag_and_every_flag_an_option():
    assert {flag.name for flag in FLAGS} | {"stack"} == set(RunOptions.model_fields)


def test_choices_in_the_help_are_the_options_literals():
    for flag in FLAGS:
        if flag.choices and flag.name not in ("model", "device", "cluster"):
            for choice in flag.choices:
                made = RunOptions(**{"stack": "a", "output": "b.mrc", flag.name: choice})
                assert getattr(made, flag.name) == choice


@pytest.mark.parametrize("command", ["run", "plan"])
def test_help_shows_the_flags(command):
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    shown = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))
    assert set(ISSUE_FLAGS) - ({"--dry-run"} if command == "plan" else set()) <= shown


def test_help_loads_nothing_heavy():
    words = "import sys; from cryolithe_stream_cli.main import main; main(['run', '--help']); "
    heavy = "print([m for m in ('torch', 'dask', 'zarr', 'mrcfile', 'matplotlib') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"}
    out = subprocess.run(
        [sys.executable, "-c", words + heavy], capture_output=True, text=True, env=environment, check=True
    )
    assert out.stdout.rstrip().endswith("[]")


def test_usage_faults_are_one_line_and_exit_2():
    result = program("run", "ts.mrc", "--bni", "3")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"error: No such option.* .?--bni.*--bin.*\n", result.stderr)


def test_option_faults_are_one_line_and_exit_2():
    result = program("run", "ts.mrc", "--bin", "0", "--method", "fpb", "-o", "x.tif")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"error: 3 options are wrong: .*\n", result.stderr)


def test_version_and_unknown_command(capsys):
    assert main(["--help"]) == main(["--version"]) == 0
    assert "cryolithe-stream " in capsys.readouterr().out
    assert main(["reconstrut"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("the stack has 3 views, 4 angles were given", fix="Give one angle a view"), 2, "3 views"),
        (DamagedStoreError("a chunk is damaged"), 1, "a chunk is damaged"),
        (OSError(28, "No space left on device", "out.ome.zarr"), 2, "out.ome.zarr: No space left on device"),
        (RuntimeError("two\nlines"), 1, "RuntimeError: two lines. `--debug` shows where"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_fault_is_one_line_with_its_code(capsys, error, code, line):
    assert report(error, debug=False) == code
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert line in text
    assert text.count("\n") == 1


def test_ctrl_c_stops_within_seconds_and_leaves_no_output(example, tmp_path):
    output = tmp_path / "out.ome.zarr"
    words = [
        str(example / "ts254.mrc"),
        "--angles",
        str(example / "ts254.tlt"),
        "--alignment",
        str(example / "ts254.xf"),
    ]
    slow = ["--engine", "exact", "--thickness", "120", "--cluster", "threads:1", "-o", str(output)]
    command = [sys.executable, "-m", "cryolithe_stream_cli", "run", *words, *slow]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("reconstructing"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert (process.returncode, rest) == (130, "error: interrupted; the same command continues where it stopped\n")
    assert not output.exists()


def test_debug_shows_the_traceback(tmp_path, capsys):
    assert main(["info", "--debug", str(tmp_path / "absent.mrc")]) == 2
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.splitlines()[-1].startswith("error: ")


def test_our_warnings_are_one_line_and_those_of_libraries_quiet(capsys, monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings_as_lines():
        for _ in range(2):
            warnings.warn("the stack\nlooks inverted", CryolitheWarning, stacklevel=2)
        warnings.warn("old", DeprecationWarning, stacklevel=2)
    assert capsys.readouterr().err == "warning: the stack looks inverted\n"


def test_info_of_what_is_not_there(tmp_path, capsys):
    assert main(["info", str(tmp_path / "absent.mrc")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_info_of_the_example(example, capsys):
    assert main(["info", str(example / "ts254.mrc")]) == 0
    assert "20 Å" in capsys.readouterr().out
    assert main(["info", "--json", str(example / "ts254.mrc")]) == 0
    assert json.loads(capsys.readouterr().out)


def test_convert_asks_for_safetensors_and_keeps_what_is_there(tmp_path, capsys):
    assert main(["models", "convert", "default", str(tmp_path / "m.pth")]) == 2
    assert ".safetensors" in capsys.readouterr().err
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"mine")
    assert main(["models", "convert", "default", str(target)]) == 2
    assert target.read_bytes() == b"mine"


def test_readme_names_every_flag_and_exit_code():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for flag in FLAGS:
        assert f"`--{flag.name.replace('_', '-')}" in text or f"`-o`, `--{flag.name}" in text
    for code in (0, 1, 2, 130):
        assert f"| {code} |" in text
