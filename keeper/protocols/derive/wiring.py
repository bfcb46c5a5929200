"""What an operator must say about one Derive v2 deployment; everything else is read from the chain.

Knows no table and no event. Addresses are kept lower case, as logs carry them.
"""

import re
from dataclasses import dataclass, field

from keeper.domain.errors import ConfigError
from keeper.domain.units import AccountId, Address
from keeper.market.payloads import PayloadRule
from keeper.market.quotes import JudgeRule, QuoteRule
from keeper.protocols.derive.guarded import GuardRule


ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
NOWHERE: Address = "0x" + 40 * "0"


@dataclass(frozen=True)
class DeriveConfig:
    """One deployment: where it stands, what counts as a required quote, who bids.

    `managers` are the PMRM_2 or PMRM_2_1 risk contracts to serve; accounts under any other are
    counted as unsupported. `underlyings` names them in the same order ("ETH", "BTC"); when left
    empty a manager is named by the first digits of its address. `required_quotes` are words
    "<underlying>.<quote>" (quote: spot, stable, perp, forward, vol, rate) whose staleness turns
    readiness red. `bidders` are our own sub-accounts. A spot that jumps by more than
    `quote_jump_max_ppm` is doubted for `quote_doubt_s`. Bids by accounts that `executor` owns go
    through it, guarded by `guard`. A call queued in the `timelock` of the venue's owner stops
    decisions as a changed rule does. `quotes` says what else makes a spot suspect, `payloads` which
    signed data an action brings. Raises ConfigError.
    """

    sub_accounts: Address
    cash: Address
    auction: Address
    managers: tuple[Address, ...]
    start_block: int
    name: str = "derive"
    auction_utils: Address | None = None
    data_submitter: Address | None = None
    executor: Address | None = None
    timelock: Address | None = None
    underlyings: tuple[str, ...] = ()
    required_quotes: tuple[str, ...] = ()
    bidders: tuple[AccountId, ...] = ()
    quote_jump_max_ppm: int = 250_000
    quote_doubt_s: int = 300
    snapshot_batch_calls: int = 1_000
    snapshot_range_blocks: int = 5_000
    guard: GuardRule = field(default_factory=GuardRule)
    quotes: JudgeRule = field(default_factory=JudgeRule)
    payloads: PayloadRule = field(default_factory=PayloadRule)

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name and shape

    def __post_init__(self) -> None:
        """Lower the addresses' case and check what types cannot say."""
        for key in ADDRESS_FIELDS:
            object.__setattr__(self, key, _lowered(key, getattr(self, key)))
        managers = tuple(_address("managers", each) for each in self.managers)
        object.__setattr__(self, "managers", managers)
        if not managers or len(set(managers)) != len(managers):
            raise ConfigError("managers", managers, "name each manager to serve once, at least one")
        if self.underlyings and len(self.underlyings) != len(managers):
            raise ConfigError("underlyings", self.underlyings, "name one for each manager, or none")
        if len(set(self.underlyings)) != len(self.underlyings):
            raise ConfigError("underlyings", self.underlyings, "give each manager its own name")
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "give a number above 0")
        if self.start_block < 0:
            raise ConfigError("start_block", self.start_block, "give the block it was deployed in")

    @property
    def rule(self) -> QuoteRule:
        """Return when a jump of a spot is doubted, and for how long."""
        return QuoteRule(self.quote_jump_max_ppm, self.quote_doubt_s)

    def underlying(self, manager: Address) -> str:
        """Return the name of what this manager's contracts are written on."""
        if not self.underlyings:
            return manager[:10]
        return self.underlyings[self.managers.index(manager)]


ADDRESS_FIELDS = (
    "sub_accounts",
    "cash",
    "auction",
    "auction_utils",
    "data_submitter",
    "executor",
    "timelock",
)
COUNTS = (
    "quote_jump_max_ppm",
    "quote_doubt_s",
    "snapshot_batch_calls",
    "snapshot_range_blocks",
)


def _lowered(key: str, value: str | None) -> Address | None:
    return None if value is None else _address(key, value)


def _address(key: str, value: str) -> Address:
    if not ADDRESS.fullmatch(value):
        raise ConfigError(key, value, 'give an address: "0x" and 40 hex digits')
    return value.lower()
