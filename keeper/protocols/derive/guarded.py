"""What must still be so on chain when a call of ours runs: Derive's views as conditions.

It turns what was decided into ranges and lays no batch out itself; it must not know the tables.
The views show stored cash: what interest accrued since is not in them, so the ranges leave room
for more than a price's last move. Words of a view are counted from 0.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from keeper.domain.effects import Call
from keeper.domain.errors import InvariantViolation
from keeper.domain.units import AccountId, Address, to_wad
from keeper.liquidation.executor import (
    INT_MIN,
    Condition,
    Gain,
    Guard,
    Step,
    execute,
    gas_limit,
)
from keeper.liquidation.mechanisms.dutch_auction import Auction
from keeper.liquidation.strategy import Opportunity, Proposal, Service


GET_AUCTION: Final = "78bd7935"
AUCTION_MARGIN: Final = "dc2a5309"  # (account, scenario) -> (mm, bm, mtm)
MANAGER_MARGIN: Final = "6691bc04"  # (account, initial, scenario) -> (margin, mtm)
GET_SPOT: Final = "2b37269c"  # () -> (price, confidence)
SPOT_DIFF: Final = "f8ff41bd"  # () -> (diff, confidence, timestamp)
GET_BALANCE: Final = "0806e640"  # (account, asset, subId) -> balance

# One scenario of a book: the fixed cost of the view and what each position adds (measured).
VIEW_GAS: Final = 290_000
VIEW_GAS_EACH: Final = 65_000


@dataclass(frozen=True, slots=True)
class GuardRule:
    """How far the world may move between a decision and its block before we would rather not.

    blocks_max, seconds_max  both deadlines: block numbers stand still while a chain is halted
    price_ppm_max            move of the spot either way, and of margin as that share of gross
    margin_slack_usd         room in the margin ranges besides: interest that the views leave out
    feed_age_s_max           the newest feed may be no older; 0 to leave ages to the venue
    profit_least_usd         what a direct bid must add to our account's worth, at the chain's marks
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    blocks_max: int = 3
    seconds_max: int = 60
    price_ppm_max: int = 20_000
    margin_slack_usd: float = 25.0
    feed_age_s_max: int = 180
    profit_least_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Decided:
    """Where and on what a decision stands: addresses of one book, and the block it saw.

    `diff_feed` is the perpetual's feed, None where it is a static one that keeps no timestamp.
    """

    number: int
    timestamp_s: int
    auction: Address
    manager: Address
    spot_feed: Address
    diff_feed: Address | None
    spot_wad: int


def guarded(
    executor: Address,
    step: Step,
    decided: Decided,
    rule: GuardRule,
    gains: tuple[Gain, ...] = (),
) -> Call:
    """Return one step as a call of the executor, with both deadlines and the prices' limits."""
    guard = Guard(
        block_max=decided.number + rule.blocks_max,
        timestamp_max_s=decided.timestamp_s + rule.seconds_max,
        conditions=market_conditions(decided, rule),
        gains=gains,
    )
    return execute(executor, [step], guard)


def guarded_gas(call_gas: int, positions: int, gains: int = 0) -> int:
    """Return the gas limit of a guarded call, given its own and the positions of the account."""
    looks = VIEW_GAS + VIEW_GAS_EACH * positions
    guard = Guard(0, 0, gains=(Gain("0x0", "0x", 0),) * gains)
    return gas_limit([call_gas, looks], guard, 8)


def step_of(
    call: Call, opportunity: Opportunity, proposal: Proposal, decided: Decided, rule: GuardRule
) -> Step:
    """Return a call with the conditions that its service was decided under."""
    if proposal.service is Service.START:
        return Step(call, start_conditions(opportunity, decided, rule))
    if opportunity.auction is None:
        raise InvariantViolation(f"{proposal.service} without an auction to guard")
    if proposal.service is Service.BID:
        conditions = auction_conditions(opportunity, opportunity.auction, decided, rule)
        return Step(call, conditions)
    ongoing = _equal(decided.auction, _ask(GET_AUCTION, opportunity.account), 3, 1)
    return Step(call, (ongoing,))


