"""Reads the zip files that `torch.save` writes, without torch's unpickler."""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from cryolithe_stream.errors import ModelError
from cryolithe_stream.network.pickled import StoredTensor, UnsafePickleError
from cryolithe_stream.network.unpickle import read_pickle

MAX_PICKLE_BYTES = 64 * 2**20
_LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
_DTYPES = {
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.ShortStorage": torch.int16,
}


class UnreadableArchiveError(ModelError):
    """The file is missing or damaged, so that a backup of it may be read in its place."""


class TorchArchive:
    """An open `torch.save` file: the object that it holds, and its tensors, read when they are asked for.

    Raises UnreadableArchiveError when the file is missing, no zip or damaged, UnsafePickleError when it carries
    anything but model data, ModelError when it is of an older kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = _open_zip(path)
        try:
            self._members = {info.filename: info for info in self._zip.infolist()}
            pickles = [name for name in self._members if re.fullmatch(r"[^/]+/data\.pkl", name)]
            if len(pickles) != 1:
                raise UnreadableArchiveError(f"{path} holds {len(pickles)} files named data.pkl, expected one")
            self._prefix = pickles[0].removesuffix("data.pkl")
            if self._order() != b"little":
                raise ModelError(f"{path} was written on a big-endian machine, which is not supported")
            self.root = read_pickle(self._member("data.pkl", MAX_PICKLE_BYTES), str(path))
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> TorchArchive:
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()

    def tensor(self, stored: object, name: str) -> Tensor:
        """The tensor that `stored` refers to, as a copy; ModelError when it is none or leaves its storage."""
        if not isinstance(stored, StoredTensor):
            raise ModelError(f"{self.path}: {name} is not a tensor")
        storage, dtype = stored.storage, _DTYPES[stored.storage.kind]
        last = stored.offset + sum((n - 1) * step for n, step in zip(stored.size, stored.stride, strict=False))
        count = math.prod(stored.size)
        fits = len(stored.size) == len(stored.stride) and count <= storage.numel and (last < storage.numel or not count)
        if not fits:
            raise ModelError(
                f"{self.path}: {name} has size {stored.size} and stride {stored.stride} from {stored.offset} on, "
                f"its storage has {storage.numel} elements"
            )
        if not re.fullmatch(r"\w{1,32}", storage.key, re.ASCII):
            raise UnsafePickleError(
                f"{self.path}: {name} asks for the record {storage.key[:40]!r}, which is not a number"
            )
        n_bytes = storage.numel * dtype.itemsize
        data = self._member(f"data/{storage.key}", n_bytes)
        if len(data) != n_bytes:
            raise ModelError(f"{self.path}: {name} has {len(data)} bytes, expected {n_bytes}")
        if not count:
            return torch.zeros(stored.size, dtype=dtype)
        flat = torch.frombuffer(bytearray(data), dtype=dtype)
        return flat.as_strided(stored.size, stored.stride, stored.offset).clone()

    def _order(self) -> bytes:
        """The byte order that the file states; files of older programs do not and are little-endian."""
        return self._member("byteorder", 16) if f"{self._prefix}byteorder" in self._members else b"little"

    def _member(self, name: str, limit: int) -> bytes:
        """A record of the file. Records are stored, not compressed, so none is larger than the file."""
        info = self._members.get(self._prefix + name)
        if info is None:
            raise UnreadableArchiveError(f"{self.path} lacks its record {name}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise UnsafePickleError(f"{self.path} has a compressed record {name}, which torch never writes")
        if info.file_size > self.path.stat().st_size:
            raise UnreadableArchiveError(f"{self.path} ends before its record {name}")
        if info.file_size > limit:
            raise UnsafePickleError(f"{self.path} has a record {name} of {info.file_size} bytes, the limit is {limit}")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise UnreadableArchiveError(f"{self.path} is damaged at its record {name} ({error})") from error


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UnreadableArchiveError(f"{path} cannot be read ({error.strerror or error})") from error
    if head.startswith(_LEGACY_MAGIC) or head[257:262] == b"ustar":
        raise ModelError(
            f"{path} is of torch's format from before version 1.6, which can only be read by running what it carries",
            fix="If you trust it, load it with torch.load and write it again with torch.save",
        )
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UnreadableArchiveError(f"{path} is damaged or not a torch checkpoint ({error})") from error
