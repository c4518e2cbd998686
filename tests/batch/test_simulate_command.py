"""`batch simulate`: from a manifest and for series that are elsewhere."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest
from run_support import write_series

from cryolithe_stream.batch.costs import read_costs
from cryolithe_stream.batch.imagined import described_kind, parse_counts, parse_frames, simulated_batches
from cryolithe_stream.batch.workload import series_work, strips_file_bytes
from cryolithe_stream.errors import InputError
from cryolithe_stream_cli.main import main

DESCRIBED = ["--series", "5", "--frames", "21x128x160", "--pixel-size", "10", "--method", "fbp"]


def simulated(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["batch", "simulate", *words, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_series_that_are_not_on_the_disk(capsys):
    found = simulated(capsys, *DESCRIBED, "--workers", "1,2,4")
    one, two, four = found["results"]
    assert (found["series"], found["at_once"]) == (5, None)
    assert [r["workers"] for r in found["results"]] == [1, 2, 4]
    voxels = prod(one["plans"][0]["volume_zyx"])
    assert one["plans"][0]["volume_zyx"] == [40, 128, 160]
    assert one["makespan_seconds"] >= one["worker_seconds"] > 0
    assert two["makespan_seconds"] < one["makespan_seconds"]
    assert one["speed_up"] == 1
    pixels = 21 * 128 * 160
    assert one["bytes_written"] >= 5 * 4 * (voxels + 2 * pixels)
    assert all(0 <= r["idle_share"] <= 1 and 0 <= r["client_share"] <= 1 for r in (one, two, four))


def test_a_table_for_people_names_the_costs(capsys):
    assert main(["batch", "simulate", *DESCRIBED, "--workers", "1,8", "--bandwidth", "1GB/s", "--at-once", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["workers", "1", "8", "5"]
    assert lines[-1] == f"5 series, 5 at once; costs: {read_costs().machine}, measured {read_costs().measured}"


def test_a_manifest_is_simulated_as_it_would_be_run(tmp_path: Path, capsys):
    for number in range(3):
        write_series(tmp_path / "in" / f"TS_{number}", seed=number)
    manifest = tmp_path / "m.yaml"
    assert main(["batch", "plan", str(tmp_path / "in"), "-o", str(manifest), "--method", "fbp"]) == 0
    capsys.readouterr()
    found = simulated(capsys, str(manifest), "--workers", "2", "--thickness", "24")
    assert found["series"] == 3
    assert found["results"][0]["plans"][0]["volume_zyx"] == [24, 40, 56]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "what is to be simulated was not said"),
        (["m.yaml", *DESCRIBED], "a manifest was named"),
        (DESCRIBED[:2], "what is to be simulated"),
        ([*DESCRIBED[:4], "--method", "fbp"], "the pixel size of the stacks is not known"),
        ([*DESCRIBED, "--workers", "0"], "names no numbers of workers"),
        ([*DESCRIBED[:2], "--frames", "1x64x64", "--pixel-size", "1"], "names no stack"),
        ([*DESCRIBED, "--bandwidth", "fast"], "--bandwidth: got 'fast'"),
        ([*DESCRIBED, "--costs", "none.yaml"], "none.yaml cannot be read"),
        (["--series", "1", "--frames", "9x64x64", "--pixel-size", "9", "--engine", "exact"], "do not hold"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_a_line(words, part, capsys):
    assert main(["batch", "simulate", *words]) == 2
    told = capsys.readouterr()
    assert part in told.err and len(told.err.splitlines()) == 1
    assert not told.out


@pytest.mark.parametrize("text", ["machine: x", "machine: [", "{}", "client: {per_task: -1}"])
def test_files_that_are_no_costs(text, tmp_path):
    file = tmp_path / "costs.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"costs\.yaml"):
        read_costs(file)


def test_counts_and_frames_of_people():
    assert parse_counts("1, 2,512") == (1, 2, 512)
    assert parse_frames(" 41 x 1024×960") == (41, 1024, 960)


def test_blocks_take_what_the_plan_says():
    """Bytes read by all blocks are those of whole chunks, and the work is the plan's without its fixed cost."""
    kind = described_kind(1, (21, 200, 256), {"pixel_size": 10.0, "method": "fbp", "bin": 1})
    costs = read_costs()
    survey = kind.survey(4)
    blocks = series_work(survey, costs).stages[1].tasks
    assert len(blocks) == len(survey.plan)
    tilts = survey.series[0].tilts_deg
    layouts = [survey.reconstructor.layout(block.volume_box, tilts) for block in survey.plan]
    assert sum(task.bytes_read for task in blocks) == sum(strips_file_bytes(strips, survey) for strips in layouts)
    assert sum(task.bytes_read for task in blocks) >= survey.plan.bytes_read
    assert sum(task.bytes_written for task in blocks) == 4 * survey.window.n_voxels
    each = costs.block(survey.recipe)
    work = sum(
        survey.reconstructor.cost(block.box.shape, strips) for block, strips in zip(survey.plan, layouts, strict=True)
    )
    files = sum(
        costs.read.each
        + costs.read.per_byte * task.bytes_read
        + costs.write.each
        + costs.write.per_byte * task.bytes_written
        for task in blocks
    )
    assert sum(task.seconds for task in blocks) == pytest.approx(len(blocks) * each.each + each.per_unit * work + files)


def test_a_long_batch_on_many_workers_is_near_its_work():
    kind = described_kind(60, (41, 512, 512), {"pixel_size": 10.0, "precision": "float32", "bin": 1})
    ((found, surveys),) = simulated_batches([kind], read_costs(), workers=[16], at_once=3)
    assert found.busy_s / 16 <= found.makespan_s <= 1.1 * found.busy_s / 16
    assert found.tasks >= 60 * len(surveys[0].plan)
