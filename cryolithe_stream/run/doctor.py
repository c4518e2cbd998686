"""Whether a cluster can do the work: what each worker has, compared with this machine, and in words what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.run.cluster import Workers, cluster_size, open_cluster
from cryolithe_stream.run.cluster_words import Scale
from cryolithe_stream.run.memory import BASELINE_BYTES
from cryolithe_stream.run.probe import PACKAGE, make_probe
from cryolithe_stream.run.scheduler import workers_of

ANSWER_S = 120.0
LEAST_BYTES = BASELINE_BYTES + (256 << 20)
LEAST_TEMPORARY_BYTES = 1 << 30
_EXACT = ("dask", "distributed", PACKAGE)
_MINOR = ("python", "torch", "zarr")
"""Versions that must be the same on all machines: in full, or in their first two numbers."""
_INSTALL = "Install the same versions in the environment that the workers start from"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a worker (or with the cluster, worker ""): what, and what to do."""

    worker: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found: this machine, each worker by its name, and all that is wrong."""

    cluster: str
    here: dict[str, Any]
    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as JSON types."""
        faults = [{"worker": f.worker, "what": f.what, "fix": f.fix} for f in self.faults]
        return {"cluster": self.cluster, "here": self.here, "workers": self.workers, "faults": faults}


def examine(
    spec: str, *, gpus: int, scale: Scale, wait_s: float = 60.0, tell: Callable[[str], None] = lambda text: None
) -> Diagnosis:
    """Start or reach a cluster, ask every worker what it has, and judge it. Raises InputError as `open_cluster` does.

    `gpus` is how many GPUs of this machine local workers may use. Workers that have not come after `wait_s` seconds
    are a fault.
    """
    folder = str(Path.cwd())
    here: dict[str, Any] = make_probe(folder)()
    size = cluster_size(spec, gpus=gpus, scale=scale)
    with open_cluster(spec, size=size, scale=scale) as workers:
        expected = max(1, size.processes)
        tell(f"waiting for {expected} worker{'s' if expected > 1 else ''}")
        with suppress(TimeoutError):
            workers.client.wait_for_workers(expected, timeout=wait_s)
        found = _ask(workers, folder)
    faults = [fault for name, facts in found.items() for fault in judge(name, facts, here)]
    if not found:
        what = f"no worker came within {wait_s:g} s"
        faults.append(Fault("", what, "See whether its jobs wait in the queue, and their log files"))
    elif len(found) < expected and scale.adapt is None:
        what = f"{len(found)} of {expected} workers came within {wait_s:g} s"
        faults.append(Fault("", what, "See whether the other jobs wait in the queue, and their log files"))
    return Diagnosis(spec, here, found, tuple(faults + crowded(found)))


def _ask(workers: Workers, folder: str) -> dict[str, dict[str, Any]]:
    """What the scheduler and each worker say of it, by the worker's name."""
    known = workers_of(workers.client)
    try:
        answers = workers.client.run(make_probe(folder), on_error="return")
    except Exception as error:
        raise CryolitheError(f"the workers did not answer ({type(error).__name__}: {error})") from error
    found = {}
    for address, about in sorted(known.items(), key=lambda pair: str(pair[1]["name"])):
        answer = answers.get(address)
        told = answer if isinstance(answer, dict) else {"error": f"{type(answer).__name__}: {answer}"}
        found[str(about["name"])] = {
            "address": address,
            "slots": int(about["nthreads"]),
            "memory_limit_bytes": int(about.get("memory_limit") or 0) or None,
            "gpu_resource": int(about.get("resources", {}).get("GPU", 0)),
            **told,
        }
    return found


def judge(name: str, facts: dict[str, Any], here: dict[str, Any]) -> list[Fault]:
    """What is wrong with one worker, compared with this machine."""
    if "error" in facts:
        return [Fault(name, f"it could not be examined ({facts['error']})", "See its log file")]
    faults = _versions(name, facts["versions"], here["versions"])
    if facts["gpu_resource"] and not facts["cuda"]:
        built = (
            "a CPU build" if "+cpu" in str(facts["versions"]["torch"]) else "for CUDA, and finds no driver or device"
        )
        fix = "Install torch for CUDA, and check nvidia-smi there, or leave GPU=1 out"
        faults.append(Fault(name, f"it declares a GPU and torch sees none (torch is {built})", fix))
    if facts["cuda"] and not facts["gpu_resource"]:
        fix = "Start one worker for each GPU with --resources GPU=1"
        faults.append(Fault(name, f"it sees {len(facts['cuda'])} GPUs and declares none", fix))
    memory = facts["memory_limit_bytes"] or facts["memory_free_bytes"]
    if memory < LEAST_BYTES:
        what = f"it may use {memory / 2**20:.0f} MiB, a worker takes {LEAST_BYTES / 2**20:.0f} MiB before any block"
        faults.append(Fault(name, what, "Give workers more memory, or fewer of them"))
    if facts["temporary_free_bytes"] < LEAST_TEMPORARY_BYTES:
        what = f"{facts['temporary']} has {facts['temporary_free_bytes'] / 2**20:.0f} MiB free"
        faults.append(Fault(name, what, "Free space there, or set TMPDIR or --local-directory for the workers"))
    if not facts["sees_folder"]:
        what = f"it does not see the folder {here['folder']}"
        faults.append(Fault(name, what, "Work in a folder that all machines share under the same path"))
    return faults


def _versions(name: str, there: dict[str, str | None], here: dict[str, str | None]) -> list[Fault]:
    faults = []
    for package in (*_MINOR, *_EXACT):
        ours, its = here.get(package), there.get(package)
        if its is None:
            faults.append(Fault(name, f"{package} is not installed there", _INSTALL))
        elif ours is not None and _compared(package, its) != _compared(package, ours):
            faults.append(Fault(name, f"{package} is {its} there and {ours} here", _INSTALL))
    return faults


def _compared(package: str, version: str) -> str:
    plain = version.partition("+")[0]
    return ".".join(plain.split(".")[:2]) if package in _MINOR else plain


def crowded(found: dict[str, dict[str, Any]]) -> list[Fault]:
    """Machines whose workers together may use more memory than there is, or have more threads than cores."""
    faults = []
    sound = [facts for facts in found.values() if "error" not in facts]
    memory, slots = Counter[str](), Counter[str]()
    for facts in sound:
        memory[facts["host"]] += facts["memory_limit_bytes"] or 0
        slots[facts["host"]] += facts["slots"]
    for host, facts in {facts["host"]: facts for facts in sound}.items():
        if memory[host] > 1.05 * facts["memory_bytes"]:
            what = (
                f"the workers of {host} may use {memory[host] / 1e9:.3g} GB, it has {facts['memory_bytes'] / 1e9:.3g}"
            )
            faults.append(Fault("", what, "Give each less memory, or start fewer"))
        if slots[host] > facts["machine_cores"]:
            what = f"the workers of {host} run {slots[host]} tasks at once, it has {facts['machine_cores']} cores"
            faults.append(Fault("", what, "Start fewer workers, or with fewer threads"))
    return faults
