"""What the chain's own logs and receipts say of a run, read once after it.

It knows the venue's events and the node's history; it must not know the keeper, nor judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deploy.devnet.chain.contract import Contract
from deploy.devnet.chain.node import Node
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import Venue


CALL_GAS = 500_000_000
CALLS_PER_BATCH = 200
LOGS_RANGE_BLOCKS = 500
ASKER = "0x000000000000000000000000000000000000a51c"
UINT96 = (1 << 96) - 1

# (asset in lower case, subId): what an account holds a balance of.
AssetKey = tuple[str, int]


@dataclass(frozen=True)
class BalanceChange:
    """One account's new balance of one asset, from a block on."""

    block: int
    account: int
    asset: AssetKey
    balance: int


@dataclass(frozen=True)
class AuctionEvent:
    """One of the auction's events: `name` as in its ABI, `values` by argument name."""

    block: int
    transaction: str
    name: str
    account: int
    values: Mapping[str, int]


@dataclass(frozen=True)
class Sent:
    """One transaction of a run that came into a block; `status` is 1 where it succeeded."""

    block: int
    hash: str
    sender: str
    to: str
    data: str
    status: int


class History:
    """Blocks `first` to `last` of a venue's chain, and all balances since its deployment."""

    def __init__(self, node: Node, venue: Venue, first: int, last: int) -> None:
        self.node = node
        self.venue = venue
        self.first = first
        self.last = last

    @cached_property
    def managers(self) -> dict[int, str]:
        """Every account's risk manager, lower case."""
        accounts = self.venue.core.sub_accounts
        logs = self._logs(accounts, "AccountCreated")
        return {int(log["topics"][2], 16): f"0x{log['topics'][3][-40:]}".lower() for log in logs}

    @cached_property
    def owners(self) -> dict[int, str]:
        """Every account's owner at the end of the run, lower case."""
        logs = self._logs(self.venue.core.sub_accounts, "Transfer")
        return {int(log["topics"][3], 16): f"0x{log['topics'][2][-40:]}".lower() for log in logs}

    @cached_property
    def margined(self) -> dict[int, str]:
        """Underlying of each account under a book's manager, by account, ascending."""
        books = {book.manager.address.lower(): book.underlying for book in self.venue.books}
        return {
            account: books[manager]
            for account, manager in sorted(self.managers.items())
            if manager in books
        }

    @cached_property
    def balances(self) -> list[BalanceChange]:
        """Every change of a balance, in chain order."""
        changes = []
        for log in self._logs(self.venue.core.sub_accounts, "BalanceAdjusted"):
            packed = int(log["topics"][3], 16)
            changes.append(
                BalanceChange(
                    int(log["blockNumber"], 16),
                    int(log["topics"][1], 16),
                    (f"0x{packed >> 96:040x}", packed & UINT96),
                    word(log["data"], 2),
                )
            )
        return changes

    @cached_property
    def auctions(self) -> list[AuctionEvent]:
        """Every start, bid and end of an auction, in chain order."""
        auction = self.venue.core.auction
        events = []
        for log in self._logs(auction):
            for name in ("SolventAuctionStarted", "InsolventAuctionStarted", "Bid", "AuctionEnded"):
                if log["topics"][0] == auction.topics[name]:
                    values = auction.events(name, [log])[0]
                    block, transaction = int(log["blockNumber"], 16), log["transactionHash"]
                    account = values["accountId"]
                    events.append(AuctionEvent(block, transaction, name, account, values))
        return events

    @cached_property
    def payouts(self) -> list[tuple[int, int]]:
        """What bidders were owed and what the security module paid of it, 1e-18 USD."""
        module = self.venue.core.security_module
        logs = self._logs(module, "SecurityModulePaidOut")
        return [(word(log["data"], 1), word(log["data"], 2)) for log in logs]

    def live_at(self) -> Iterator[set[int]]:
        """Yield the accounts with a live auction at the end of each block of the run."""
        live: set[int] = set()
        position = 0
        events = self.auctions
        for number in range(self.first, self.last + 1):
            while position < len(events) and events[position].block <= number:
                event = events[position]
                if event.name.endswith("AuctionStarted"):
                    live.add(event.account)
                elif event.name == "AuctionEnded":
                    live.discard(event.account)
                position += 1
            yield set(live)

    def timestamps(self) -> dict[int, int]:
        """Return the run's block timestamps by number."""
        numbers = range(self.first, self.last + 1)
        blocks = self.node.batch([("eth_getBlockByNumber", [hex(n), False]) for n in numbers])
        return {int(each["number"], 16): int(each["timestamp"], 16) for each in blocks}

    def sent_by(self, senders: Sequence[str]) -> list[Sent]:
        """Return these senders' transactions of the run, in chain order."""
        wanted = {each.lower() for each in senders}
        found = []
        for number in range(self.first, self.last + 1):
            calls: list[tuple[str, list[Any]]] = [
                ("eth_getBlockByNumber", [hex(number), True]),
                ("eth_getBlockReceipts", [hex(number)]),
            ]
            block, receipts = self.node.batch(calls)
            status = {each["transactionHash"]: int(each["status"], 16) for each in receipts}
            for each in block["transactions"]:
                if each["from"].lower() in wanted:
                    name, to = each["hash"], (each["to"] or "").lower()
                    found.append(
                        Sent(number, name, each["from"].lower(), to, each["input"], status[name])
                    )
        return found

    def call_all(self, calls: Sequence[tuple[Contract, str]], number: int) -> list[Any]:
        """Make view calls at a block's end; an RpcError stands where one reverts."""
        requests = [
            ("eth_call", [request(contract.address, data), hex(number)]) for contract, data in calls
        ]
        answers: list[Any] = []
        for at in range(0, len(requests), CALLS_PER_BATCH):
            answers += self.node.rpc.try_batch(requests[at : at + CALLS_PER_BATCH])
        return answers

    def ask(self, sent: Sent, block: str | Mapping[str, str]) -> RpcError | None:
        """Try a transaction again as a call at a block; return how it is refused, None if not."""
        asked = {**request(sent.to, sent.data), "from": sent.sender}
        answer = self.node.rpc.try_batch([("eth_call", [asked, block])])[0]
        return answer if isinstance(answer, RpcError) else None

    def _logs(self, contract: Contract, name: str | None = None) -> list[dict[str, Any]]:
        logs: list[dict[str, Any]] = []
        for at in range(self.venue.start_block, self.last + 1, LOGS_RANGE_BLOCKS):
            query: dict[str, Any] = {
                "address": contract.address,
                "fromBlock": hex(at),
                "toBlock": hex(min(at + LOGS_RANGE_BLOCKS - 1, self.last)),
            }
            if name is not None:
                query["topics"] = [contract.topics[name]]
            logs += self.node.call("eth_getLogs", query)
        return logs


def request(to: str, data: str) -> dict[str, str]:
    """Return an `eth_call` request from nobody, with gas enough for the largest book."""
    return {"to": to, "data": data, "from": ASKER, "gas": hex(CALL_GAS)}


def word(data: str, index: int) -> int:
    """Return one signed 32-byte word of hex data."""
    value = int(data[2 + 64 * index : 66 + 64 * index], 16)
    return value - 2**256 if value >= 2**255 else value
