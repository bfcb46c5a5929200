"""Two nodes on one chain: equal block by block until a test makes them part.

Both get the same timestamps, so their hashes are the same; mining one alone makes the other lag,
and mining both a second apart makes them conflict at a height.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.devnet.chain.node import Node, NodeOptions


GENESIS_TIME = 1_700_000_000


class Twins:
    """The two nodes; `mine` is the only way their chains grow."""

    def __init__(self, one: Node, other: Node) -> None:
        self.one = one
        self.other = other
        self._time = GENESIS_TIME

    def both(self, method: str, *params: object) -> None:
        """Ask both the same, for what must be equal on them."""
        for node in (self.one, self.other):
            node.call(method, *params)

    def mine(self, blocks: int = 1, *, on: Node | None = None) -> None:
        """Mine the same blocks on both nodes, or on one of them: the other lags then."""
        for _ in range(blocks):
            self._time += 12
            for node in (self.one, self.other) if on is None else (on,):
                self.mine_at(node, self._time)

    def part(self, blocks: int = 1) -> None:
        """Mine a different block of the same height on each."""
        for _ in range(blocks):
            self._time += 12
            self.mine_at(self.one, self._time)
            self.mine_at(self.other, self._time + 1)

    def meet(self) -> None:
        """Take back what differs on both, and mine as many blocks that are equal.

        Both must be equally high: anvil draws each block's randomness from its count of blocks
        mined, so only nodes that mined as many can mine the same one.
        """
        top = int(self.one.call("eth_blockNumber"), 16)
        height = top
        while self.hash_at(self.one, height) != self.hash_at(self.other, height):
            height -= 1
        if height < top:
            self.both("anvil_rollback", top - height)
            self.mine(top - height + 1)

    def catch_up(self) -> None:
        """Mine on the other node what it lacks of the first one's blocks."""
        for timestamp in self.missing():
            self.mine_at(self.other, timestamp)

    def missing(self) -> list[int]:
        """Return the timestamps of the first one's blocks that the other node lacks."""
        first = int(self.other.call("eth_blockNumber"), 16) + 1
        last = int(self.one.call("eth_blockNumber"), 16)
        blocks = [
            self.one.call("eth_getBlockByNumber", hex(number), False)
            for number in range(first, last + 1)
        ]
        return [int(block["timestamp"], 16) for block in blocks]

    @staticmethod
    def hash_at(node: Node, number: int) -> str:
        return str(node.call("eth_getBlockByNumber", hex(number), False)["hash"])

    @staticmethod
    def mine_at(node: Node, timestamp: int) -> None:
        node.call("evm_setNextBlockTimestamp", timestamp)
        node.call("evm_mine")


@contextmanager
def twins() -> Iterator[Twins]:
    """Run two nodes that hold the same genesis."""
    options = NodeOptions(mining=False, timestamp=GENESIS_TIME)
    with Node(options) as one, Node(options) as other:
        yield Twins(one, other)
