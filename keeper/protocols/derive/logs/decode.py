"""Logs into the venue's events, by topic and fixed places. Pure; knows no table and no address.

Every word of a body is checked: its length, its padding, its type's range. A known topic with a
body that does not fit raises UndecodableLog, and deciding stops: it is never half understood.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from keeper.domain.errors import UndecodableLog
from keeper.domain.events import Log
from keeper.protocols.derive.abi import TOPIC
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.logs.authority import AUTHORITY, authority
from keeper.protocols.derive.tables import (
    BasisRow,
    CollateralRow,
    ForwardRow,
    MarginRow,
    OtherRow,
    ScenarioRow,
    SkewRow,
    VolRow,
    VolShockRow,
)
from keeper.protocols.derive.words import (
    WORD,
    Unfit,
    address,
    body,
    packed,
    signed,
    unsigned,
    values,
    word,
)


SCENARIOS_MAX: Final = 40
# Accounts, managers and assets come again and again: their topics are read once, and a topic that
# was forgotten is read anew.
TOPICS_KEPT: Final = 65_536

_made = tuple.__new__  # half of what a NamedTuple's own constructor costs, and there are thousands


def decode(log: Log) -> object | None:
    """Return the log as an event, None for a topic that moves no state of ours.

    Raises UndecodableLog for a known topic with a body that does not fit.
    """
    topics = log.topics
    decoder = DECODERS.get(topics[0]) if topics else None
    if decoder is None:
        return None
    try:
        return decoder(log)
    except (Unfit, ValueError) as error:
        raise UndecodableLog(log.address, topics[0], log.log_index, str(error)) from error


# ── what comes often, each by hand ──


@lru_cache(TOPICS_KEPT)
def account_of(topic: str) -> int:
    """Return a topic as an account's number; raises Unfit or ValueError."""
    return unsigned(word(topic), 0)


@lru_cache(TOPICS_KEPT)
def asset_of(topic: str) -> tuple[str, int]:
    """Return a topic as (asset, subId); raises Unfit or ValueError."""
    return packed(word(topic))


@lru_cache(TOPICS_KEPT)
def address_of(topic: str) -> str:
    """Return a topic as an address; raises Unfit or ValueError."""
    return address(word(topic))


def _balance_adjusted(log: Log) -> ev.BalanceAdjusted:
    raw = body(log, 4, 4)
    _, account, manager, asset_and_sub_id = log.topics
    asset, sub_id = asset_of(asset_and_sub_id)
    after = int.from_bytes(raw[64:96], "big", signed=True)
    fields = (log.address, account_of(account), address_of(manager), asset, sub_id, after)
    return _made(ev.BalanceAdjusted, fields)


def _account_interest(log: Log) -> ev.AccountInterestAccrued:
    raw = body(log, 3, 2)
    before = int.from_bytes(raw[:32], "big", signed=True)
    interest = int.from_bytes(raw[32:64], "big", signed=True)
    index = int.from_bytes(raw[64:], "big")
    fields = (log.address, account_of(log.topics[1]), before, interest, index)
    return _made(ev.AccountInterestAccrued, fields)


def _position_settled(log: Log) -> ev.PositionSettled:
    raw = body(log, 3, 2)
    account = account_of(log.topics[1])
    return ev.PositionSettled(log.address, account, signed(raw, 1), unsigned(raw, 2))


def _spot_posted(log: Log) -> ev.SpotPosted:
    raw = body(log, 3)
    return ev.SpotPosted(
        log.address, unsigned(raw, 0, 96), unsigned(raw, 1, 96), unsigned(raw, 2, 64)
    )


def _diff_posted(log: Log) -> ev.DiffPosted:
    raw = body(log, 3)
    return ev.DiffPosted(
        log.address, signed(raw, 0, 96), unsigned(raw, 1, 96), unsigned(raw, 2, 64)
    )


def _forward_posted(log: Log) -> ev.ForwardPosted:
    raw = body(log, 5, 2)
    expiry = unsigned(word(log.topics[1]), 0, 64)
    row = ForwardRow(
        signed(raw, 0, 96),
        unsigned(raw, 1, 64),
        unsigned(raw, 2, 64),
        unsigned(raw, 3),
        unsigned(raw, 4),
    )
    return ev.ForwardPosted(log.address, expiry, row)


