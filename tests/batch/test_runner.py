"""Batches: every series as a run of its own would have it, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from batch_support import run_jobs
from run_support import fingerprint_of_files, options, write_series

from cryolithe_stream.batch import BatchRecord, Job, read_outcomes, run_batch
from cryolithe_stream.batch.runner import Ready
from cryolithe_stream.errors import CryolitheWarning, MissingFileError, OutputError
from cryolithe_stream.run import reconstruct_series


def jobs_of(folder: Path, out: Path, model: Path, n: int, **more) -> list[Job]:
    """Series of different sizes and content."""
    found = []
    for number in range(n):
        name = f"grid{number % 2}/TS_{number:02d}"
        series = write_series(folder / name, shape_yx=(40 + 8 * number, 56), seed=number)
        given = {**series, "model": str(model), "thickness": 12, **more}
        found.append(Job(name, options(out / f"{name}.ome.zarr", **given)))
    return found


@pytest.mark.parametrize("cluster", ["threads:2", "local:2"])
def test_a_batch_gives_what_single_runs_give(tmp_path, model, cluster):
    jobs = jobs_of(tmp_path / "in", tmp_path / "out", model, 4)
    result = run_jobs(jobs, tmp_path / "out", cluster=cluster)
    assert result.counts() == {"done": 4, "failed": 0, "skipped": 0}
    for job in jobs:
        alone = job.options.model_copy(update={"output": tmp_path / "alone.ome.zarr", "overwrite": True})
        reconstruct_series(alone)
        assert fingerprint_of_files(job.options.output) == fingerprint_of_files(alone.output)
        assert not job.options.output.with_name(job.options.output.name + ".partial").exists()
    report = json.loads(result.report.read_text())
    assert [entry["name"] for entry in report["series"]] == sorted(job.name for job in jobs)
    assert all(entry["figures"]["blocks"] > 0 for entry in report["series"])
    again = run_jobs(jobs, tmp_path / "out", cluster="threads")
    assert again.counts() == {"done": 0, "failed": 0, "skipped": 4}


def test_what_fails_is_recorded_with_its_reason_and_done_when_it_is_mended(tmp_path, model):
    out = tmp_path / "out"
    jobs = jobs_of(tmp_path / "in", out, model, 5)
    angles = jobs[1].options.angles
    kept = angles.read_text()
    angles.write_text("0\n1\n")
    stack = jobs[2].options.stack
    whole = stack.read_bytes()
    stack.write_bytes(whole[: len(whole) // 2])
    blocked = jobs[3].options.output
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("not a tomogram")
    result = run_jobs(jobs, out, cluster="threads:2")
    assert result.counts() == {"done": 2, "failed": 3, "skipped": 0}
    found = read_outcomes(out)
    assert "has 2 rows" in found[jobs[1].name].reason
    assert str(stack) in found[jobs[2].name].reason
    assert "not written by cryolithe-stream" in found[jobs[3].name].reason
    assert blocked.read_text() == "not a tomogram"
    for job in (jobs[1], jobs[2]):
        assert not job.options.output.exists()
        assert not job.options.output.with_name(job.options.output.name + ".partial").exists()
    angles.write_text(kept)
    stack.write_bytes(whole)
    blocked.unlink()
    again = run_jobs(jobs, out, cluster="threads:2")
    assert again.counts() == {"done": 3, "failed": 0, "skipped": 2}
    assert all(outcome.is_complete and not outcome.reason for outcome in read_outcomes(out).values())


def test_a_stack_that_breaks_off_while_it_is_prepared_fails_alone(tmp_path, model):
    """The header and the file's size are whole; a frame holds what cannot be used."""
    jobs = jobs_of(tmp_path / "in", tmp_path / "out", model, 3)
    stack = jobs[0].options.stack
    values = np.memmap(stack, np.float32, "r+", offset=1024)
    values[5000] = np.nan
    values.flush()
    result = run_jobs(jobs, tmp_path / "out", cluster="local:2")
    assert [o.status for o in result.outcomes] == ["failed", "done", "done"]
    assert "view 3 of" in result.outcomes[0].reason and "NaN" in result.outcomes[0].reason


def test_warnings_belong_to_their_series(tmp_path, model):
    jobs = jobs_of(tmp_path / "in", tmp_path / "out", model, 3)
    strange = jobs[1].options.model_copy(update={"precision": "float16", "thickness": 4})
    jobs[1] = Job(jobs[1].name, strange)
    with warnings.catch_warnings():
        warnings.simplefilter("always", CryolitheWarning)
        result = run_jobs(jobs, tmp_path / "out", cluster="threads:1")
    told = [outcome.warnings for outcome in result.outcomes]
    assert [len(lines) for lines in told] == [0, 1, 0]
    assert "float16 on a CPU" in told[1][0]


class Brought:
    """Files that come until there is a fault; `ends` has what the record says of each job when its files may go."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder, self.n, self.fault, self.ends = folder, n, None, {}

    @contextmanager
    def brought(self, job, progress):
        if self.n == 0:
            self.fault = self.fault or OutputError("the disk is full")
            raise self.fault
        self.n -= 1
        yield Ready(job.options, {"entry": "here"})
        self.ends[job.name] = read_outcomes(self.folder).get(job.name)

    def halt(self):
        raise AssertionError("nothing was given up")


def test_files_go_when_their_tomogram_is_on_record_and_a_fault_ends_all_that_have_none(tmp_path, model):
    out = tmp_path / "out"
    jobs, files = jobs_of(tmp_path / "in", out, model, 4), Brought(tmp_path / "out", 2)
    with BatchRecord.open(out) as record, pytest.raises(OutputError, match="the disk is full"):
        run_batch(jobs, record, at_once=2, files=files)
    assert len(files.ends) == 2
    for name, outcome in files.ends.items():
        assert outcome.status == "done" and outcome.source == {"entry": "here"}
        assert (out / f"{name}.ome.zarr").is_dir()
    assert read_outcomes(out) == files.ends, "nothing is recorded of those that did not begin"


def test_two_batches_in_one_folder(tmp_path, model):
    jobs = jobs_of(tmp_path / "in", tmp_path / "out", model, 1)
    with BatchRecord.open(tmp_path / "out"), pytest.raises(OutputError, match=f"process {os.getpid()}"):
        run_jobs(jobs, tmp_path / "out", cluster="threads")
    with pytest.raises(MissingFileError, match="holds no batch"):
        read_outcomes(tmp_path / "elsewhere")
