"""A block of 10,000 logs of the venue, the bytes a node answers it with, and who folds it.

The logs are those that trades between a thousand accounts leave: balances, interest on cash,
perpetuals marked and funded. The state before it and after it is the simulation's own.
"""

import random
from collections.abc import Callable, Container, Sequence
from typing import Any

import orjson

from keeper.machine import Machine
from tests.simulation import places as on
from tests.simulation.genesis import STRIKES, begin, option_id
from tests.simulation.machine_run import machine_on
from tests.simulation.places import wad
from tests.simulation.sim_chain import Block, SimChain
from tests.simulation.sim_node import SimNode, _log
from tests.simulation.venue_truth import Truth
from tests.simulation.virtual_loop import VirtualClock, VirtualLoop


ACCOUNTS = 1_000
LOGS = 10_000
EXPIRIES = (on.SOON, on.LATER)


class BusyChain:
    """A chain that can mine blocks of many logs; `first` is the block to begin from."""

    def __init__(
        self, accounts: int = ACCOUNTS, seed: int = 1, expiries: Sequence[int] = EXPIRIES
    ) -> None:
        self._chance = random.Random(f"busy {seed}")
        self._expiries = expiries
        truth = begin(random.Random(f"genesis {seed}"))
        truth.last_account = 1_000
        self._accounts = [self._open(truth) for _ in range(accounts)]
        truth.logs.clear()
        self.chain = SimChain(truth)
        self.first = self.chain.head
        loop = VirtualLoop()
        self._node = SimNode("node", self.chain, random.Random(seed), VirtualClock(loop))
        self._node.faulty = 0.0
        loop.close()

    def mine(self, logs: int = LOGS, *first: Callable[[Truth], None]) -> Block:
        """Mine a block with so many logs of trades, or a few less, after what comes first."""
        return self.chain.mine([*first, lambda truth: self._trade(truth, logs - 12)])

    def forget(self) -> None:
        """Let go of all blocks but the head."""
        self.chain.known = {self.chain.head.hash: self.chain.head}
        self.chain.canonical = [self.chain.head]

    def header(self, block: Block) -> dict[str, Any]:
        """Return a block as a node gives it."""
        return self._node._header(block)

    def logs(self, block: Block, watched: Container[str] | None) -> list[dict[str, Any]]:
        """Return the logs of a block as a node gives them, of all addresses or of some."""
        # Nodes say more of a log than the simulation does.
        return [
            {**_log(block, log), "transactionIndex": "0x0"}
            for log in block.logs
            if watched is None or log.address in watched
        ]

    def machine(self) -> Machine:
        """Return a machine that stands at the first block."""
        return machine_on(self.first)

    def answer(self, block: Block, watched: tuple[str, ...]) -> bytes:
        """Return what a node answers to the batch that asks for the block and its logs."""
        results = (self.header(block), self.logs(block, watched))
        return orjson.dumps(
            [{"jsonrpc": "2.0", "id": 1 + i, "result": each} for i, each in enumerate(results)]
        )

    def _open(self, truth: Truth) -> int:
        """Open an account with cash and six options."""
        chance = self._chance
        account = truth.create(on.at(chance.randrange(0x1000, 0x2000)))
        truth.move_cash(account, wad(chance.uniform(5_000, 50_000)))
        for expiry in self._expiries:
            for strike in STRIKES:
                option = option_id(expiry, strike, call=chance.random() < 0.5)
                truth.trade(account, on.OPTION, option, wad(chance.uniform(-2, 2)))
        return account

    def _trade(self, truth: Truth, logs: int) -> None:
        """Trade between accounts, one in five times the perpetual, until there are enough logs."""
        chance = self._chance
        while len(truth.logs) < logs:
            size, premium = wad(chance.uniform(0.1, 2)), wad(chance.uniform(1, 50))
            expiry, strike = chance.choice(self._expiries), chance.choice(STRIKES)
            option = option_id(expiry, strike, call=chance.random() < 0.5)
            asset, sub_id = (on.PERP, 0) if chance.random() < 0.2 else (on.OPTION, option)
            for account, side in zip(chance.sample(self._accounts, 2), (1, -1), strict=True):
                truth.trade(account, asset, sub_id, side * size)
                truth.move_cash(account, -side * premium)
