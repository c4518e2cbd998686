"""How much memory a worker process may use when the user did not say, and what it uses before any block."""

from __future__ import annotations

from functools import cache

import psutil

from cryolithe_stream.run.sizes import ClusterSize

MIB = 1 << 20
BASELINE_BYTES = 384 * MIB
"""Resident size of a worker process with torch, Dask and Zarr loaded and kernels made: 290 to 350 MiB were measured."""
REMOTE_BYTES = 128 * MIB
"""What s3fs and its connections take besides where the output is in an object store: 61 to 86 MiB were measured."""
LARGEST_DEFAULT = 8 << 30


@cache
def available_bytes() -> int:
    """Memory that new processes can take on this machine now."""
    return int(psutil.virtual_memory().available)


def usable_bytes(given: int) -> int:
    """What of the bytes that a process was given is planned with: 80 %."""
    return given * 4 // 5


def default_memory(size: ClusterSize) -> int:
    """Bytes for each worker process, at most 8 GiB.

    What is usable of what the smallest process was given; where nobody said, its share of 60 % of what is free here.
    """
    if size.memory_bytes is not None:
        return min(LARGEST_DEFAULT, usable_bytes(size.memory_bytes))
    return max(BASELINE_BYTES + 256 * MIB, min(LARGEST_DEFAULT, int(available_bytes() * 0.6) // size.processes))
