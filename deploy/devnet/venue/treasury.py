"""The executor contract of a run: deployed for a cold owner, let to the lanes, asked at the end.

It knows the executor's and the venue's contracts; of the keeper no more than its lanes' addresses.
The cold key is made and thrown away: the node lets its address act for the set-up, and afterwards
only questions are asked in its name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode
from eth_account import Account

from deploy.devnet.chain.contract import Contract, Sender, type_of
from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import Venue
from deploy.devnet.venue.parameters import wad
from deploy.executor.standing import deploy, permission


OWNER_WEI = wad("1")


@dataclass(frozen=True)
class Treasury:
    """An executor and the cold address that alone can take what it holds."""

    executor: Contract
    owner: str

    @property
    def address(self) -> str:
        """The executor's address."""
        return self.executor.address


@dataclass(frozen=True)
class Viewing:
    """One condition of a guard as it stands in calldata; `word` of what `data` asks `target`."""

    target: str
    data: str
    word: int
    is_age: bool
    least: int
    most: int


@dataclass(frozen=True)
class Guarded:
    """One call through the executor: the call itself, and the guard around it.

    `conditions` are the guard's own and then the call's; `gains` are views that must have grown.
    """

    target: str
    data: str
    block_max: int
    timestamp_max_s: int
    conditions: tuple[Viewing, ...]
    gains: tuple[str, ...]


def open_treasury(
    node: Node, venue: Venue, lanes: Sequence[str], *, through_helper: bool
) -> Treasury:
    """Deploy an executor whose owner is a fresh cold address, for these lanes' bids and no more."""
    core = venue.core
    owner = str(Account.from_key("0x" + secrets.token_hex(32)).address)
    permissions = [permission(core.auction, "bid"), permission(core.auction_utils, "advancedBid")]
    sender = Sender(node.rpc, venue.sender.address)
    made = Treasury(deploy(sender, owner, lanes, permissions), owner)
    sender.flush()
    if through_helper:
        # The helper funds a fresh account in each bid, from those that the executor owns.
        helper = core.auction_utils.address
        leave = core.sub_accounts.encode("setApprovalForAll", helper, True)
        with acting(node, owner) as cold:
            data = bytes.fromhex(leave[2:])
            cold.transact(made.executor, "administer", core.sub_accounts.address, 0, data)
    return made


@contextmanager
def acting(node: Node, address: str) -> Iterator[Sender]:
    """Let the node act for an address for a while, with coins for gas."""
    node.call("anvil_setBalance", address, hex(OWNER_WEI))
    node.call("anvil_impersonateAccount", address)
    try:
        yield Sender(node.rpc, address)
    finally:
        node.call("anvil_stopImpersonatingAccount", address)


def unwrapped(treasury: Treasury, to: str, data: str) -> Guarded | None:
    """Return the first call of a batch, None for what is no batch of this executor."""
    artifact = treasury.executor.artifact
    entry = next(
        each for each in artifact.abi if each["type"] == "function" and each["name"] == "execute"
    )
    if to.lower() != treasury.address.lower() or data[2:10] != _selector(treasury.executor):
        return None
    types = [type_of(each) for each in entry["inputs"]]
    calls, guard = decode(types, bytes.fromhex(data[10:]))
    target, _, _, _, body, conditions = calls[0]
    around = tuple(_viewing(each) for each in (*guard[3], *conditions))
    gains = tuple("0x" + data.hex() for _, data, _, _ in guard[4])
    return Guarded(target.lower(), "0x" + body.hex(), guard[0], guard[1], around, gains)


def _viewing(condition: tuple[Any, ...]) -> Viewing:
    target, data, word, is_age, least, most = condition
    return Viewing(target.lower(), "0x" + data.hex(), word, is_age, least, most)


def _selector(executor: Contract) -> str:
    return next(
        code for name, code in executor.artifact.selectors.items() if name.startswith("execute(")
    )
