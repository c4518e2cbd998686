"""Clusters of every kind that this machine can start: real schedulers, real workers, real jobs."""

from __future__ import annotations

import gc
import json
import os
import urllib.request
from pathlib import Path

import distributed
import pytest
from cluster_support import program, scheduler, who
from dask.utils import key_split
from distributed import Security
from run_support import fingerprint_of_files, options

from cryolithe_stream.errors import FormatError, InputError, MissingFileError
from cryolithe_stream.geometry import Box, VolumeFrame
from cryolithe_stream.plan import Block
from cryolithe_stream.run import cluster as clusters
from cryolithe_stream.run import clusters as starting
from cryolithe_stream.run import plan_run, reconstruct_series, watch
from cryolithe_stream.run.cluster import cluster_size, open_cluster
from cryolithe_stream.run.cluster_words import Scale
from cryolithe_stream.run.clusters import cluster_class_of
from cryolithe_stream.run.gpus import kept_device
from cryolithe_stream.run.job import BlockTask, Recipe, ShardTask, Target
from cryolithe_stream.run.sizes import ClusterSize


def test_a_scheduler_file_gives_the_same_voxels_and_plans_for_the_smallest_worker(tmp_path, series):
    given = {**series, "method": "fbp"}
    reconstruct_series(options(tmp_path / "here.ome.zarr", **given))
    with scheduler(tmp_path, "--nthreads 1 --memory-limit 3GB", "--nthreads 2 --memory-limit 2GB") as file:
        word = f"file:{file}"
        size = wait_for_workers(word, 2)
        assert size == ClusterSize(2, 2, 1, 2 * 10**9)
        there = options(tmp_path / "there.ome.zarr", **given, cluster=word)
        assert plan_run(there).survey.plan.budget_bytes == 2 * 10**9 * 4 // 5 // 2
        with pytest.warns(Warning, match="the smallest worker has 2 GB"):
            plan_run(options(tmp_path / "x.mrc", **given, cluster=word, memory="9GB"))
        assert reconstruct_series(there).status == "done"
    assert fingerprint_of_files(tmp_path / "there.ome.zarr") == fingerprint_of_files(tmp_path / "here.ome.zarr")


def wait_for_workers(word: str, n: int) -> ClusterSize:
    with open_cluster(word) as workers:
        workers.client.wait_for_workers(n, timeout=200)
    return cluster_size(word)


def test_tasks_that_need_a_gpu_go_to_workers_that_declare_one(tmp_path):
    with scheduler(tmp_path, "--nthreads 3 --name without", "--nthreads 2 --name with --resources GPU=1") as file:
        word = f"file:{file}"
        size = wait_for_workers(word, 2)
        assert (size.processes, size.slots, size.threads, size.gpus) == (1, 1, 2, True)
        with open_cluster(word, size=size) as workers:
            assert {name for name, _ in workers.map(who, range(12), what="a task")} == {"with"}


def test_blocks_are_planned_for_gpus_that_this_machine_has_not(tmp_path, series):
    there = options(tmp_path / "x.mrc", **{**series, "device": "auto"}, cluster="slurm:cores=8,memory=16GiB,gpus=2")
    survey = plan_run(there).survey
    assert (survey.recipe.device, survey.cluster.workers, survey.cluster.threads) == ("cuda", 2, 4)
    assert survey.plan.budget_bytes == 8 * 2**30 * 4 // 5
    on_cpu = plan_run(there.model_copy(update={"device": "cpu"})).survey
    assert (on_cpu.recipe.device, on_cpu.cluster.gpus) == ("cpu", False)


def test_the_gpu_that_a_worker_keeps():
    names = ["0", "1", "2", "SLURMCluster-7-0", "SLURMCluster-7-1", "worker"]
    assert [kept_device(name, ["4", "5"]) for name in names] == ["4", "5", "4", "4", "5", "4"]


def test_a_scheduler_without_workers_is_waited_for_and_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "TELL_AFTER_S", 0.3)

    class ToldError(Exception):
        pass

    def tell(text: str) -> None:
        raise ToldError(text)

    with scheduler(tmp_path) as file, open_cluster(f"file:{file}") as workers:
        assert cluster_size(f"file:{file}") == ClusterSize(1, 1, 1)
        with pytest.raises(ToldError, match="no worker has started yet"):
            workers.await_first(tell)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"address": 5}', '{"address": "file:x"}', "[" * 100_000])
