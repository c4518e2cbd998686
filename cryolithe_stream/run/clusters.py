"""Clusters that this program starts: worker processes here, jobs of a batch system, GPUs, or any class of Dask."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import LocalCluster
from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.deploy.spec import SpecCluster
from distributed.utils import LoopRunner

from cryolithe_stream.errors import ClusterLostError, CryolitheError, InputError, UnsupportedError
from cryolithe_stream.run import environment
from cryolithe_stream.run.cluster_words import ClusterWord, Scale
from cryolithe_stream.run.foreign import imported
from cryolithe_stream.run.gpus import GPU
from cryolithe_stream.run.queues import open_queue
from cryolithe_stream.run.sizes import ClusterSize, read_class

LOOPBACK = "127.0.0.1:0"
START_S = 180.0
_OF_NANNIES = ("PYTHONHASHSEED", "DASK_DISTRIBUTED__LOGGING", "__DASK_PARENT_PID")
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_GATEWAY = "dask_gateway"
_KINDS = "a subclass of distributed.deploy.cluster.Cluster, or dask_gateway.GatewayCluster"


def start_cluster(
    word: ClusterWord, size: ClusterSize, scratch: str, *, scale: Scale, dashboard: str | None = None
) -> Cluster | None:
    """The cluster that a word names, told how many workers to have; None for a scheduler elsewhere.

    Raises InputError when it cannot be started, UnsupportedError when a package for it is missing.
    """
    if word.kind in ("address", "file"):
        return None
    if word.kind in ("local", "threads"):
        return _local(word, size, scratch, dashboard or LOOPBACK)
    cluster: Cluster
    if word.kind == "queue":
        cluster = open_queue(word, dashboard=dashboard)
    elif word.kind == "cuda":
        cluster = _cuda(size, scratch, dashboard or LOOPBACK)
    else:
        cluster = _of_class(word)
    try:
        _scale(cluster, word, size, scale)
    except BaseException:
        close_cluster(cluster)
        raise
    return cluster


def close_cluster(cluster: Cluster) -> None:
    """Close a cluster within seconds; what jobs that failed or never came leave undone is no error of ours."""
    with suppress(Exception):
        cluster.close(timeout=5)


@contextmanager
def environment_kept() -> Iterator[None]:
    """A context after which the variables that Dask sets for its worker processes are as they were.

    Its nannies write them into this process and leave them, where they reach all that it starts afterwards.
    """
    before = {name: os.environ.get(name) for name in (*environment.NAMES, *_OF_NANNIES)}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _scale(cluster: Any, word: ClusterWord, size: ClusterSize, scale: Scale) -> None:
    """Start the first workers, which tells at once when they cannot be, and let the cluster adapt if it should."""
    first = scale.workers
    if scale.adapt:
        first = max(1, scale.adapt[0])
    elif first is None and word.kind == "queue":
        first = size.processes
    try:
        if first is not None:
            cluster.scale(first)
            cluster.sync(_settled, cluster, callback_timeout=START_S)
        if scale.adapt:
            cluster.adapt(minimum=scale.adapt[0], maximum=scale.adapt[1])
    except NotImplementedError as error:
        raise InputError(f"{word} cannot be scaled", fix="Leave --workers and --adapt out") from error
    except TimeoutError as error:
        raise InputError(
            f"{word} did not start its workers within {START_S:.0f} s", fix="See why, then run the same command again"
        ) from error
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{word.name} did not start its workers: {text}", fix="Correct --cluster") from error


def start_again(cluster: Any, n: int) -> None:
    """Ask for the jobs of a batch system anew, all of which have ended; `n` worker processes, 0 for what adapts.

    Raises ClusterLostError when it refuses them.
    """
    try:
        cluster.scale(0)
        cluster.sync(_settled, cluster, callback_timeout=START_S)  # else new jobs would have the names of the old
        if n:
            cluster.scale(n)
            cluster.sync(_settled, cluster, callback_timeout=START_S)
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ClusterLostError(
            f"all jobs have ended, and new ones were not taken: {text}", fix="Run the same command to continue"
        ) from error


async def _settled(cluster: Any) -> None:
    """Wait until all workers are asked for; one that could not be is asked for again, and raises why."""
    await cluster
    if isinstance(cluster, SpecCluster):
        for worker in cluster.workers.values():
            try:
                await worker
            except BaseException:
                worker.status = Status.failed  # else the cluster does not close
                raise


def _local(word: ClusterWord, size: ClusterSize, scratch: str, dashboard: str) -> LocalCluster:
    variables = environment.of_worker(size.threads)
    before_spawn = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in variables.items()}
    processes = word.kind == "local"
    with dask.config.set(before_spawn):
        try:
            return LocalCluster(
                n_workers=size.processes,
                threads_per_worker=size.slots,
                processes=processes,
                dashboard_address=dashboard,
                memory_limit=None,
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
                **({"resources": GPU} if size.gpus else {}),
                **({"host": "127.0.0.1", "loop": _loop_without_sigint().loop} if processes else {}),
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise CryolitheError(
                f"the worker processes did not start ({error or type(error).__name__})",
                fix="Look for a full memory or disk, then run the same command again",
            ) from error


def _cuda(size: ClusterSize, scratch: str, dashboard: str) -> Any:
    """dask-cuda's cluster: a worker process for each GPU, where that package is installed."""
    try:
        cluster_class = imported("dask_cuda").LocalCUDACluster
    except ImportError as error:
        raise UnsupportedError(
            "--cluster cuda needs dask-cuda, which is not installed here",
            fix="pip install dask-cuda, or use --cluster local: a process for each GPU as well",
        ) from error
    try:
        return cluster_class(
            n_workers=size.processes,
            threads_per_worker=1,
            resources=GPU,
            local_directory=scratch,
            dashboard_address=dashboard,
        )
    except Exception as error:
        raise InputError(f"dask-cuda starts no workers: {error}", fix="Use --cluster local") from error