def _vol_posted(log: Log) -> ev.VolPosted:
    raw = body(log, 9, 2)
    expiry = unsigned(word(log.topics[1]), 0, 64)
    row = VolRow(
        signed(raw, 0),
        unsigned(raw, 1),
        signed(raw, 2),
        signed(raw, 3),
        unsigned(raw, 4),
        unsigned(raw, 5),
        unsigned(raw, 6, 64),
        unsigned(raw, 7, 64),
        unsigned(raw, 8, 64),
    )
    return ev.VolPosted(log.address, expiry, row)


def _rate_posted(log: Log) -> ev.RatePosted:
    raw = body(log, 3, 2)
    return ev.RatePosted(
        log.address,
        unsigned(word(log.topics[1]), 0, 64),
        signed(raw, 0, 96),
        unsigned(raw, 1, 96),
        unsigned(raw, 2, 64),
    )


def _scenarios_set(log: Log) -> ev.ScenariosSet:
    count, odd = divmod(len(log.data) - 2 - 128, 192)
    if odd or not 0 <= count <= SCENARIOS_MAX:
        raise Unfit(f"{len(log.data)} characters are no list of scenarios")
    raw = body(log, 2 + 3 * count)
    if unsigned(raw, 0) != 32 or unsigned(raw, 1) != count:
        raise Unfit("the list of scenarios does not say its own length")
    return ev.ScenariosSet(log.address, scenario_rows(raw, 2, count))


def scenario_rows(raw: bytes, first: int, count: int) -> tuple[ScenarioRow, ...]:
    """Return `count` scenarios from word `first` on."""
    places = range(first, first + 3 * count, 3)
    rows = tuple(
        ScenarioRow(unsigned(raw, at), unsigned(raw, at + 1, 8), unsigned(raw, at + 2))
        for at in places
    )
    for row in rows:
        if row.vol > 4:
            raise Unfit(f"there is no vol shock {row.vol}")
    return rows


# ── what comes seldom, by the shape of its words ──

Decoder = Callable[[Log], object]


def shaped(shape: str, make: Callable[..., object], indexed: str = "") -> Decoder:
    """Return a decoder: indexed words, then data words, handed to `make` after the source."""
    topics, words = indexed.split(), len(shape.split())

    def decoder(log: Log) -> object:
        raw = body(log, words, 1 + len(topics))
        parts = [
            WORD[kind](word(text), 0) for kind, text in zip(topics, log.topics[1:], strict=True)
        ]
        return make(log.address, *parts, *values(raw, shape))

    return decoder


def _parameters(row: Callable[..., object]) -> Callable[..., object]:
    return lambda source, *words: ev.ParametersSet(source, row(*words))  # type: ignore[arg-type]


def _rewired(role: str) -> Decoder:
    return shaped("a", lambda source, feed: ev.FeedRewired(source, role, feed))


BASIS_SHAPE: Final = "u u u u"
OTHER_SHAPE: Final = "u u u u u u u u"
VOL_SHOCK_SHAPE: Final = "u u i i u u"
SKEW_SHAPE: Final = "u u i i i i i i"
RULES_SHAPE: Final = "u u u u u u u"

