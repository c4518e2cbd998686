"""How large a cluster is, as far as its word and its settings tell."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed.deploy.utils import nprocesses_nthreads

from cryolithe_stream.read import read_mapping
from cryolithe_stream.run.cluster_words import ClusterWord, Scale
from cryolithe_stream.run.parse import parse_bytes


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """How many worker processes a cluster has, and what the smallest of them may use.

    A process runs `slots` tasks at once, each with `threads` threads. `memory_bytes` is what a process was given, None
    when nobody said; `gpus` tells that workers declare the Dask resource GPU, one task for each.
    """

    processes: int
    slots: int
    threads: int
    memory_bytes: int | None = None
    gpus: bool = False

    @property
    def workers(self) -> int:
        """Tasks that run at the same time."""
        return self.processes * self.slots


UNKNOWN = ClusterSize(1, 1, 1)
"""What is assumed of a cluster that tells nothing."""


def size_of_word(word: ClusterWord, *, scale: Scale, gpus: int = 0) -> ClusterSize:
    """What a word will start, where `gpus` GPUs of this machine may be used; `UNKNOWN` for a scheduler elsewhere.

    `local` is a process for each core up to 16, which share the cores' threads; one for each GPU that computes.
    `threads` computes in this process, N blocks at a time: without N, one for each core up to 8. Raises
    MissingFileError and FormatError for a YAML file.
    """
    cores = len(os.sched_getaffinity(0))
    if word.kind == "local":
        n = word.count or gpus or min(cores, 16)
        return ClusterSize(n, 1, max(1, cores // n), gpus=gpus > 0)
    if word.kind == "threads":
        n = word.count or (1 if gpus else min(cores, 8))
        return ClusterSize(1, n, max(1, cores // n))
    if word.kind == "cuda":
        n = scale.most or max(1, gpus)
        return ClusterSize(n, 1, max(1, cores // n), gpus=True)
    if word.kind == "queue":
        given = dict(word.settings)
        known = {key: dask.config.get(f"jobqueue.{word.name}.{key}", None) for key in ("cores", "memory", "processes")}
        return _of_settings({**{k: v for k, v in known.items() if v is not None}, **given}, scale)
    if word.kind == "class":
        return _of_settings(read_class(word), scale)
    return UNKNOWN


def read_class(word: ClusterWord) -> dict[str, object]:
    """The YAML file of a cluster: its `class` and the keyword arguments for it."""
    return read_mapping(Path(word.place).expanduser(), "the cluster file", fix="Write `class: module.Class` in it")


def _of_settings(settings: Mapping[str, object], scale: Scale) -> ClusterSize:
    """The size behind keywords of dask-jobqueue (for one job), or of Dask's own clusters (for one worker)."""
    gpus = _number(settings.get("gpus"))
    if cores := _number(settings.get("cores")):
        per_job = _number(settings.get("processes")) or gpus or int(nprocesses_nthreads(cores)[0])
        memory = _bytes(settings.get("memory"))
        threads = max(1, cores // per_job)
        each = None if memory is None else memory // per_job
    else:
        per_job, threads, each = (
            1,
            _number(settings.get("threads_per_worker")) or 1,
            _bytes(settings.get("memory_limit")),
        )
    processes = scale.most or _number(settings.get("n_workers")) or per_job
    if gpus:
        return ClusterSize(processes, 1, threads, each, gpus=True)
    return ClusterSize(processes, threads, 1, each)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _bytes(value: Any) -> int | None:
    """A size that was written, None for what is none: the cluster's class judges it."""
    try:
        return parse_bytes(value)
    except ValueError:
        return None
