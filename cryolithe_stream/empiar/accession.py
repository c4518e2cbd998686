"""The forms in which people write an EMPIAR entry."""

from __future__ import annotations

import re

from cryolithe_stream.errors import InputError

_FORM = re.compile(
    r"(?:(?:https?://)?(?:dx\.|www\.)?(?:doi\.org/10\.6019|ebi\.ac\.uk/empiar|ebi\.ac\.uk/pdbe/emdb/empiar/entry"
    r"|empiar\.org)/|10\.6019/)?(?:EMPIAR[-_ ]?)?(\d{5,6})/?",
    re.IGNORECASE | re.ASCII,
)


def entry_number(text: str) -> str:
    """The number of an entry written as `10499`, `EMPIAR-10499`, its DOI or the address of its page.

    Raises InputError for anything else.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text[:80]!r} is no EMPIAR entry", fix="Give it as EMPIAR-10499 or 10499")
    return match[1]
