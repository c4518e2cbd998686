"""A batch into an object store: the record stays here, tomograms go there, a run that was stopped goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "run"))

from run_support import fingerprint_of_files, write_series
from s3_support import objects

from cryolithe_stream_cli.main import main


@pytest.mark.slow
def test_two_series_of_which_one_is_in_the_bucket(proxy, files, out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bucket = out[5:].partition("/")[0]
    entries = []
    for i in (1, 2):
        series = write_series(tmp_path / f"in{i}", n_tilts=7, shape_yx=(40, 80), seed=i)
        entries.append({"name": f"TS_{i}", **{role: str(path) for role, path in series.items()}})
    content = {"cryolithe_stream": "manifest 1", "source": ".", "options": {"method": "fbp", "thickness": 12}}
    how = ["--cluster", "threads", "--device", "cpu"]
    Path("here.yaml").write_text(yaml.safe_dump({**content, "series": entries}))
    assert main(["batch", "run", "here.yaml", "-o", "here", *how]) == 0
    capsys.readouterr()
    files.put_file(entries[1]["stack"], f"{bucket}/raw/ts.mrc")
    entries[1]["stack"] = f"s3://{bucket}/raw/ts.mrc"
    Path("m.yaml").write_text(yaml.safe_dump({**content, "series": entries}))
    command = ["batch", "run", "m.yaml", "-o", f"s3://{bucket}/tomograms", *how]

    proxy.fail(500, after=1)
    assert main(command) == 1
    assert "failed" in capsys.readouterr().out
    proxy.fault = None
    assert not files.exists(f"{bucket}/tomograms/TS_1.ome.zarr/zarr.json")
    assert main(["batch", "retry", "tomograms"]) == 0
    assert "2 done" in capsys.readouterr().out
    for i in (1, 2):
        there = objects(files, f"{bucket}/tomograms/TS_{i}.ome.zarr")
        assert {k: v for k, v in there.items() if "/c/" in k} == fingerprint_of_files(Path(f"here/TS_{i}.ome.zarr"))
    assert sorted(path.name for path in Path("tomograms").iterdir()) == [".cryolithe-batch", "batch-report.json"]
    assert main(["batch", "status", "tomograms"]) == 0
    assert "2 done, 0 failed" in capsys.readouterr().out
    assert main(command) == 0
    assert "2 skipped" in capsys.readouterr().out
    assert main([*command[:4], f"s3://{bucket}/elsewhere", "--workspace", "tomograms"]) == 2
    assert "Name another --workspace" in capsys.readouterr().err
