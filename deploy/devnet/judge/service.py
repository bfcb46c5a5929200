"""What the keeper's own transactions came to: won bids, false starts, starts healed on the way.

Read from the chain's receipts and the keeper's ledger, which says on which block each transaction
was decided; each refused start is asked again there. It must not know the keeper's code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.devnet.chain.contract import Contract
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.judge.history import CALL_GAS, AuctionEvent, History, Sent, word
from deploy.devnet.judge.verdict import Start
from deploy.devnet.venue.deployment import Venue
from deploy.devnet.venue.treasury import Treasury, Viewing, unwrapped


FULL = 10**18
STARTED = ("SolventAuctionStarted", "InsolventAuctionStarted")
HEALTHY = "DA_AccountIsAboveMaintenanceMargin"
BIDS = ("bid", "advancedBid")
# Of the executor's guard, a condition's word: what it looks at, by the view's name and word.
LOOKED_AT = {
    ("getSpot", 0): "spot price",
    ("spotDiffDetails", 2): "age of the newest feed",
    ("getAuction", 1): "scenario",
    ("getAuction", 2): "auction kind",
    ("getAuction", 3): "auction live",
    ("getAuction", 6): "reserved cash",
    ("getMarginAndMarkToMarket", 0): "mm",
    ("getMarginAndMarkToMarket", 2): "mtm",
}


@dataclass(frozen=True)
class ServiceRecord:
    """What a keeper did on a run, by the chain's word.

    `partial_bids` left some of the account unsold; `reverted` counts failed transactions by
    function and reason, asked again at the end of their block. A call through the executor counts
    under its own name; `through_executor` counts those by function, `bids_direct` bids beside it,
    and `guard_refused` what the guard refused on chain, by what it looked at.
    """

    sent: int
    by_function: Mapping[str, int]
    bids_won: int
    partial_bids: int
    false_starts: int
    healed_before_inclusion: int
    undecided_starts: int
    reverted: Mapping[str, int]
    through_executor: Mapping[str, int]
    executor_reverted: int
    bids_direct: int
    guard_refused: Mapping[str, int]


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


def service_record(
    history: History, treasury: Treasury, lanes: Sequence[str], decided: Mapping[str, str]
) -> ServiceRecord:
    """Return what the lanes' transactions came to."""
    sent = history.sent_by(lanes)
    asked = Asked(history, treasury)
    own = {each.hash for each in sent}
    won = [each for each in bids_of(history) if each.transaction in own]
    functions = {each.hash: asked.function(each) for each in sent}
    through = [each for each in sent if asked.guarded(each)]
    reverted: Counter[str] = Counter()
    guard: Counter[str] = Counter()
    false = healed = undecided = 0
    for each in (each for each in sent if each.status == 0):
        reason, function = asked.refusal(each, hex(each.block)), functions[each.hash]
        reverted[f"{function}: {reason}"] += 1
        if reason.startswith("EX_"):
            guard[asked.guard_word(each, reason)] += 1
        if function not in ("startAuction", "advancedBid") or reason != HEALTHY:
            continue
        decided_hash = decided.get(each.hash)
        if decided_hash is None:
            undecided += 1
        elif asked.refusal(each, {"blockHash": decided_hash}) == HEALTHY:
            false += 1
        else:
            healed += 1
    return ServiceRecord(
        sent=len(sent),
        by_function=dict(sorted(Counter(functions.values()).items())),
        bids_won=len(won),
        partial_bids=sum(1 for each in won if each.values["finalPercentage"] < FULL),
        false_starts=false,
        healed_before_inclusion=healed,
        undecided_starts=undecided,
        reverted=dict(sorted(reverted.items())),
        through_executor=dict(sorted(Counter(functions[each.hash] for each in through).items())),
        executor_reverted=sum(1 for each in through if each.status == 0),
        bids_direct=sum(
            1 for each in sent if functions[each.hash] in BIDS and not asked.guarded(each)
        ),
        guard_refused=dict(sorted(guard.items())),
    )


class Asked:
    """What a transaction was for, and how the chain refuses it when it is asked again."""

    def __init__(self, history: History, treasury: Treasury) -> None:
        self._history = history
        self._treasury = treasury
        self._names = _selectors(history.venue)
        self._contracts = [*_contracts(history.venue), treasury.executor]

    def guarded(self, sent: Sent) -> bool:
        """Tell whether it went through the executor."""
        return unwrapped(self._treasury, sent.to, sent.data) is not None

    def function(self, sent: Sent) -> str:
        """Return the venue's function it calls, through the executor or directly."""
        inner = unwrapped(self._treasury, sent.to, sent.data)
        selector = (sent.data if inner is None else inner.data)[:10]
        return self._names.get(selector, selector)

    def refusal(self, sent: Sent, block: str | Mapping[str, str]) -> str:
        """Return the name of the error it meets at a block; "accepted" when none."""
        refused = self._history.ask(sent, block)
        if refused is None:
            return "accepted"
        code = str(refused.data)[:10]
        for contract in self._contracts:
            if code in contract.errors:
                return contract.errors[code]
        return code

    def guard_word(self, sent: Sent, reason: str) -> str:
        """Return a refusal of the guard with what it looked at, at the end of its block."""
        inner = unwrapped(self._treasury, sent.to, sent.data)
        if inner is None or reason != "EX_ConditionFailed":
            return reason
        failing = (each for each in inner.conditions if self._fails(each, sent.block))
        return next((f"{reason}: {self._looked_at(each)}" for each in failing), reason)

    def _fails(self, condition: Viewing, block: int) -> bool:
        request = {"to": condition.target, "data": condition.data, "gas": hex(CALL_GAS)}
        answer = self._history.node.rpc.try_batch([("eth_call", [request, hex(block)])])[0]
        if isinstance(answer, RpcError):
            return True
        value = word(str(answer), condition.word)
        if condition.is_age:
            value = self._history.timestamps()[block] - value
        return not condition.least <= value <= condition.most

    def _looked_at(self, condition: Viewing) -> str:
        views = {
            "0x" + code: name.split("(")[0]
            for contract in self._contracts
            for name, code in contract.artifact.selectors.items()
        }
        view = views.get(condition.data[:10], condition.data[:10])
        return LOOKED_AT.get((view, condition.word), f"{view}[{condition.word}]")


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
        book.perp_feed,
    ]
