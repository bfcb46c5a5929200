"""Routes that take `eth_sendRawTransaction` and are not a public pool: what is special of each.

An MEV blocker keeps the bytes from the public and pays back what backrunners bid; a sequencer
orders by arrival and answers only when it has ordered. Must not know nonces: a protecting endpoint
may answer questions about them with numbers of its own, so it is never asked any.
"""

from typing import Final

from keeper.chain.link.transport import Rpc
from keeper.chain.routes.routing import TOO_LARGE, Answer, PublicRoute


SEQUENCER_BYTES_MAX: Final = 95_000  # of a transaction's data, on Arbitrum
SEQUENCER_DEADLINE_S: Final = 12.0  # its queue gives up after as long


class MevBlockerRoute(PublicRoute):
    """An endpoint that shows bytes to bidders, not to the pool: /fast, /noreverts, /fullprivacy.

    Which of them is a matter of the configured URL; none leaks on purpose, but after a reorg any
    private transaction may surface in public.
    """


class SequencerRoute(PublicRoute):
    """The one that orders a rollup's transactions, asked directly."""

    def __init__(
        self,
        rpc: Rpc,
        deadline_s: float = SEQUENCER_DEADLINE_S,
        bytes_max: int = SEQUENCER_BYTES_MAX,
    ) -> None:
        super().__init__(rpc, deadline_s)
        self._bytes_max = bytes_max

    async def send(self, raw: bytes) -> Answer:
        """Give the bytes, unless it would refuse them for their size."""
        if len(raw) > self._bytes_max:
            return Answer(TOO_LARGE)
        return await super().send(raw)