_BY_NAME: Final[dict[str, Decoder]] = {
    "AccountCreated": shaped("", ev.AccountCreated, "a u a"),
    "BalanceAdjusted": _balance_adjusted,
    "Transfer": shaped(
        "", lambda source, _, to, account: ev.OwnerChanged(source, account, to), "a a u"
    ),
    "InterestAccrued": shaped(
        "u u u u u", lambda source, _, *state: ev.InterestAccrued(source, *state)
    ),
    "InterestAccruedOnAccount": _account_interest,
    "SettledCashUpdated": shaped("i i", lambda source, _, total: ev.CashPrinted(source, total)),
    "SmFeeSet": shaped("u", ev.FeeSet),
    "InterestRateModelSet": shaped("a", ev.RateModelChanged),
    "WithdrawFeeEnabled": shaped("u", ev.WithdrawFeeEnabled),
    "WithdrawFeeDisabled": shaped("u", ev.WithdrawFeeDisabled),
    "PositionSettled": _position_settled,
    "FundingAppliedOnAccount": shaped("u i i", ev.FundingApplied),
    "PositionCleared": shaped("", ev.PositionCleared, "u"),
    "AggregatedFundingUpdated": shaped(
        "i i u64", lambda source, index, _, paid_at: ev.FundingAggregated(source, index, paid_at)
    ),
    "RateBoundsUpdated": shaped("i", ev.RateBoundsSet),
    "StaticUnderlyingInterestRateUpdated": shaped("i", ev.StaticRateSet),
    "ConvergencePeriodUpdated": shaped("i", ev.ConvergenceSet),
    "Disabled": shaped("i i", ev.PerpDisabled),
    "PerpFeedUpdated": _rewired("perp"),
    "ImpactFeedsUpdated": shaped("a a", ev.ImpactFeedsRewired),
    "SpotFeedUpdated": _rewired("spot"),
    "StableFeedUpdated": _rewired("stable"),
    "ForwardFeedUpdated": _rewired("forward"),
    "VolFeedUpdated": _rewired("vol"),
    "InterestRateFeedUpdated": _rewired("rate"),
    "SpotPriceUpdated": _spot_posted,
    "SpotDiffUpdated": _diff_posted,
    "SpotDiffCapUpdated": shaped("u", ev.DiffCapSet),
    "ForwardDataUpdated": _forward_posted,
    "VolDataUpdated": _vol_posted,
    "RateUpdated": _rate_posted,
    "StaticSpotUpdated": shaped(
        "u u", lambda source, price, conf: ev.SpotPosted(source, price, conf, 0)
    ),
    "StaticDiffUpdated": shaped(
        "u u", lambda source, diff, conf: ev.DiffPosted(source, diff, conf, 0)
    ),
    "StaticRateUpdated": shaped(
        "i64 u64", lambda source, rate, conf: ev.RatePosted(source, 0, rate, conf, 0)
    ),
    "ScenariosUpdated": _scenarios_set,
    "CollateralSpotFeedUpdated": shaped("a a", ev.CollateralFeedSet),
    "LibOverrideUpdated": shaped("a", ev.LibOverridden, "u"),
    "MaxAccountSizeUpdated": shaped("u", ev.AccountSizeMaxSet),
    "MaxExpiriesUpdated": shaped("u", ev.ExpiriesMaxSet),
    "AdjustmentsPausedSet": shaped("b", ev.AdjustmentsPausedSet),
    "BasisContingencyParamsUpdated": shaped(BASIS_SHAPE, _parameters(BasisRow)),
    "OtherContingencyParamsUpdated": shaped(OTHER_SHAPE, _parameters(OtherRow)),
    "MarginParamsUpdated": shaped(OTHER_SHAPE, _parameters(MarginRow)),
    "VolShockParamsUpdated": shaped(VOL_SHOCK_SHAPE, _parameters(VolShockRow)),
    "SkewShockParamsUpdated": shaped(SKEW_SHAPE, _parameters(SkewRow)),
    "CollateralParametersUpdated": shaped(
        "a b b u u",
        lambda source, asset, *row: ev.CollateralSet(source, asset, CollateralRow(*row)),
    ),
    "SolventAuctionStarted": shaped(
        "u u i u",
        lambda source, account, scenario, *_: ev.SolventAuctionStarted(source, account, scenario),
    ),
    "InsolventAuctionStarted": shaped("u u i", ev.InsolventAuctionStarted),
    "Bid": shaped(
        "u u u u u", lambda source, account, _, __, paid, ___: ev.BidWon(source, account, paid)
    ),
    "AuctionEnded": shaped("u u", lambda source, account, _: ev.AuctionEnded(source, account)),
    "ScenarioIdUpdated": shaped("u u", ev.ScenarioUpdated),
    "AuctionParamsSet": shaped(
        RULES_SHAPE, lambda source, *rules: ev.AuctionRulesSet(source, rules)
    ),
    "MtmCutOffSet": shaped("i", ev.MtmCutoffSet),
    "ManagerWhitelisted": shaped("a b", ev.ManagerWhitelisted),
    "SMAccountSet": shaped("u", ev.SecurityAccountSet),
    "SettlementHeartbeatUpdated": shaped("u64", ev.SettlementHeartbeatSet),
    **{name: authority(name) for name in AUTHORITY},
}

DECODERS: Final[dict[str, Decoder]] = {TOPIC[name]: make for name, make in _BY_NAME.items()}
