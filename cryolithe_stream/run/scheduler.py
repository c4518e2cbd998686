"""A scheduler that may run elsewhere: its address, a connection to it, and how large its smallest worker is."""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.comm.core import FatalCommClosedError
from distributed.deploy.cluster import Cluster

from cryolithe_stream.errors import FormatError, InputError, MissingFileError
from cryolithe_stream.run.cluster_words import ClusterWord, read_word
from cryolithe_stream.run.sizes import ClusterSize

CONNECT_S = 20.0
_LARGEST_FILE = 1 << 20
_INNARDS = re.compile(r"in <.*?>: ")
_CERTIFICATES = (
    "Set distributed.comm.tls.ca-file, client.cert and client.key in Dask's configuration, "
    "or DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__CLIENT__KEY"
)


def scheduler_address(word: ClusterWord) -> str:
    """The address that a word is, or that the scheduler wrote to the file it names.

    Raises MissingFileError and FormatError for the file.
    """
    if word.kind == "address":
        return word.place
    path = Path(word.place).expanduser()
    fix = "Name the file that `dask scheduler --scheduler-file FILE` writes"
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE)
    except OSError as error:
        raise MissingFileError(f"the scheduler file {path} cannot be read: {error.strerror}", fix=fix) from error
    try:
        address = json.loads(text)["address"]
        found = read_word(address)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path} is no scheduler file: it names no address", fix=fix) from error
    if found.kind != "address":
        raise FormatError(f"{path} is no scheduler file: its address is {str(found)[:100]!r}", fix=fix)
    return str(found)


def connect(target: str | Cluster, *, timeout_s: float = CONNECT_S) -> Client:
    """A client of a scheduler; certificates for `tls://` come from Dask's configuration.

    Raises InputError when nothing answers, and when the certificates do not do.
    """
    try:
        return Client(target, set_as_default=False, timeout=timeout_s)
    except FatalCommClosedError as error:
        raise InputError(f"the certificates do not fit the scheduler at {target}", fix=_CERTIFICATES) from error
    except TypeError as error:
        if "ssl_context" not in str(error):
            raise
        raise InputError(f"{target} wants certificates and none is configured", fix=_CERTIFICATES) from error
    except (OSError, TimeoutError, ValueError) as error:
        reason = _INNARDS.sub("", str(error.__cause__ or error)) or type(error).__name__
        if isinstance(target, str) and "SSL" in reason.upper():
            raise InputError(f"no TLS connection to {target} ({reason})", fix=_CERTIFICATES) from error
        raise InputError(
            f"no Dask scheduler answers at {target} ({reason})", fix="Start it, or use --cluster local"
        ) from error


def workers_of(client: Client) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of each worker, by address."""
    found = client.scheduler_info(n_workers=-1).get("workers", {})
    return {str(address): dict(known) for address, known in found.items()}


def size_of(client: Client) -> ClusterSize | None:
    """The workers that a scheduler has now, each taken to be as small as the smallest; None when it has none."""
    workers = list(workers_of(client).values())
    if not workers:
        return None
    fewest, most = (f(int(w["nthreads"]) for w in workers) for f in (min, max))
    limits = [int(w["memory_limit"]) for w in workers if w.get("memory_limit")]
    gpus = sum(int(w.get("resources", {}).get("GPU", 0)) for w in workers)
    if gpus:  # only those that declare one are given blocks, one at a time
        return ClusterSize(gpus, 1, max(1, fewest), min(limits, default=None), gpus=True)
    return ClusterSize(len(workers), most, 1, min(limits, default=None))


def ask(word: ClusterWord, *, timeout_s: float) -> ClusterSize | None:
    """The size of the cluster of a scheduler elsewhere; None when it has no worker yet. Raises as `connect` does."""
    client = connect(scheduler_address(word), timeout_s=timeout_s)
    try:
        return size_of(client)
    finally:
        with suppress(TimeoutError, OSError, RuntimeError):
            client.close(timeout=3)


def quiet() -> None:
    """Keep Dask's own log lines off the terminal: what matters is raised."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
