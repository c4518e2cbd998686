"""Batch systems: jobs that a stand-in really starts, scripts of all four, what is refused."""

from __future__ import annotations

import signal
import subprocess
import sys

import distributed
import pytest
from cluster_support import program, who

from cryolithe_stream.errors import InputError, UnsupportedError
from cryolithe_stream.run import environment
from cryolithe_stream.run.cluster import open_cluster
from cryolithe_stream.run.cluster_words import Scale, read_word
from cryolithe_stream.run.queues import job_script, keywords


def test_jobs_are_submitted_work_and_are_cancelled(slurm, tmp_path):
    with open_cluster("slurm:cores=1,memory=1GB,interface=lo", scale=Scale(workers=2)) as workers:
        workers.client.wait_for_workers(2, timeout=200)
        assert cluster_of(workers).dashboard_link.startswith("http://127.0.0.1:")
        found = list(workers.map(who, range(8), what="a task"))
    assert len(found) == 8
    jobs = (tmp_path / "jobs").read_text().split()
    assert len(jobs) == 2
    for job in jobs:
        gone = subprocess.run(["/bin/sh", "-c", f"timeout 20 tail --pid={int(job)} -f /dev/null"], check=False)
        assert gone.returncode == 0


def cluster_of(workers) -> distributed.deploy.cluster.Cluster:
    return workers.client.cluster


def test_a_cluster_adapts_to_the_work(slurm):
    with open_cluster("slurm:cores=1,memory=1GB,interface=lo", scale=Scale(adapt=(1, 2))) as workers:
        assert workers.slots == 2
        assert len(list(workers.map(who, range(4), what="a task"))) == 4


def test_a_batch_system_that_refuses_is_told_with_its_own_words(slurm):
    (slurm / "sbatch").write_text("#!/bin/sh\necho 'invalid partition specified: night' >&2\nexit 1\n")
    with (
        pytest.raises(InputError, match="invalid partition specified: night"),
        open_cluster("slurm:cores=1,memory=1GB"),
    ):
        pass


def test_a_machine_that_does_not_submit():
    with pytest.raises(InputError, match="bsub is not on this machine's PATH"), open_cluster("lsf:cores=1,memory=1GB"):
        pass


HEADERS = {
    "slurm:cores=8,memory=64GiB,gpus=2,queue=gpu,project=abc,walltime=02:00:00": [
        "#SBATCH -p gpu",
        "#SBATCH -A abc",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=64G",
        "#SBATCH -t 02:00:00",
        "#SBATCH --gres=gpu:2",
    ],
    "pbs:cores=8,memory=64GiB,gpus=2,queue=gpu,project=abc": [
        "#PBS -q gpu",
        "#PBS -A abc",
        "#PBS -l select=1:ncpus=8:mem=65536mb:ngpus=2",
    ],
    "lsf:cores=8,memory=64GiB,gpus=2,account=abc,lsf_units=mb": [
        '#BSUB -P "abc"',
        "#BSUB -n 8",
        '#BSUB -R "span[hosts=1]"',
        "#BSUB -M 68720",
        "#BSUB -gpu num=2",
    ],
    'sge:cores=8,memory=64GiB,gpus=2,account=abc,"resource_spec=h_vmem=8G,gpu=2"': [
        "#$ -P abc",
        "#$ -l h_vmem=8G,gpu=2",
    ],
}


@pytest.mark.parametrize("text", HEADERS)
def test_job_scripts(text):
    lines = job_script(read_word(text)).splitlines()
    assert [line for line in HEADERS[text] if line not in lines] == []
    started = lines[-1]
    assert started.startswith(f"{sys.executable} -m distributed.cli.dask_worker tcp://")
    for part in ("--nthreads 4", "--nworkers 2", "--memory-limit 32.00GiB", "--resources GPU=1"):
        assert part in started
    assert environment.of_job() in lines


@pytest.mark.parametrize("before", ["", "glibc.malloc.hugetlb=0"])
def test_workers_of_jobs_have_the_variables_of_those_that_are_started_here(monkeypatch, before):
    monkeypatch.setenv("GLIBC_TUNABLES", before)
    script = f"{environment.of_job()}; env"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    here = {name: value for name, value in environment.of_worker(2).items() if name not in environment.THREADS}
    assert {f"{name}={value}" for name, value in here.items()} <= set(shell)
    assert here["GLIBC_TUNABLES"].endswith(before)  # glibc takes the last word


def test_the_command_prints_a_script_and_submits_nothing(tmp_path):
    found = program("cluster", "script", 'slurm:cores=1,memory=1GB,job_script_prologue="module load x,y"')
    assert (found.returncode, found.stderr) == (0, "")
    assert "\nmodule load x,y\n" in found.stdout
    for words, part in (("local", "submits no jobs"), ("slurm:cores", "is not key=value"), ("slurm:cores=1", "memory")):
        found = program("cluster", "script", words)
        assert (found.returncode, found.stdout) == (2, "")
        assert part in found.stderr


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("slurm:cors=1,qeue=x", "cors (did you mean 'cores'?); qeue (did you mean 'queue'?). It knows account"),
        ("slurm:scheduler_options=x", "no setting scheduler_options"),
        ("slurm:account=a,project=b", "which are one"),
        ("slurm:gpus=2,processes=3", "each GPU has one worker process"),
        ("sge:cores=1,memory=1GB,gpus=1", "differs from site to site"),
    ],
)
def test_settings_that_are_refused(text, part):
    with pytest.raises(InputError) as caught:
        keywords(read_word(text))
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("package", "word", "part"),
    [
        ("dask_jobqueue", "slurm", "pip install 'cryolithe-stream[cluster]'"),
        ("dask_cuda", "cuda", "pip install dask-cuda, or use --cluster local"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, package, word, part):
    monkeypatch.setitem(sys.modules, package, None)  # what import finds where it is not installed
    with pytest.raises(UnsupportedError) as caught, open_cluster(word):
        pass
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "importing",
    [
        "from cryolithe_stream.run.queues import queue_class as made; made('slurm')",
        "from cryolithe_stream.run.clusters import cluster_class_of as made; "
        "made({'class': 'dask_jobqueue.local.LocalCluster'}, 'cluster.yaml')",
    ],
)
def test_ctrl_c_stays_what_it_was(importing):
    code = f"{importing}; import sys, signal; assert 'dask_jobqueue' in sys.modules; signal.raise_signal(signal.SIGINT)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == -signal.SIGINT
    assert process.stderr.rstrip().endswith("KeyboardInterrupt")


def test_an_import_in_another_thread_is_refused_in_words():
    code = (
        "from concurrent.futures import ThreadPoolExecutor; from cryolithe_stream.run.queues import queue_class; "
        "error = ThreadPoolExecutor(1).submit(queue_class, 'slurm').exception(); print(type(error).__name__, error)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert process.stdout.startswith("UnsupportedError dask_jobqueue can be imported in the main thread only")
