"""CashAsset against the upstream interest sequence: ten events, their totals, rates and fees.

The event list reads as follows: `key5` is the days of interest since the event before (BORROW has
nine of its own, though `Times` stands still there), `key4` the amount the first name receives.
TRADE is a transfer of cash between two accounts, SETTLEMENT prints or burns cash, BORROW withdraws
tokens, INSOLVENCY pays an account from the security module and socialises what it lacks. Interest
set aside is handed to the module at each event, and `SMFeeShare` is the share in force *until*
that event. The upstream model turned the share to 1 out of float noise (a "toxic debt" of 3e-11
USD); the contract has no such debt, so the share is set from the vector. The column of borrow
indexes is constant in the vector and says nothing.

One difference is not float noise: upstream adds the module's fee to supply before it shares the
rest of the interest among suppliers, the contract (derive-v2 §1) shares first. Sums agree, the
module's balance by 4e-9 a step, and from there on totals by 2e-9 where an account's sign changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import Core, deploy_core
from deploy.devnet.venue.parameters import RateParameters, VenueParameters, wad


pytestmark = pytest.mark.node

FILE = "cash_interest_sequence.json"
NAMES = ("Alice", "Bob", "Charlie", "David", "Eric")
DAY_S = 86_400
# Relative, by column; see above for the two that are not float64 noise.
RELATIVE = {"balanceOfs": 1e-15, "netPrints": 1e-15, "SMBalances": 3e-7}
RELATIVE_ELSE = 2e-9
RELATIVE_FIRST_STEP = 1e-15
RATE = RateParameters(minimum=wad("0.05"), slope=wad("0.3"), optimal_utilisation=wad("0.85"))


class Sequence:
    """A cash asset, its accounts and a manager that checks nothing, moved along the vector."""

    def __init__(self, node: Node, vector: dict[str, Any]) -> None:
        self.node = node
        self.vector = vector
        self.sender = Sender(node.rpc, node.call("eth_accounts")[0])
        self.core: Core = deploy_core(self.sender, VenueParameters(books=(), rate=RATE))
        cash, accounts = self.core.cash, self.core.sub_accounts
        self.manager = self.sender.deploy("OpenManager", accounts.address, cash.address)
        self.sender.send(cash, "setWhitelistManager", self.manager.address, True)
        # The sender stands in for the auction, which alone may draw on the module.
        self.sender.send(self.core.security_module, "setWhitelistModule", self.sender.address, True)
        self.sender.flush()
        self.start = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 1
        self.ids = {name: 2 + at for at, name in enumerate(NAMES)}

    def open(self) -> None:
        """Starting balances in one block, backed by tokens; the module's account is the first."""
        cash, amounts = self.core.cash, self.vector["StartingBalances"]
        seeds = [
            (
                self.sender.address,
                self.manager.address,
                [(cash.address, 0, amount)] if amount else [],
            )
            for amount in amounts[:-1]
        ]
        self.sender.send(self.core.sub_accounts, "seed", seeds, gas=5_000_000)
        self.sender.send(self.core.usdc, "mint", self.sender.address, sum(amounts) // 10**12)
        self.sender.send(self.core.usdc, "approve", cash.address, 2**256 - 1)
        self.sender.send(cash, "deposit", 1, amounts[-1] // 10**12)
        rest = (sum(amounts) - amounts[-1]) // 10**12
        self.sender.send(self.core.usdc, "mint", cash.address, rest)
        # Tokens not deposited above back what the seed wrote.
        self.mine(0)

    def mine(self, at: int) -> None:
        """Everything queued in one block, at the time of event `at`, the next share set last."""
        shares = self.vector["SMFeeShare"]
        if at + 1 < len(shares):
            self.sender.send(self.core.cash, "setSmFee", shares[at + 1])
        days = sum(each["key5"] for each in self.vector["EventsVec"][: at + 1]) // 10**18
        moment = self.start + days * DAY_S
        self.node.call("evm_setNextBlockTimestamp", moment)
        receipts = self.sender.flush()
        assert len({each["blockNumber"] for each in receipts}) == 1, "one event, one block"

    def apply(self, at: int) -> None:
        """One event of the vector."""
        event = self.vector["EventsVec"][at]
        cash, account, amount = (
            self.core.cash,
            self.ids[event["key1"] and event["key2"]],
            event["key4"],
        )
        self.sender.send(cash, "transferSmFees")
        match event["key1"]:
            case "TRADE":
                leg = (self.ids[event["key3"]], account, cash.address, 0, amount, bytes(32))
                self.sender.send(self.core.sub_accounts, "submitTransfer", leg, b"")
            case "SETTLEMENT":
                self.sender.send(self.manager, "settle", account, amount)
            case "BORROW":
                self.sender.send(cash, "withdraw", account, -amount // 10**12, self.sender.address)
            case "INSOLVENCY":
                self.sender.send(self.core.security_module, "requestPayout", account, amount)
                lost = self.vector["toxicDebts"][at]
                if lost > wad("1"):
                    self.sender.send(cash, "setLiquidationModule", self.sender.address)
                    self.sender.send(cash, "socializeLoss", lost, account)
            case other:
                raise AssertionError(f"unknown event {other}")
        self.mine(at)

    def read(self, contract: Contract, name: str, *arguments: Any) -> Any:
        """A view at the latest block, whose time is the event's."""
        return contract.call(self.node.rpc, name, *arguments)


@pytest.fixture(scope="module")
def vector(vectors_dir: Path) -> dict[str, Any]:
    file = vectors_dir / "derive_auction" / FILE
    if not file.exists():
        pytest.skip(f"no {file}: set KEEPER_VECTORS")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def close(name: str, got: int, want: int, at_most: float = 1.0) -> bool:
    bound = min(RELATIVE.get(name, RELATIVE_ELSE), at_most)
    return abs(got - want) <= bound * max(abs(want), wad("1")) + 2


def test_interest_follows_the_upstream_sequence(node: Node, vector: dict[str, Any]) -> None:
    sequence = Sequence(node, vector)
    core = sequence.core
    sequence.open()
    for at in range(len(vector["Times"])):
        if at > 0:
            sequence.apply(at)
        supply = sequence.read(core.cash, "totalSupply")
        borrow = sequence.read(core.cash, "totalBorrow")
        printed = sequence.read(core.cash, "netSettledCash")
        real = supply + max(0, -printed)
        seen = {
            "totalSupplys": supply,
            "totalBorrows": borrow,
            "netPrints": printed,
            "balanceOfs": sequence.read(core.usdc, "balanceOf", core.cash.address) * 10**12,
            "SMBalances": sequence.read(core.cash, "calculateBalanceWithInterest", 1),
            "utilizations": sequence.read(core.rate_model, "getUtilRate", real, borrow),
            "borrowRates": sequence.read(core.rate_model, "getBorrowRate", real, borrow),
        }
        wrong = {
            name: (got, vector[name][at])
            for name, got in seen.items()
            if not close(name, got, vector[name][at])
        }
        assert not wrong, f"event {at} {vector['EVENT'][at]}: {wrong}"


def test_before_fees_compound_the_totals_are_exact(node: Node, vector: dict[str, Any]) -> None:
    sequence = Sequence(node, vector)
    sequence.open()
    sequence.apply(1)
    for name, column in (("totalSupply", "totalSupplys"), ("totalBorrow", "totalBorrows")):
        got, want = sequence.read(sequence.core.cash, name), vector[column][1]
        assert close(column, got, want, RELATIVE_FIRST_STEP), f"{name}: {got} {want}"


def test_a_socialised_loss_lowers_the_exchange_rate_and_takes_all_interest(
    node: Node, vector: dict[str, Any]
) -> None:
    sequence = Sequence(node, vector)
    sequence.open()
    cash = sequence.core.cash
    for at in range(1, len(vector["Times"])):
        assert not sequence.read(cash, "temporaryWithdrawFeeEnabled")
        before = sequence.read(cash, "getCashToStableExchangeRate")
        assert abs(before - wad("1")) <= 1000, "cash is fully backed until a loss is socialised"
        sequence.apply(at)
    assert sequence.read(cash, "temporaryWithdrawFeeEnabled")
    assert sequence.read(cash, "smFeePercentage") == wad("1")
    supply, lost = vector["totalSupplys"][-1], vector["toxicDebts"][-1]
    rate = sequence.read(cash, "getCashToStableExchangeRate")
    assert close("exchangeRate", rate, (supply - lost) * 10**18 // supply)
