"""Batch systems through dask-jobqueue: what may be set for each, the cluster, and the job script it would submit."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import warnings
from typing import Any

import dask
from distributed.core import Status

from cryolithe_stream.errors import InputError, UnsupportedError
from cryolithe_stream.run import environment
from cryolithe_stream.run.cluster_words import ClusterWord, Value
from cryolithe_stream.run.foreign import imported
from cryolithe_stream.run.parse import parse_bytes, suggestion

_CLASSES = {"slurm": "SLURMCluster", "lsf": "LSFCluster", "pbs": "PBSCluster", "sge": "SGECluster"}
_PAYS = {"slurm": "account", "lsf": "project", "pbs": "account", "sge": "project"}
"""What each calls the account that is charged; the other name of the two is taken for it."""
_NOT_HERE = frozenset(
    [
        "self",
        "args",
        "scheduler",
        "name",
        "loop",
        "security",
        "asynchronous",
        "silence_logs",
        "scheduler_cls",
        "scheduler_options",
        "job_cls",
        "n_workers",
        "dashboard_address",
        "host",
        "job_kwargs",
        "base_class_kwargs",
        "kwargs",
        "extra",
        "env_extra",
        "header_skip",
        "job_extra",
        "job_name",
    ]
)
"""What the classes take and a word cannot say, or says by another name."""


def queue_class(name: str) -> Any:
    """dask-jobqueue's class for a batch system. Raises UnsupportedError when the package is missing."""
    try:
        return getattr(imported("dask_jobqueue"), _CLASSES[name])
    except ImportError as error:
        raise UnsupportedError(
            f"--cluster {name} needs dask-jobqueue, which is not installed here",
            fix="pip install 'cryolithe-stream[cluster]', or pip install 'dask-jobqueue>=0.9'",
        ) from error


def known_keys(cluster_class: Any) -> list[str]:
    """The settings that a word may give: keywords of the class, of its jobs, and `gpus`."""
    found = {"gpus"}
    for part in (cluster_class, cluster_class.job_cls):
        for base in inspect.getmro(part):
            if base.__module__.startswith("dask_jobqueue"):
                found.update(inspect.signature(base).parameters)
    return sorted(found - _NOT_HERE)


def keywords(word: ClusterWord, *, dashboard: str | None = None) -> dict[str, Any]:
    """Keyword arguments of dask-jobqueue's class for a word; its dashboard listens on loopback unless told otherwise.

    Raises InputError, once for all keys that are not known.
    """
    given, known = dict(word.settings), known_keys(queue_class(word.name))
    pays = _PAYS[word.name]
    other = "project" if pays == "account" else "account"
    if other in given:
        if pays in given:
            raise InputError(f"{word.name} is given {pays} and {other}, which are one", fix=f"Keep {pays}")
        given[pays] = given.pop(other)
    if unknown := [key for key in given if key not in known]:
        told = "; ".join(f"{key}{suggestion(key, known)}" for key in unknown)
        raise InputError(
            f"{word.name} has no settings {told}" if len(unknown) > 1 else f"{word.name} has no setting {told}",
            fix=f"It knows {', '.join(known)}",
        )
    settings: dict[str, Any] = {key: list(v) if isinstance(v, tuple) else v for key, v in given.items()}
    settings = {**settings, **_with_gpus(word.name, given)}
    settings.pop("gpus", None)
    settings["job_script_prologue"] = [environment.of_job(), *_list(word.name, given, "job_script_prologue")]
    configured = dask.config.get(f"jobqueue.{word.name}.scheduler-options", None) or {}
    listens = {"dashboard_address": dashboard or configured.get("dashboard_address", "127.0.0.1:0")}
    settings["scheduler_options"] = {**configured, **listens}
    return settings


def _with_gpus(name: str, given: dict[str, Value]) -> dict[str, Any]:
    """What `gpus=N` adds: a request for N GPUs a job, and a worker process for each that declares Dask's GPU=1."""
    if "gpus" not in given:
        return {}
    n = int(str(given["gpus"]))
    if given.get("processes", n) != n:
        raise InputError(
            f"processes={given['processes']} and gpus={n}: each GPU has one worker process", fix="Leave processes out"
        )
    directives = _list(name, given, "job_extra_directives")
    added: dict[str, Any] = {
        "processes": n,
        "worker_extra_args": [*_list(name, given, "worker_extra_args"), "--resources GPU=1"],
    }
    if name == "slurm":
        added["job_extra_directives"] = [f"--gres=gpu:{n}", *directives]
    elif name == "lsf":
        added["job_extra_directives"] = [f"-gpu num={n}", *directives]
    elif "resource_spec" in given or directives:
        return added  # the site's own words
    elif name == "pbs" and "cores" in given and "memory" in given:
        mem = -(-parse_bytes(given["memory"]) // (1 << 20))
        added["resource_spec"] = f"select=1:ncpus={given['cores']}:mem={mem}mb:ngpus={n}"
    else:
        raise InputError(
            f"how {name} is asked for {n} GPUs differs from site to site",
            fix='Give it as resource_spec or job_extra_directives, such as job_extra_directives="-l gpu=1"',
        )
    return added


def _list(name: str, given: dict[str, Value], key: str) -> list[str]:
    """The entries that a word gives, else those of Dask's configuration."""
    value = given.get(key)
    if value is None:
        value = tuple(dask.config.get(f"jobqueue.{name}.{key.replace('_', '-')}", None) or ())
    return [str(entry) for entry in value] if isinstance(value, tuple) else [str(value)]


def open_queue(word: ClusterWord, *, dashboard: str | None) -> Any:
    """A cluster of a batch system without jobs. Raises InputError for what the system or the class does not take."""
    cluster_class, settings = queue_class(word.name), keywords(word, dashboard=dashboard)
    command = cluster_class.job_cls.submit_command.split()[0]
    if shutil.which(command) is None:
        raise InputError(
            f"{command} is not on this machine's PATH", fix=f"Start from a machine that submits to {word.name}"
        )
    return _built(cluster_class, word.name, settings)


def job_script(word: ClusterWord) -> str:
    """The script of one job, as dask-jobqueue would submit it; nothing is started. Raises InputError."""
    cluster_class, settings = queue_class(word.name), {**keywords(word), "asynchronous": True}

    async def written() -> str:  # inside a loop an asynchronous cluster waits to be started, which it never is
        cluster = _built(cluster_class, word.name, settings)
        cluster.status = Status.closed
        return str(cluster.job_script())

    return asyncio.run(written())


def _built(cluster_class: Any, name: str, settings: dict[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cluster_class(**settings)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        text = str(error).partition(", for example")[0]
        raise InputError(f"dask-jobqueue refuses these settings of {name}: {text}", fix="Correct --cluster") from error
