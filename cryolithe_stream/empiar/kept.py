"""Lists of folders that are kept in a file, so that the same folders need not be listed again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryolithe_stream.empiar.index import Listed, Listing, Size
from cryolithe_stream.errors import DamagedStoreError
from cryolithe_stream.store.journal import Journal, read_marks


class KeptListings:
    """What the server listed, by the address of the folder; one writer at a time.

    Raises OutputError when the file cannot be written, DamagedStoreError when it is no record of lists.
    """

    def __init__(self, path: Path, *, anew: bool = False) -> None:
        if anew:
            path.unlink(missing_ok=True)
        try:
            self._known = {url: _listing(data) for url, data in read_marks(path).items()}
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedStoreError(f"{path} holds no lists of folders ({error})", fix="Delete it") from error
        self._journal = Journal.open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()

    def get(self, url: str) -> Listing | None:
        """The list of a folder, None where it was not asked for yet."""
        return self._known.get(url)

    def add(self, url: str, listing: Listing) -> None:
        """Keep the list of a folder."""
        self._journal.append(url, asdict(listing))
        self._known[url] = listing


def _listing(data: dict[str, Any]) -> Listing:
    entries = []
    for entry in data["entries"]:
        size = None if entry["size"] is None else Size(int(entry["size"]["least"]), int(entry["size"]["most"]))
        entries.append(Listed(str(entry["name"]), bool(entry["is_folder"]), size))
    return Listing(tuple(entries), tuple(map(str, data["refused"])))
