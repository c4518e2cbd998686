"""Every error that the package raises on purpose: what, got, limit, next step."""

from __future__ import annotations


class CryolitheError(Exception):
    """Base of all deliberate errors; `exit_code` is what the command line returns.

    `what` says what was found and what the limit is; `fix` names the next step.
    """

    exit_code = 1

    def __init__(self, what: str, *, fix: str = "") -> None:
        self.what = what.rstrip(".")
        self.fix = fix.rstrip(".")
        super().__init__(f"{self.what}. {self.fix}." if self.fix else f"{self.what}.")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.fix))


class InputError(CryolitheError, ValueError):
    """The user's input cannot be used as it is (exit code 2)."""

    exit_code = 2


class MissingFileError(InputError, FileNotFoundError):
    """A file that was named does not exist or cannot be read."""


class FormatError(InputError):
    """A file is not what its name or place says it is, or is damaged."""


class UnsupportedError(InputError, NotImplementedError):
    """A file or option asks for something by name that is not built."""


class ModelError(InputError):
    """A model or checkpoint cannot be used."""


class OutputError(InputError, OSError):
    """The output cannot be written where it was asked for."""


class MemoryBudgetError(InputError, MemoryError):
    """No block fits the memory that was allowed."""


class DamagedStoreError(CryolitheError):
    """Our own intermediate data is damaged: a bug, a full disk or another program."""


class ClusterLostError(CryolitheError):
    """The scheduler of a cluster has gone, and with it all that was under way."""


class RemoteError(CryolitheError):
    """A server did not answer, or its answer cannot be used."""


class ServerLostError(RemoteError):
    """A server has gone: nothing more comes from it, whatever is asked for."""


class AccessError(RemoteError):
    """A server gives no permission, knows no credentials, or has no such bucket (exit code 2)."""

    exit_code = 2


class CryolitheWarning(UserWarning):
    """Something was done that the user should know of."""


def _rebuild(kind: type[CryolitheError], what: str, fix: str) -> CryolitheError:
    return kind(what, fix=fix)
