"""Rules in motion as logs tell them: parameters, wiring, owners, guardians, pauses, proxies. Pure.

They only say that decisions must stop; what lets them go on is an audit. What anybody may cause is
left out (clearing an override in an auction, `WithdrawFeeDisabled`): else a stranger could stop us
at will. What no log tells is `authority_standing`'s.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from keeper.domain.events import Log
from keeper.domain.units import Address
from keeper.portfolio.tables import Table
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.tables import DeriveTables
from keeper.protocols.derive.wiring import NOWHERE


ADDRESSES_TOLD_MAX: Final = 2
# A word that holds an address: a number that is no address leaves the high half of it empty.
ADDRESS_WORD: Final = re.compile(r"(?:0x)?0{24}(?!0{20})[0-9a-f]{40}", re.ASCII)
AUTHORITY: Final = (
    "Upgraded", "BeaconUpgraded", "AdminChanged", "OwnershipTransferred",
    "OwnershipTransferStarted", "GuardianUpdated", "Paused", "Unpaused", "CallScheduled",
    "QueueTransaction",
)  # fmt: skip


class AuthorityChanged(NamedTuple):
    """A contract's code, owner, guardian or pause changed, or a timelock was given a call.

    `about` are the addresses that the log named; the state we hold does not move with it.
    """

    source: Address
    name: str
    about: tuple[Address, ...]


def authority(name: str) -> Callable[[Log], AuthorityChanged]:
    """Return a decoder that takes any body: it moves no state, and its form is not the venue's."""

    def decoder(log: Log) -> AuthorityChanged:
        words = [*log.topics[1:], *(log.data[at : at + 64] for at in range(2, len(log.data), 64))]
        named = [f"0x{word[-40:]}" for word in words if ADDRESS_WORD.fullmatch(word)]
        return AuthorityChanged(log.address, name, tuple(named[:ADDRESSES_TOLD_MAX]))

    return decoder


# Only the owner, the guardian or governance causes these; each changes what margin or an auction
# comes to, or who may change it next.
CHANGES: Final[dict[type, str]] = {
    ev.FeeSet: "interest fee",
    ev.RateModelChanged: "rate model",
    ev.RateBoundsSet: "funding bounds",
    ev.StaticRateSet: "static funding rate",
    ev.ConvergenceSet: "funding convergence",
    ev.PerpDisabled: "perpetual disabled",
    ev.FeedRewired: "feed",
    ev.ImpactFeedsRewired: "impact feeds",
    ev.CollateralFeedSet: "collateral feed",
    ev.DiffCapSet: "difference cap",
    ev.SettlementHeartbeatSet: "settlement heartbeat",
    ev.ScenariosSet: "scenarios",
    ev.LibOverridden: "lib override",
    ev.AccountSizeMaxSet: "account size",
    ev.ExpiriesMaxSet: "expiries",
    ev.AdjustmentsPausedSet: "pause",
    ev.ParametersSet: "margin parameters",
    ev.CollateralSet: "collateral",
    ev.AuctionRulesSet: "auction parameters",
    ev.MtmCutoffSet: "auction cutoff",
    ev.ManagerWhitelisted: "auction whitelist",
    ev.SecurityAccountSet: "security account",
    AuthorityChanged: "authority",
}


def described(tables: DeriveTables, event: object) -> str | None:
    """Return an event as a changed rule, None where it is none.

    Whether it says anything new is for the tables' versions to tell: see `versions`.
    """
    word = CHANGES.get(type(event))
    if word is None:
        return None
    if isinstance(event, ev.LibOverridden) and event.lib == NOWHERE:
        return None  # anybody may clear one while the account is being auctioned
    if isinstance(event, AuthorityChanged):
        word = " ".join((event.name, *event.about))
    elif isinstance(event, ev.ParametersSet):
        word = f"{word} {type(event.row).__name__.removesuffix('Row').lower()}"
    source: Address = getattr(event, "source", NOWHERE)
    return f"{role(tables, source)} {source}: {word}"


def versions(tables: DeriveTables) -> tuple[int, ...]:
    """Return what moves when any rule is written: equal before and after, nothing was changed."""
    ruled: tuple[Table[Any, Any], ...] = (
        tables.cash_state,
        tables.managers,
        tables.whitelist,
        tables.perps,
        tables.auction_rules,
        tables.overrides,
        *tables.lib_tables,
        tables.collateral_feeds,
        tables.feeds,
    )
    return tuple(table.version for table in ruled)


def role(tables: DeriveTables, source: Address) -> str:
    """Return what a contract is to the venue."""
    config = tables.config
    named = {
        config.sub_accounts: "sub_accounts",
        config.cash: "cash",
        config.auction: "auction",
        config.timelock: "timelock",
    }
    if source in named:
        return named[source]
    for table, word in (
        (tables.managers, "manager"),
        (tables.margin, "lib"),
        (tables.perps, "perpetual"),
        (tables.rate_models, "rate model"),
        (tables.feeds, "feed"),
    ):
        if source in table:
            return word
    return "contract"
