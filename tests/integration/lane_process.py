"""A keeper's executor as a process of its own, to be killed at a named point by its test.

It acts like a plain strategy: each account whose counter is still zero gets a new command, over
and over; only the ledger keeps it from acting twice.

    python -m tests.integration.lane_process PORT LEDGER ACCOUNTS [POINT NTH]
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.chain.rpc import Rpc, RpcError
from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.domain.effects import Command
from tests.integration.lane_world import CHAIN_ID, COUNTER, command, executor, tell


class Elsewhere(Node):
    """A node that another process runs."""

    def __init__(self, port: int) -> None:
        super().__init__(NodeOptions(port=port))
        self._rpc = Rpc(self.url)


class Knife:
    """Ends this process when a point is passed for the n-th time."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._left = nth

    def __call__(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def decide(node: Elsewhere, identifier: int, accounts: int) -> list[Command] | None:
    """Return a command for each account not served as of one block; None where it left.

    What was seen and the block it is said to be of must be one: a command that claims a later
    block claims to know of an action that it never saw, and the executor lets it act again.
    """
    head = node.call("eth_getBlockByNumber", "latest", False)
    at = {"blockHash": head["hash"]}
    try:
        waiting = [
            each
            for each in range(1, accounts + 1)
            if int(node.call("eth_getStorageAt", COUNTER, hex(each), at), 16) == 0
        ]
    except RpcError:
        return None
    number = int(head["number"], 16)
    return [
        replace(
            command(node, identifier + i, each),
            decided_number=number,
            decided_hash=head["hash"],
            deadline_block=number + 50,
        )
        for i, each in enumerate(waiting)
    ]


async def main(port: int, ledger_file: Path, accounts: int, knife: Knife) -> None:
    node = Elsewhere(port)
    ledger = await Ledger.open(ledger_file, CHAIN_ID, CapParameters())
    identifier = await ledger.next_command_id()
    await ledger.close()
    async with executor(node, ledger_file, lanes=2, point=knife) as (executing, _):
        while True:
            tell(node, executing)
            fresh = decide(node, identifier, accounts)
            if fresh is None:
                continue  # the head it looked at is gone
            if not fresh:
                break
            identifier += len(fresh)
            executing.submit(fresh)
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    words = sys.argv[1:]
    point, nth = (words[3], int(words[4])) if len(words) > 3 else ("never", 1)
    asyncio.run(main(int(words[0]), Path(words[1]), int(words[2]), Knife(point, nth)))
