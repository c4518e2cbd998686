"""Zarr's view of an address: its own fsspec store, with our errors and with drafts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore

from cryolithe_stream.store.place import DRAFTS, ROOT_METADATA, Place, RemotePath, needed
from cryolithe_stream.store.remote_faults import beyond_the_end, remote_faults


def zarr_store(place: Place) -> Any:
    """What Zarr opens at a place: a path as it is, or a store of an address."""
    return place if isinstance(place, Path) else RemoteStore.of(place)


class RemoteStore(FsspecStore):
    """The objects below an address. In a draft the root metadata are kept among our own objects.

    Faults are those of `remote_faults`; Zarr itself would take a server that refuses for a damaged image.
    """

    place: RemotePath

    @classmethod
    def of(cls, place: RemotePath, *, read_only: bool = False) -> RemoteStore:
        """The store of an address. Raises InputError when a package is missing or the address has a query."""
        fsspec, protocol = needed("fsspec", place), place.scheme
        place.files()
        options = {"use_listings_cache": False} if protocol == "s3" else {}
        with remote_faults(place):
            files = fsspec.filesystem(protocol, asynchronous=True, **options)
        store = cls(files, read_only=read_only, path=files._strip_protocol(place.url))
        store.place = place
        return store

    def with_read_only(self, read_only: bool = False) -> RemoteStore:
        """The same store, for reading alone or not."""
        return RemoteStore.of(self.place, read_only=read_only)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The content of an object, None where there is none; of one that was cut short what is left of the range."""
        with remote_faults(self.place):
            try:
                return await super().get(self._kept(key), prototype, byte_range)
            except Exception as error:
                if byte_range is None or not beyond_the_end(error):
                    raise
                return prototype.buffer.from_bytes(b"")

    async def set(self, key: str, value: Buffer, byte_range: tuple[int, int] | None = None) -> None:
        """Make an object."""
        with remote_faults(self.place):
            await super().set(self._kept(key), value, byte_range)

    async def delete(self, key: str) -> None:
        """Remove an object, by its very name."""
        self._check_writable()
        with remote_faults(self.place):
            await self.fs._rm_file(f"{self.path}/{self._kept(key)}")

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        with remote_faults(self.place):
            return await super().exists(self._kept(key))

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names below a prefix."""
        with remote_faults(self.place):
            async for name in super().list_dir(prefix):
                yield name

    def _kept(self, key: str) -> str:
        return f"{DRAFTS}/{key}" if self.place.draft and key in ROOT_METADATA else key