def start_conditions(
    opportunity: Opportunity, decided: Decided, rule: GuardRule
) -> tuple[Condition, ...]:
    """Return: still in breach under the decided scenario, and not much deeper nor richer.

    A margin far below what was decided means another book than the one we looked at.
    """
    slack = slack_wad(opportunity, rule)
    view = _ask(MANAGER_MARGIN, opportunity.account, 0, opportunity.scenario)
    equity = to_wad(opportunity.equity_usd)
    excess = to_wad(opportunity.excess_usd)
    return (
        # The scenario handed over may show less of a breach than the worst, the add-on's, does.
        Condition(decided.manager, view, 0, excess - slack, slack),
        Condition(decided.manager, view, 1, equity - slack, equity + slack),
    )


def auction_conditions(
    opportunity: Opportunity, auction: Auction, decided: Decided, rule: GuardRule
) -> tuple[Condition, ...]:
    """Return: the same auction, its kind, scenario and reserved cash, and margin in range."""
    slack = slack_wad(opportunity, rule)
    state = _ask(GET_AUCTION, opportunity.account)
    margin = _ask(AUCTION_MARGIN, opportunity.account, auction.scenario)
    mm, mtm = to_wad(auction.mm_excess_usd), to_wad(auction.equity_usd)
    reserved = to_wad(auction.reserved_usd)
    ulp = abs(reserved) >> 50  # reserved cash came through a float
    return (
        _equal(decided.auction, state, 1, auction.scenario),
        _equal(decided.auction, state, 2, int(auction.insolvent)),
        _equal(decided.auction, state, 3, 1),
        Condition(decided.auction, state, 6, reserved - ulp, reserved + ulp),
        Condition(decided.auction, margin, 0, mm - slack, mm + slack),
        Condition(decided.auction, margin, 2, mtm - slack, mtm + slack),
    )


def market_conditions(decided: Decided, rule: GuardRule) -> tuple[Condition, ...]:
    """Return: the spot near what was decided on, and the newest feed fresh.

    A spot feed tells nobody its timestamp; the perpetual's, posted with it, does.
    """
    room = decided.spot_wad * rule.price_ppm_max // 1_000_000
    low, high = decided.spot_wad - room, decided.spot_wad + room
    spot = Condition(decided.spot_feed, "0x" + GET_SPOT, 0, low, high)
    if not rule.feed_age_s_max or decided.diff_feed is None:
        return (spot,)
    age = Condition(
        decided.diff_feed, "0x" + SPOT_DIFF, 2, INT_MIN, rule.feed_age_s_max, is_age=True
    )
    return (spot, age)


def worth_gain(manager: Address, account: AccountId, least_wad: int) -> Gain:
    """Return: an account of ours is worth so much more at marks: the least profit of a bid."""
    return Gain(manager, _ask(MANAGER_MARGIN, account, 0, 0), least_wad, word=1)


def cash_gain(sub_accounts: Address, cash: Address, account: AccountId, least_wad: int) -> Gain:
    """Return: an account of ours ends with so much more stored cash.

    A negative `least_wad` bounds what leaves it: all a bid through the helper can be held to, for
    the slice lands in an account that does not exist yet.
    """
    return Gain(sub_accounts, _ask(GET_BALANCE, account, int(cash, 16), 0), least_wad)


def slack_wad(opportunity: Opportunity, rule: GuardRule) -> int:
    """Return the room either side of a margin: a share of gross for prices, and the slack."""
    share = opportunity.gross_usd * rule.price_ppm_max / 1_000_000
    return to_wad(share + rule.margin_slack_usd)


def _equal(target: Address, data: str, word: int, value: int) -> Condition:
    return Condition(target, data, word, value, value)


def _ask(selector: str, *words: int) -> str:
    return "0x" + selector + "".join(f"{word:064x}" for word in words)
