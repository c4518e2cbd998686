"""What a run refuses, and that it leaves nothing behind and takes nothing away."""

from __future__ import annotations

import re

import numpy as np
import pytest
from run_support import options, write_stack

from cryolithe_stream.errors import InputError, MemoryBudgetError, OutputError
from cryolithe_stream.run import plan_run, reconstruct_series
from cryolithe_stream.run.options import RunOptions


@pytest.fixture
def fbp(series):
    return {**series, "method": "fbp"}


def spoiled(series, value: float, view: int = 4):
    """The series with a view that holds nothing."""
    stack = np.random.default_rng(1).standard_normal((13, 40, 56)).astype(np.float32)
    stack[view] = value
    write_stack(series["stack"], stack)
    return series


def test_a_constant_view_is_refused_leaves_nothing_and_may_be_excluded(fbp, tmp_path):
    spoiled(fbp, 7.0)
    out = tmp_path / "out.ome.zarr"
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="--exclude 5"):
        reconstruct_series(options(out, **fbp))
    assert sorted(tmp_path.iterdir()) == before
    assert reconstruct_series(options(out, **fbp, exclude="5")).status == "done"


@pytest.mark.parametrize("cluster", ["local:1", "threads:3"])
def test_the_memory_that_a_refusal_names_is_just_enough(fbp, tmp_path, cluster):
    told = {**fbp, "cluster": cluster}
    with pytest.raises(MemoryBudgetError, match="the limit is 21 MiB") as refused:
        plan_run(options(tmp_path / "out.ome.zarr", **told, memory="21MiB"))
    named = re.search(r"--memory (\d+)MiB", str(refused.value))
    enough = int(named[1])
    plan_run(options(tmp_path / "out.ome.zarr", **told, memory=f"{enough}MiB"))
    with pytest.raises(MemoryBudgetError):
        plan_run(options(tmp_path / "out.ome.zarr", **told, memory=f"{enough - 2}MiB"))


def test_an_interruption_before_anything_is_prepared_leaves_nothing(fbp, tmp_path):
    class Impatient:
        def phase(self, name: str, total: int, unit: str) -> None:
            raise KeyboardInterrupt

        def advance(self, n: int, voxels: int = 0) -> None: ...

        def message(self, text: str) -> None: ...

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        reconstruct_series(options(tmp_path / "out.ome.zarr", **fbp), Impatient())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["x.mrc", "x.ome.zarr"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_refused_at_once_and_stays(fbp, tmp_path, name, overwrite):
    def refused() -> None:
        with pytest.raises(OutputError, match="was not written by cryolithe-stream"):
            reconstruct_series(options(out, **fbp, overwrite=overwrite))
        assert not out.with_name(name + ".partial").exists()

    out = tmp_path / name
    out.symlink_to("nowhere")
    refused()
    assert str(out.readlink()) == "nowhere"
    out.unlink()
    out.write_text("mine")
    refused()
    assert out.read_text() == "mine"
    out.unlink()
    (tmp_path / "folder").mkdir()
    out.symlink_to("folder")
    refused()
    assert (tmp_path / "folder").is_dir()
    out.unlink()
    out.mkdir()
    (out / "data").write_text("mine")
    refused()
    assert (out / "data").read_text() == "mine"


def test_an_empty_folder_may_become_a_zarr_but_not_a_file(fbp, tmp_path):
    for name in ("x.ome.zarr", "x.mrc"):
        (tmp_path / name).mkdir()
    assert reconstruct_series(options(tmp_path / "x.ome.zarr", **fbp)).status == "done"
    with pytest.raises(OutputError, match="was not written by"):
        reconstruct_series(options(tmp_path / "x.mrc", **fbp, overwrite=True))


def test_a_file_in_the_place_of_the_workspace_stays(fbp, tmp_path):
    partial = tmp_path / "x.ome.zarr.partial"
    partial.write_text("mine")
    with pytest.raises(OutputError, match=r"holds no ledger\. Move it away"):
        reconstruct_series(options(tmp_path / "x.ome.zarr", **fbp, overwrite=True))
    assert partial.read_text() == "mine"


def test_the_parent_of_the_output_is_a_folder(fbp, tmp_path):
    for parent in (tmp_path / "absent", fbp["stack"]):
        with pytest.raises(OutputError, match="is not an existing folder"):
            reconstruct_series(options(parent / "x.mrc", **fbp))


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"output": "x.MRC"}, "ends in .ome.zarr or .mrc"),
        ({"thickness": 10**10}, "less than or equal to 100000"),
        ({"thickness": True}, "a number is expected"),
        ({"pixel_size": 0}, "pixel-size: got 0"),
        ({"odd": "a.mrc", "even": "a.mrc"}, "same file as odd"),
        ({"bin": ["x"] * 10_000}, "…, it should be a valid integer. Correct it and start again"),
    ],
)
def test_options_that_are_refused(values, part):
    with pytest.raises(InputError) as caught:
        RunOptions.merged({"stack": "ts.mrc", "output": "x.mrc", **values})
    assert part in str(caught.value)
    assert len(str(caught.value)) < 300
