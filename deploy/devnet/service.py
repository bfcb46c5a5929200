"""What the keeper's own transactions came to: won bids, false starts, starts healed on the way.

Read from the chain's receipts and the keeper's ledger, which says on which block each transaction
was decided; each refused start is asked again there. It must not know the keeper's code.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from deploy.devnet.contract import Contract
from deploy.devnet.history import AuctionEvent, History, Sent
from deploy.devnet.judge import Start
from deploy.devnet.venue import Venue


FULL = 10**18
STARTED = ("SolventAuctionStarted", "InsolventAuctionStarted")
HEALTHY = "DA_AccountIsAboveMaintenanceMargin"


@dataclass(frozen=True)
class ServiceRecord:
    """What a keeper did on a run, by the chain's word.

    `partial_bids` left some of the account unsold; `reverted` counts failed transactions by
    function and reason, asked again at the end of their block.
    """

    sent: int
    by_function: Mapping[str, int]
    bids_won: int
    partial_bids: int
    false_starts: int
    healed_before_inclusion: int
    undecided_starts: int
    reverted: Mapping[str, int]


def starts_of(history: History) -> list[Start]:
    """Return every auction that began in the run; a conversion of a live one is none."""
    live: set[int] = set()
    found = []
    for event in history.auctions:
        if event.name in STARTED:
            if event.account not in live and event.block >= history.first:
                insolvent = event.name == "InsolventAuctionStarted"
                found.append(Start(event.block, event.account, insolvent))
            live.add(event.account)
        elif event.name == "AuctionEnded":
            live.discard(event.account)
    return found


def bids_of(history: History) -> list[AuctionEvent]:
    """Return every bid of the run."""
    return [each for each in history.auctions if each.name == "Bid" and each.block >= history.first]


def decided_hashes(ledger: Path) -> dict[str, str]:
    """Return the decided block's hash of every transaction that the keeper's ledger knows."""
    uri = f"file:{quote(str(ledger))}?mode=ro"
    query = (
        "SELECT attempt.hash, intent.decided_block_hash FROM attempt"
        " JOIN slot USING (chain_id, address, nonce)"
        " JOIN intent ON intent.id = slot.intent_id WHERE attempt.kind = 'act'"
    )
    connection = sqlite3.connect(uri, uri=True)
    try:
        return dict(connection.execute(query).fetchall())
    finally:
        connection.close()


def service_record(
    history: History, lanes: Sequence[str], decided: Mapping[str, str]
) -> ServiceRecord:
    """Return what the lanes' transactions came to."""
    sent = history.sent_by(lanes)
    names = _selectors(history.venue)
    own = {each.hash for each in sent}
    won = [each for each in bids_of(history) if each.transaction in own]
    reverted: Counter[str] = Counter()
    false = healed = undecided = 0
    for each in (each for each in sent if each.status == 0):
        reason = refusal(history, each, hex(each.block))
        function = names.get(each.data[:10], each.data[:10])
        reverted[f"{function}: {reason}"] += 1
        if function not in ("startAuction", "advancedBid") or reason != HEALTHY:
            continue
        decided_hash = decided.get(each.hash)
        if decided_hash is None:
            undecided += 1
        elif _refused_at(history, each, decided_hash) == HEALTHY:
            false += 1
        else:
            healed += 1
    return ServiceRecord(
        sent=len(sent),
        by_function=dict(
            sorted(Counter(names.get(each.data[:10], each.data[:10]) for each in sent).items())
        ),
        bids_won=len(won),
        partial_bids=sum(1 for each in won if each.values["finalPercentage"] < FULL),
        false_starts=false,
        healed_before_inclusion=healed,
        undecided_starts=undecided,
        reverted=dict(sorted(reverted.items())),
    )


def refusal(history: History, sent: Sent, block: str | Mapping[str, str]) -> str:
    """Return the name of the error a transaction meets at a block; "accepted" when none."""
    refused = history.ask(sent, block)
    if refused is None:
        return "accepted"
    code = str(refused.data)[:10]
    for contract in _contracts(history.venue):
        if code in contract.errors:
            return contract.errors[code]
    return code


def _refused_at(history: History, sent: Sent, block_hash: str) -> str:
    return refusal(history, sent, {"blockHash": block_hash})


def _selectors(venue: Venue) -> dict[str, str]:
    """Return function names by selector, of the contracts that a keeper sends to."""
    core, manager = venue.core, venue.books[0].manager
    found = {}
    for contract, name, arguments in (
        (core.auction, "startAuction", (0, 0)),
        (core.auction, "bid", (0, 0, 0, 0, 0)),
        (core.auction, "terminateAuction", (0,)),
        (core.auction, "convertToInsolventAuction", (0,)),
        (core.auction, "updateScenarioId", (0, 0)),
        (core.auction_utils, "advancedBid", (0, 0, 0, 0, 0, 0, 0, False, b"")),
        (manager, "settleOptions", (core.auction.address, 0)),
    ):
        found[contract.encode(name, *arguments)[:10]] = name
    return found


def _contracts(venue: Venue) -> list[Contract]:
    core, book = venue.core, venue.books[0]
    return [
        core.auction,
        core.auction_utils,
        core.cash,
        core.sub_accounts,
        book.manager,
        book.lib,
        book.spot_feed,
        book.vol_feed,
        book.forward_feed,
        book.perp,
    ]
