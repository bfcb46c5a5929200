"""The keeper's own side of the venue: sending addresses, their money, and accounts that may bid.

Keys are made fresh for every run and lie in files that only their owner may read. It knows the
venue's contracts; of the keeper it knows no more than that it sends from these addresses, and
that an executor contract owns what it bids with.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account

from deploy.devnet.venue.deployment import SeedAccount
from deploy.devnet.venue.driver import Driver
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.treasury import Treasury


LANE_WEI = wad("1000")
# Through the helper one account pays for many bids; a direct bid needs an account of its own.
HELPER_CASH_USD = "12000000"
DIRECT_CASH_USD = "60000"
DIRECT_PER_BOOK = 48


@dataclass(frozen=True)
class Lane:
    """One sending address and where its key lies."""

    address: str
    key_file: Path


def make_lanes(driver: Driver, folder: Path, count: int) -> list[Lane]:
    """Make so many keys under `folder`, and give each address gas money on the node."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lanes = []
    for index in range(count):
        secret = "0x" + secrets.token_hex(32)
        path = folder / f"lane{index}.key"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret + "\n")
        address = str(Account.from_key(secret).address)
        driver.node.call("anvil_setBalance", address, hex(LANE_WEI))
        lanes.append(Lane(address, path))
    return lanes


def open_bidders(driver: Driver, treasury: Treasury, *, through_helper: bool) -> list[int]:
    """Open accounts with nothing but cash, owned by the executor, under every manager; their ids.

    For bids through the helper it is one account each, which the helper may spend from; for direct
    bids many, because each can bid only once. Any lane may bid with any of them.
    """
    core = driver.venue.core
    count, cash = (1, HELPER_CASH_USD) if through_helper else (DIRECT_PER_BOOK, DIRECT_CASH_USD)
    balances = ((core.cash.address, 0, wad(cash)),)
    return driver.open_accounts(
        [
            SeedAccount(treasury.address, book.manager.address, balances)
            for book in driver.venue.books
            for _ in range(count)
        ]
    )
