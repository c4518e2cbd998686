"""YAML files of names and values, from whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cryolithe_stream.errors import FormatError, MissingFileError

_DEEPEST = 20


def read_mapping(path: Path, role: str, *, fix: str, largest_bytes: int = 4 << 20) -> dict[str, Any]:
    """What a YAML file says, by name; empty for an empty file. No objects are built.

    `role` is what errors call the file, `fix` what to do when it is none. Raises MissingFileError when it cannot be
    read, and FormatError when it is no file on disk, too large, no YAML, or no mapping of names; for aliases, which
    can grow without bound, and for deep nesting.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if not path.is_file() and (path.is_char_device() or path.is_block_device() or path.is_fifo()):
            raise FormatError(f"{role} {path} is a device or pipe", fix=fix)
        if path.stat().st_size > largest_bytes:
            raise FormatError(f"{role} {path} is larger than {largest_bytes >> 20} MiB", fix=fix)
        text = path.read_text(encoding="utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
                raise FormatError(f"{role} {path} has aliases or deep nesting", fix=fix)
        content = loader(text).get_single_data()
    except OSError as error:
        raise MissingFileError(f"{role} {path} cannot be read ({error.strerror})", fix="Check its name") from error
    except FormatError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FormatError(f"{role} {path} is not YAML ({reason})", fix=fix) from error
    content = {} if content is None else content
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise FormatError(f"{role} {path} holds no names with values", fix=fix)
    return content
