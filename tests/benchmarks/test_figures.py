"""Each figure script runs as its first lines say, and draws a picture."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from benchmarks.comparison import Methods, write_json
from benchmarks.quality import quality
from benchmarks.reconstructions import Reconstruction
from benchmarks.robustness import robustness
from benchmarks.specimen_sets import procedural
from cryolithe_stream_cli.main import main

ROOT = Path(__file__).parents[2]
SIZE = "24,24,48"


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", ROOT / "examples" / f"figure_{script}.py", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])}
    return subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment)


def drawn(picture: Path) -> bool:
    """Whether a picture holds more than paper."""
    pixels = matplotlib.image.imread(picture)[..., :3]
    return min(pixels.shape[:2]) > 300 and float((pixels < 0.5).mean()) > 0.003


@pytest.mark.parametrize("script", ["slices", "fsc", "noise", "tilts"])
def test_figures_of_series_simulated_on_the_way(script, tmp_path):
    done = run(script, tmp_path / "figure.png", "--size", SIZE)
    assert done.returncode == 0, done.stderr
    assert drawn(tmp_path / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_figures_of_what_the_benchmarks_wrote(tmp_path, monkeypatch):
    def main(script: str, *words: object) -> None:
        monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
        runpy.run_path(str(ROOT / "examples" / f"figure_{script}.py"), run_name="__main__")

    methods = Methods(Reconstruction.of(None, device="cpu"), (), ())
    small = (24, 24, 48)
    found = quality({"one": lambda: procedural(small, (7001,))}, [-5.0, 5.0], methods)
    found["methods"]["names"].append("at -5 dB only")
    found["results"].append(found["results"][0] | {"method": "at -5 dB only"})
    write_json(tmp_path / "q.json", found)
    write_json(tmp_path / "r.json", robustness(["removed"], [7403], methods, shape=small))
    main("noise", tmp_path / "n.png", "--json", tmp_path / "q.json", "--set", "one")
    main("tilts", tmp_path / "t.png", "--json", tmp_path / "r.json")
    assert drawn(tmp_path / "n.png") and drawn(tmp_path / "t.png")
    with pytest.raises(SystemExit, match="is no quality benchmark"):
        main("noise", tmp_path / "x.png", "--json", tmp_path / "r.json")
    assert not (tmp_path / "x.png").exists()


def test_a_figure_of_simulated_batches(tmp_path):
    described = ["--series", "3", "--frames", "9x64x64", "--pixel-size", "10", "--method", "fbp"]
    assert main(["batch", "simulate", *described, "--workers", "1,2,8", "--json", str(tmp_path / "b.json")]) == 0
    done = run("scaling", tmp_path / "s.png", f"small={tmp_path / 'b.json'}")
    assert done.returncode == 0, done.stderr
    assert drawn(tmp_path / "s.png")
    (tmp_path / "other.json").write_text("[]")
    assert "is no simulated batch" in run("scaling", tmp_path / "x.png", f"a={tmp_path / 'other.json'}").stderr
    assert not (tmp_path / "x.png").exists()
