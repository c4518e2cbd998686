"""What all tests share: seeded Hypothesis, and where real data lie."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from s3_support import SECRET, Proxy, file_system, s3_server

ROOT = Path(__file__).parents[1]
_buckets = itertools.count()

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the shipped tilt series."""
    return ROOT / "examples" / "empiar-10499"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data that the repository does not carry (CRYOLITHE_SHARED, default: shared beside the checkout)."""
    folder = Path(os.environ.get("CRYOLITHE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set CRYOLITHE_SHARED")
    return folder


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system, or skips the test where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small file system needs more rights")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


@pytest.fixture(scope="session")
def _object_store(tmp_path_factory) -> Iterator[Proxy]:
    """One server for all tests: s3fs keeps its connections as long as the process lives."""
    given = {"ACCESS_KEY_ID": "key-id-17", "SECRET_ACCESS_KEY": SECRET, "DEFAULT_REGION": "us-east-1"}
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as (_, address), pytest.MonkeyPatch.context() as patch:
        made = Proxy(address)
        for name, value in {**given, "ENDPOINT_URL": made.address, "MAX_ATTEMPTS": "2"}.items():
            patch.setenv(f"AWS_{name}", value)
        yield made
        made.shutdown()
        made.server_close()


@pytest.fixture
def proxy(_object_store) -> Proxy:
    """The proxy before an S3 server, which the environment names and where nothing fails yet."""
    _object_store.fault, _object_store.knows_conditions, _object_store.forbidden = None, True, ()
    _object_store.headers_seen.clear()
    return _object_store


@pytest.fixture
def files(proxy) -> Any:
    """The server behind the proxy, as an fsspec file system."""
    return file_system()


@pytest.fixture
def out(files) -> str:
    """The address of an output in a bucket of the test's own."""
    name = f"bucket-{next(_buckets)}"
    files.mkdir(name)
    return f"s3://{name}/dir/TS_01.ome.zarr"
