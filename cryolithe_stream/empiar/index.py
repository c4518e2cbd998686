"""The HTML index of a folder: names, kinds and sizes.

The files of entry 10499 lie below https://ftp.ebi.ac.uk/empiar/world_availability/10499/, one HTML index a folder.
The pages are those of Apache's mod_autoindex: empiarreader filters its links for sorting (`?C=N;O=D`) and the one to
the parent, which is absolute; published recipes for EMPIAR-10511 and 13192 read rows `<a href="NAME">…</a></td><td
align="right">DATE</td><td align="right">543M</td>`, with a slash at the end of folders' names. Sizes are rounded
(APR's `apr_strfsize`: bytes below 973, then 9.7K, 543M, 1.9G in powers of 1,024): EMPIAR-10511 lists files of
569,560,224 bytes as 543M. Apache's plain `<pre>` lists and nginx's (exact sizes) are read too. The server is several
machines, and one of them was seen to leave a file out of its list: a list is no proof that there is nothing more.

Links are found by a bounded expression: Python 3.11's `html.parser` takes seconds for 20 kB of `<a x<a x…` (time grows
with the square) and stops at `<![`, and a page comes from outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from itertools import zip_longest
from urllib.parse import urljoin, urlsplit

from cryolithe_stream.empiar.names import printable, safe_name

_ANCHOR = re.compile(r"<a\s([^<>]{0,8000})>", re.IGNORECASE)
_HREF = re.compile(r"""(?<!\S)href\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"']+))""", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,4000}>")
_LONGEST_TAIL = 4000
_DETAILS = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d\d-[A-Za-z]{3}-\d{4})\s+\d\d:\d\d(?::\d\d)?\s+(\d{1,18}(?:\.\d{1,3})?)\s*([KMGTPE]?)(?:i?B)?(?!\S)"
)


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of a file as far as a list tells them: both ends are the same where they are exact."""

    least: int
    most: int

    @classmethod
    def parse(cls, number: str, unit: str) -> Size:
        """The size written as `543` and `M`; what is rounded may be one unit of its last digit off."""
        scale = 1024 ** " KMGTPE".index(unit or " ")
        if scale == 1 and "." not in number:
            return cls(int(number), int(number))
        step = scale // 10 ** len(number.partition(".")[2])
        middle = round(float(number) * scale)
        return cls(max(middle - step - 1, 0), middle + step + 1)

    @property
    def exact(self) -> int | None:
        """The size, where it is known to the byte."""
        return self.least if self.least == self.most else None

    @property
    def likely(self) -> int:
        """The middle of what it can be."""
        return (self.least + self.most) // 2


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list: a file or a folder; the size of a file may not be told."""

    name: str
    is_folder: bool
    size: Size | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder's list, and what of it was refused: names that are no plain names, links that lead elsewhere."""

    entries: tuple[Listed, ...]
    refused: tuple[str, ...]


def parse_index(page: str, url: str) -> Listing:
    """What the index page at `url` (with a slash at its end) lists, sorted by name, each name once.

    Links to the folder itself, to folders above it and for sorting are passed over.
    """
    entries: dict[str, Listed] = {}
    refused = []
    for link, text in _links(page):
        encoded = _child(url, link)
        if encoded == "":
            continue
        name = None if encoded is None else safe_name(encoded.removesuffix("/"))
        if encoded is None or name is None:
            refused.append(printable(link)[:120])
            continue
        match = _DETAILS.search(text)
        is_folder = encoded.endswith("/")
        size = Size.parse(match[1], match[2]) if match and not is_folder else None
        entries.setdefault(name, Listed(name, is_folder, size))
    return Listing(tuple(entries[name] for name in sorted(entries)), tuple(refused))


def _child(url: str, link: str) -> str | None:
    """The link relative to the folder at `url`, still encoded; None when it leads elsewhere.

    Empty for links that are no entries: for sorting, to the folder itself, to folders above it.
    """
    if link.startswith(("?", "#")):
        return ""
    try:
        base, target = urlsplit(url), urlsplit(urljoin(url, link))
    except ValueError:
        return None
    if (target.scheme, target.netloc) != (base.scheme, base.netloc):
        return None
    if base.path.startswith(target.path if target.path.endswith("/") else f"{target.path}/"):
        return ""
    if target.query or not target.path.startswith(base.path):
        return None
    return target.path.removeprefix(base.path)


def _links(page: str) -> Iterator[tuple[str, str]]:
    """Links, each with the text from its end to the next one."""
    found = list(_ANCHOR.finditer(page))
    for this, following in zip_longest(found, found[1:]):
        tail = page[this.end() : min(following.start() if following else len(page), this.end() + _LONGEST_TAIL)]
        end = tail.lower().find("</a")
        text = _TAG.sub(" ", tail[max(end, 0) :])
        href = _HREF.search(this[1])
        if href is not None:
            yield unescape(href[1] or href[2] or href[3] or "").strip(), " ".join(unescape(text).split())