def test_files_that_are_no_scheduler_files(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(FormatError, match="no scheduler file"):
        cluster_size(f"file:{tmp_path / 's.json'}")
    with pytest.raises(MissingFileError, match="cannot be read"):
        cluster_size(f"file:{tmp_path / 'absent.json'}")


def test_a_plan_for_a_scheduler_that_does_not_answer_says_what_it_assumes(tmp_path, series, monkeypatch):
    monkeypatch.setattr(clusters, "ASK_S", 1.0)
    with pytest.warns(Warning, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 .*assumes one worker"):
        plan_run(options(tmp_path / "x.mrc", **series, method="fbp", cluster="tcp://127.0.0.1:1"))


def certificates(folder: Path) -> dict[str, str]:
    """Dask's temporary certificates as files."""
    held, files = Security.temporary(), {}
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        files[name] = str(folder / name)
        Path(files[name]).write_text(getattr(held, name))
    return files


def test_tls_takes_certificates_from_the_configuration_and_says_when_there_are_none(tmp_path):
    own, other = certificates(tmp_path), tmp_path / "other"
    other.mkdir()

    def configured(files: dict[str, str]) -> dict[str, str]:
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        return {
            f"{tls}CA_FILE": files["tls_ca_file"],
            f"{tls}CLIENT__CERT": files["tls_client_cert"],
            f"{tls}CLIENT__KEY": files["tls_client_key"],
        }

    tls = (
        "--tls-ca-file",
        own["tls_ca_file"],
        "--tls-cert",
        own["tls_client_cert"],
        "--tls-key",
        own["tls_client_key"],
    )
    with scheduler(tmp_path, "--nthreads 1", protocol="tls", tls=tls) as file:
        address = json.loads(file.read_text())["address"]
        assert address.startswith("tls://127.0.0.1:")
        words = ["doctor", "--cluster", address, "--json", "-"]
        ours = program(*words, **configured(own))
        assert (ours.returncode, len(json.loads(ours.stdout)["workers"])) == (0, 1), ours.stderr
        for files, part in (({}, "wants certificates and none is configured"), (certificates(other), "do not fit")):
            found = program(*words, **(configured(files) if files else {}))
            assert found.returncode == 2
            assert part in found.stderr
            assert found.stderr.count("\n") == 1, found.stderr


CLASS = "class: dask_jobqueue.local.LocalCluster\ncores: 1\nmemory: 1GB\n"
LOOPBACK = "scheduler_options: {dashboard_address: '127.0.0.1:0', host: 127.0.0.1}\n"


def test_a_yaml_file_starts_real_workers_that_reconstruct(tmp_path, series):
    file, out = tmp_path / "cluster.yaml", tmp_path / "out.ome.zarr"
    file.write_text(CLASS + LOOPBACK)
    words = ["run", str(series["stack"]), "--angles", str(series["angles"]), "--method", "fbp", "-o", str(out)]
    found = program(*words, "--cluster", str(file), "--workers", "1")  # its subprocesses are left to the interpreter
    assert (found.returncode, found.stdout) == (0, f"done: {out}\n"), found.stderr
    assert "dashboard: http://127.0.0.1:" in found.stderr


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("class: 5", "names no class"),
        ("cores: 1", "names no class"),
        ("class: os", "names no class"),
        ("class: os.system", "os.system is not a cluster"),
        ("class: pathlib.Path", "is not a cluster"),
        ("class: distributed.Client", "is not a cluster"),
        ("class: distributed.NoSuch", "there is no distributed.NoSuch"),
        ("class: nosuchpackage.Cluster", "nosuchpackage.Cluster is not installed here. pip install nosuchpackage"),
        ("class: ..os.system", "names no class"),
        ("class: __import__('os').system", "names no class"),
        ("class: dask_jobqueue.local.LocalCluster", "did not start"),
        (CLASS + "asynchronous: true", "asynchronous"),
        (CLASS + "nonsense: true", "nonsense"),
        ("class: !!python/name:os.system", "cluster file"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of classes that did not start
def test_yaml_files_that_are_refused(tmp_path, text, part):
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught, open_cluster(str(file)):
        pass
    assert part in str(caught.value)
    assert str(caught.value).count(str(file)) <= 1  # no refusal within another
    del caught
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the job that is given up
def test_jobs_that_never_report_are_given_up_with_one_line(tmp_path, monkeypatch):
    file = tmp_path / "cluster.yaml"
    file.write_text(CLASS + LOOPBACK)
    monkeypatch.setenv("DASK_DISTRIBUTED__LOGGING", "{'distributed': 'critical'}")  # this class reads the worker's log
    monkeypatch.setattr(starting, "START_S", 1.0)
    failure = pytest.raises(InputError, match="did not start its workers within 1 s")
    with failure, open_cluster(str(file), scale=Scale(workers=1)):
        pass
    gc.collect()


def test_worker_processes_leave_the_environment_of_this_one_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)
    with open_cluster("local:1") as workers:
        assert len(list(workers.map(who, range(2), what="a task"))) == 2
    assert dict(os.environ) == before


def test_a_cluster_of_dask_is_a_cluster():
    assert cluster_class_of({"class": "distributed.LocalCluster"}, "x.yaml") is distributed.LocalCluster


def test_the_dashboard_is_on_loopback_and_answers():
    with open_cluster("threads:1") as workers:
        assert workers.dashboard.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(workers.dashboard, timeout=20) as answer:
            assert b"Dask" in answer.read()


def test_tasks_are_named_after_tomogram_and_block():
    target = Target(Path("p.zarr"), (Path("/out/TS-01.ome.zarr.partial/4fe2/all.ome.zarr"),))
    recipe = Recipe("fbp", "features", None, None, 1, 1.0, "float32", "cpu")
    box = Box.whole((8, 8, 8))
    block = BlockTask(recipe, VolumeFrame((8, 8, 8), (8, 8)), target, Block(12, box, box, 0), "block/all/12", 1)
    shard = ShardTask(1, target.volumes[0], (0, 2, 1))
    assert (block.task_name, shard.task_name) == ("TS_01-block-all/12", "TS_01-level-1/0/2/1")
    with open_cluster("threads:2") as workers:
        keys = [key for _, key in workers.map(who, [block, block, shard], what="a task")]
    assert sorted(key_split(key) for key in keys) == ["TS_01-block", "TS_01-block", "TS_01-level"]
    assert len(set(keys)) == 3