def _of_class(word: ClusterWord) -> Any:
    """The cluster that a YAML file describes. Raises InputError for what is no cluster, and when it does not start."""
    settings = read_class(word)
    cluster_class = cluster_class_of(settings, word.place)
    given = {key: value for key, value in settings.items() if key != "class"}
    if given.pop("asynchronous", None):
        raise InputError(f"{word.place} asks for an asynchronous cluster", fix="Leave asynchronous out")
    try:
        return cluster_class(**given)
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{word.place}: {settings['class']} did not start: {text}", fix="Correct the file") from error


def cluster_class_of(settings: Mapping[str, object], place: str) -> Any:
    """The class that `class: module.Class` names, when it is a cluster. Raises InputError otherwise."""
    name = settings.get("class")
    if not isinstance(name, str) or not _CLASS.fullmatch(name):
        raise InputError(
            f"{place} names no class, got {str(name)[:100]!r}", fix=f"Write `class: module.Class`: {_KINDS}"
        )
    module, _, attribute = name.rpartition(".")
    try:
        if find_spec(module.partition(".")[0]) is None:
            package = module.partition(".")[0].replace("_", "-")
            raise UnsupportedError(f"{place}: {name} is not installed here", fix=f"pip install {package}")
        found = getattr(imported(module), attribute)
    except UnsupportedError:
        raise
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{place}: there is no {name} ({error})", fix=f"Name {_KINDS}") from error
    is_class = isinstance(found, type)
    gateway = is_class and found.__module__.partition(".")[0] == _GATEWAY and found.__name__ == "GatewayCluster"
    if not gateway and not (is_class and issubclass(found, Cluster)):
        raise InputError(f"{place}: {name} is not a cluster", fix=f"Name {_KINDS}")
    return found


def _loop_without_sigint() -> LoopRunner:
    """A running event loop in whose thread, and so in the worker processes that it starts, Ctrl-C is blocked.

    A terminal sends it to all processes; only this one should act on it, and workers have nothing to say about it.
    """
    _start_resource_tracker()  # when it starts later, it unblocks the signal in the thread that starts it
    runner = LoopRunner()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return runner


def _start_resource_tracker() -> None:
    """Start the process that clears up after this one, and does not talk of it when this one leaves at once."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning"
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
