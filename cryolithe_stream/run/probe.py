"""What a process has: a function that is sent whole, so that it runs where this package is not installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PACKAGE = "cryolithe-stream"


def make_probe(folder: str) -> Callable[[], dict[str, Any]]:
    """A function that tells versions, devices, memory and temporary space of the process that calls it as JSON types.

    Dask sends functions of a module by their name and inner ones by their code: this one names nothing of its module.
    """

    def probe() -> dict[str, Any]:
        import os
        import platform
        import shutil
        import socket
        import tempfile
        from importlib.metadata import PackageNotFoundError, version
        from importlib.util import find_spec
        from pathlib import Path

        import psutil

        def version_of(name: str) -> str | None:
            try:
                return version(name)
            except PackageNotFoundError:
                return "run from its source" if find_spec(name.replace("-", "_")) else None

        cuda: list[dict[str, Any]] = []
        if find_spec("torch"):
            import torch

            for i in range(torch.cuda.device_count()):
                about = torch.cuda.get_device_properties(i)
                cuda.append({"name": about.name, "memory_bytes": about.total_memory})
        memory, temporary = psutil.virtual_memory(), tempfile.gettempdir()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        names = ("torch", "zarr", "dask", "distributed", "cryolithe-stream")
        return {
            "host": socket.gethostname(),
            "folder": folder,
            "sees_folder": Path(folder).is_dir(),
            "cores": cores,
            "machine_cores": os.cpu_count(),
            "memory_bytes": memory.total,
            "memory_free_bytes": memory.available,
            "temporary": temporary,
            "temporary_free_bytes": shutil.disk_usage(temporary).free,
            "cuda": cuda,
            "versions": {"python": platform.python_version(), **{name: version_of(name) for name in names}},
        }

    return probe
