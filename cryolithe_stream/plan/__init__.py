"""Which blocks a volume is reconstructed in, their strips and bytes."""

from cryolithe_stream.plan.blocks import Block, BlockPlan
from cryolithe_stream.plan.choose import plan_blocks
from cryolithe_stream.plan.tiling import Tiling, default_chunk, tilings

__all__ = ["Block", "BlockPlan", "Tiling", "default_chunk", "plan_blocks", "tilings"]
