"""The follower of heads as a run joins it: its parameters, its start, and whom its blocks wake.

Must not know how a head is followed, nor what is decided on a block.
"""

import asyncio

from keeper.app.assembly import Core
from keeper.app.links import Links
from keeper.app.observing import Renewal
from keeper.app.state.keeping import Keeping
from keeper.chain.link.branch import GapTooDeep
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.chain.sending.sender import LaneExecutor
from keeper.config import ChainSection, Config
from keeper.domain.events import BlockSealed, Event
from keeper.ports import Clock, Executor, Header, Post


class Heads:
    """The follower as a source, with the executor told of every head after it was posted."""

    def __init__(
        self, follower: HeadFollower, executor: Executor, renewal: Renewal, keeping: Keeping
    ) -> None:
        self._follower = follower
        self._executor = executor
        self._renewal = renewal
        self._keeping = keeping

    async def run(self, post: Post) -> None:
        """Follow until cancelled; a chain that is too far away asks for a new snapshot."""

        def post_and_tell(event: Event) -> None:
            post(self._keeping.admitted(event))
            if isinstance(event, BlockSealed) and isinstance(self._executor, LaneExecutor):
                self._executor.on_block(event.number, event.hash)

        try:
            await self._follower.run(post_and_tell)
        except GapTooDeep as lost:
            # An older file may do, unless the one we began from led nowhere.
            self._renewal.ask(str(lost), cold=not self._keeping.agreed)
            await asyncio.get_running_loop().create_future()


def heads_config(chain: ChainSection) -> HeadsConfig:
    """Return how the section wants heads followed."""
    return HeadsConfig(
        block_time_ms=chain.block_time_ms,
        poll_interval_ms=chain.poll_interval_ms,
        call_deadline_ms=chain.call_deadline_ms,
        stall_blocks=chain.stall_blocks,
        finality_blocks=chain.finality_blocks,
        header_hashes=chain.header_hashes,
    )


def follower_of(
    config: Config, clock: Clock, links: Links, start: Header, core: Core
) -> HeadFollower:
    """Return the follower of every address the venues watch, from the block a run begins at."""
    addresses = [address for venue in core.venues for address in venue.watch()]
    chain_id, witnesses = config.chain.chain_id, links.pool.witnesses
    heads = heads_config(config.chain)
    return HeadFollower(links.watch, clock, heads, chain_id, start, addresses, witnesses)
