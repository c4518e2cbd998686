"""Several processes that train one network: who is who, and the sum of their gradients."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `world` of them; number 0 writes."""

    rank: int = 0
    world: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def sum(self, parts: Sequence[Tensor]) -> None:
        """Replace tensors of one type and device by their sums over all processes."""
        if self.world == 1:
            return
        flat = torch.cat([part.reshape(-1) for part in parts])
        distributed.all_reduce(flat)
        for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(total.view_as(part))

    def agree(self, parts: Sequence[Tensor]) -> bool:
        """Whether tensors are the same to the bit in all processes."""
        if self.world == 1:
            return True
        mine = torch.cat([part.detach().reshape(-1) for part in parts])
        first = mine.clone()
        distributed.broadcast(first, 0)
        differing = (mine != first).any().to(torch.int64)
        distributed.all_reduce(differing)
        return not bool(differing)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def ranks_of(device: torch.device) -> Iterator[Ranks]:
    """The processes that `torchrun` started, this one among them; alone without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(days=1))  # others wait while rank 0 prepares data
    try:
        yield Ranks(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()


def device_of_rank(device: torch.device) -> torch.device:
    """The GPU of this process, where there is one for each."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
