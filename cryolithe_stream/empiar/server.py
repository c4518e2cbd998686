"""Where EMPIAR is, and how patient and polite a client is with it.

The addresses: https://www.ebi.ac.uk/empiar/api/documentation and the download links of an entry's page; empiarreader
(the Alan Turing Institute's client) uses the same two. Speed: about 1.5 MB/s a connection, with throttling beyond about
eight, as the authors of scigantic-empiar measured; hence four connections unless more are asked for, and 16 at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from cryolithe_stream.errors import InputError

MOST_CONNECTIONS = 16
_REDIRECTED_TO = frozenset({"ftp.ebi.ac.uk", "www.ebi.ac.uk"})


@dataclass(frozen=True, slots=True)
class Server:
    """Addresses and patience. Raises InputError for addresses that are none, or that hold a password.

    A request that fails is made again up to `attempts` times in all, after pauses that double from `first_pause_s`;
    the pause that a server asks for is kept, up to `longest_pause_s`. A transfer slower than `slowest_bytes_s` over
    `timeout_s` counts as failed.
    """

    api_url: str = "https://www.ebi.ac.uk/empiar/api"
    files_url: str = "https://ftp.ebi.ac.uk/empiar/world_availability"
    timeout_s: float = 60.0
    attempts: int = 8
    first_pause_s: float = 1.0
    longest_pause_s: float = 300.0
    slowest_bytes_s: int = 1024

    def __post_init__(self) -> None:
        for url in (self.api_url, self.files_url):
            parts = urlsplit(url)
            if "@" in parts.netloc:
                raise InputError("the address of the EMPIAR server holds a user or password", fix="Leave it out")
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise InputError(f"{url!r} is no address of a server", fix="Give it as https://HOST/PATH")

    def entry_url(self, number: str) -> str:
        """The address of an entry's metadata."""
        return f"{self.api_url.rstrip('/')}/entry/EMPIAR-{number}/"

    def folder_url(self, number: str) -> str:
        """The address of an entry's folder, with a slash at its end."""
        return f"{self.files_url.rstrip('/')}/{number}/"

    def file_url(self, number: str, path: str) -> str:
        """The address of a file at a path below an entry's folder."""
        return self.folder_url(number) + quote(path)

    def allows_redirect(self, source: str, target: str) -> bool:
        """Whether a redirect may be followed: within one server, or over https to a host of EMPIAR's."""
        old, new = urlsplit(source), urlsplit(target)
        if (old.scheme, old.netloc) == (new.scheme, new.netloc):
            return True
        ours = {urlsplit(url).hostname for url in (self.api_url, self.files_url)}
        return new.scheme == "https" and "@" not in new.netloc and new.hostname in _REDIRECTED_TO | ours
