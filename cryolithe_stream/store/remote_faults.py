"""Sentences for what servers answer and for what happens on the way to them; no text of theirs is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryolithe_stream.errors import AccessError, CryolitheError, RemoteError

_PASSING = (FileExistsError, IsADirectoryError, NotADirectoryError)
_NO_CREDENTIALS = (
    "NoCredentials",
    "PartialCredentials",
    "ProfileNotFound",
    "CredentialRetrieval",
    "TokenRetrieval",
    "SSO",
)
_FORBIDDEN_CODES = {
    "401", "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
    "SignatureDoesNotMatch", "RequestTimeTooSkewed",
}  # fmt: skip
_LIBRARIES = ("botocore.", "aiobotocore.", "aiohttp.", "fsspec.", "s3fs.")
_CONTINUES = "Check the network, the server and its address{}; the same command continues"


@contextmanager
def remote_faults(place: object) -> Iterator[None]:
    """A block in which what goes wrong with a server becomes a RemoteError that names `place`.

    Deliberate errors pass, and so do FileNotFoundError (a missing bucket aside) and FileExistsError. What libraries say
    is dropped: addresses in it may hold passwords. AccessError is for what the user has to change.
    """
    try:
        yield
    except CryolitheError:
        raise
    except _PASSING:
        raise
    except Exception as error:
        explained = _explained(place, error)
        if explained is None:
            raise
        raise explained from None


def beyond_the_end(error: Exception) -> bool:
    """Whether a server says that the range of bytes asked for starts after the end of the object."""
    code, status = _answer(error)
    return code == "InvalidRange" or status == 416


def _explained(place: object, error: Exception) -> RemoteError | None:
    code, status = _answer(error)
    fix = _CONTINUES.format(" (AWS_ENDPOINT_URL)" if str(place).startswith("s3://") else "")
    kind, home = type(error).__name__, f"{type(error).__module__}."
    if code == "NoSuchBucket":
        return AccessError(f"{place}: there is no such bucket", fix="Create it, or check its name and AWS_ENDPOINT_URL")
    if isinstance(error, FileNotFoundError):
        return None
    if isinstance(error, PermissionError) or code in _FORBIDDEN_CODES or status in (401, 403):
        return AccessError(
            f"{place}: the server gives no permission{f' ({code})' if code else ''}",
            fix="Check the credentials (environment, ~/.aws) and what they may do there",
        )
    if any(kind.startswith(start) for start in _NO_CREDENTIALS):
        return AccessError(
            f"{place}: no usable credentials were found ({kind})",
            fix="Set them in the environment or ~/.aws, or for public data anon in fsspec's configuration",
        )
    if code or status:
        return RemoteError(
            f"{place}: the server answers {' '.join(filter(None, (str(status or ''), code)))}", fix=_CONTINUES
        )
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        return RemoteError(f"{place}: the server does not answer in time", fix=fix)
    if isinstance(error, OSError) or home.startswith(_LIBRARIES):
        return RemoteError(f"{place}: the server cannot be reached, or stopped before the end ({kind})", fix=fix)
    return None


def _answer(error: Exception) -> tuple[str, int]:
    """The code and the HTTP status of an answer, where the error is of one."""
    for one in (error, error.__cause__):
        response: Any = getattr(one, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return (code if re.fullmatch(r"[A-Za-z0-9.]{1,60}", code) else "", status if isinstance(status, int) else 0)
        status = getattr(one, "status", None)
        if isinstance(status, int):
            return "", status
    return "", 0
