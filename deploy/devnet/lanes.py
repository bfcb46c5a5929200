"""The keeper's own side of the venue: sending addresses, their money, and accounts that may bid.

Keys are made fresh for every run and lie in files that only their owner may read. It knows the
venue's contracts; of the keeper it knows no more than that it sends from these addresses.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account

from deploy.devnet.driver import Driver
from deploy.devnet.parameters import wad
from deploy.devnet.venue import SeedAccount


LANE_WEI = wad("1000")
APPROVAL_GAS = 200_000
# Through the helper one account pays for many bids; a direct bid needs an account of its own.
HELPER_CASH_USD = "1500000"
DIRECT_CASH_USD = "60000"
DIRECT_PER_BOOK = 6


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


def open_bidders(driver: Driver, lanes: list[Lane], *, through_helper: bool) -> list[int]:
    """Open accounts with nothing but cash for every lane under every manager; their ids.

    For bids through the helper it is one account each, which the helper may spend from; for direct
    bids a few, because each can bid only once.
    """
    core = driver.venue.core
    count, cash = (1, HELPER_CASH_USD) if through_helper else (DIRECT_PER_BOOK, DIRECT_CASH_USD)
    balances = ((core.cash.address, 0, wad(cash)),)
    bidders = driver.open_accounts(
        [
            SeedAccount(lane.address, book.manager.address, balances)
            for lane in lanes
            for book in driver.venue.books
            for _ in range(count)
        ]
    )
    if through_helper:
        _approve(driver, lanes)
    return bidders


def _approve(driver: Driver, lanes: list[Lane]) -> None:
    """Let the helper move what the lanes' accounts hold: it funds a fresh account in each bid."""
    core = driver.venue.core
    data = core.sub_accounts.encode("setApprovalForAll", core.auction_utils.address, True)
    calls: list[tuple[str, list[Any]]] = []
    for lane in lanes:
        transaction = {
            "from": lane.address,
            "to": core.sub_accounts.address,
            "data": data,
            "gas": hex(APPROVAL_GAS),
        }
        calls += [
            ("anvil_impersonateAccount", [lane.address]),
            ("eth_sendTransaction", [transaction]),
            ("anvil_stopImpersonatingAccount", [lane.address]),
        ]
    hashes = driver.node.batch(calls)[1::3]
    driver.idle()
    receipts = driver.node.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
    assert all(each["status"] == "0x1" for each in receipts), "an approval was refused"
