"""What is to be done and to be told: the only output of the machine.

Commands go to the executor, notices and assessments to telemetry; nothing flows back except as a
new event that carries the command's id.
"""

from dataclasses import dataclass, field
from typing import Final

from keeper.domain.units import AccountId, Address, Hash


Scalar = str | int | float | bool | None
# Whose a command of no account is, where an account would be named; an account is a number.
FEEDS: Final = "feeds"


@dataclass(frozen=True, slots=True)
class Call:
    """A contract call: `data` is "0x" and hex."""

    to: Address
    data: str
    value_wei: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """Send this call, at most once, in rank order.

    `sender` is None where any lane may send it. `gas` is the gas limit, `spend_max_wei` the most
    that gas and value may cost together, whatever is bid later; `tip_budget_wei` what the first
    bytes bid for their place. After `deadline_block` nothing new is sent for it. Decided on state
    at `decided_hash`. `priority` is (tier, worth) of its breach in the configured order, the
    smaller the better: what ranks commands of different blocks. `hurried` asks that it be sent
    while it is still being tried, where the configuration allows that. `account` is None where it
    is for none of them but for the venue's feeds.
    """

    id: int
    venue: str
    account: AccountId | None
    kind: str
    call: Call
    gas: int
    spend_max_wei: int
    tip_budget_wei: int
    deadline_block: int
    rank: int
    sender: Address | None
    decided_number: int
    decided_hash: Hash
    priority: tuple[int, float] = (0, 0.0)
    hurried: bool = False

    @property
    def subject(self) -> str:
        """Return whose it is, within its venue: of each subject one action lives at a time."""
        return FEEDS if self.account is None else str(self.account)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told: `kind` is a stable snake_case word, `severity` info/warning/error."""

    kind: str
    severity: str
    fields: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """One venue on one block: the numbers behind the canonical log line and the metrics.

    `accounts` counts every account of the venue; `undecided` those without a defined margin (a
    stale quote, a view that would revert), `unsupported` those under a manager we do not model.
    Money is USD. `excess_min_usd` is of the worst decided account, 0.0 when there is none.
    """

    venue: str
    number: int
    accounts: int
    positions: int
    undecided: int
    unsupported: int
    breaches: int
    insolvent: int
    shortfall_usd: float
    excess_min_usd: float
    auctions: int
    opportunities: int
    proposals: int
    quotes: tuple[tuple[str, str], ...] = ()  # (required quote, OK/STALE/SUSPECT/HALTED)
    quote_ages: tuple[tuple[str, float], ...] = ()  # (required quote, age over heartbeat)


@dataclass(frozen=True, slots=True)
class Effects:
    """All that one entry caused, in order."""

    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    assessments: tuple[Assessment, ...] = field(default=())


NOTHING = Effects()
