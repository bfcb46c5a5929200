"""What we hold of a few accounts beside what the chain holds of them, field by field. Pure.

For the moment after a state was loaded: before the first decision somebody must have looked. What
is margined is compared elsewhere; here are stored integers only, and how many accounts there are.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from keeper.domain.units import AccountId, Address, Hash
from keeper.protocols.derive.tables import DeriveTables, ManagerRow


Fields = Mapping[str, object]


class Standing(NamedTuple):
    """What was held of some accounts at one block, copied: the tables move on meanwhile.

    `total` is of all accounts; `managers` say which accounts are served, and what they may hold.
    """

    total: int
    managers: tuple[tuple[Address, ManagerRow], ...]
    accounts: dict[AccountId, Fields]


def chosen(tables: DeriveTables, block: Hash, count: int) -> tuple[AccountId, ...]:
    """Return whom to look at: ours, what is being sold, the newest, and `count` by a hash.

    The block's hash spreads them: every start looks at others, and nobody can say at whom.
    """
    known = len(tables.accounts)
    found = dict.fromkeys(tables.config.bidders)
    found.update(dict.fromkeys(account for account, _ in tables.auctions.items()))
    found[known] = None
    for index in range(count if known else 0):
        drawn = sha256(f"{block}/{index}".encode()).digest()[:8]
        found[1 + int.from_bytes(drawn, "big") % known] = None
    return tuple(sorted(account for account in found if account in tables.accounts))


def standing(tables: DeriveTables, accounts: Iterable[AccountId]) -> Standing:
    """Return what the tables hold of these accounts now."""
    return Standing(
        len(tables.accounts),
        tuple(tables.managers.items()),
        {account: _fields(tables, account) for account in accounts},
    )


def disagreements(ours: Standing, total: int, theirs: Mapping[AccountId, Fields]) -> list[str]:
    """Return each thing that differs, as text: the number of accounts first, then by account."""
    found = [] if ours.total == total else [f"accounts: ours {ours.total}, the chain's {total}"]
    for account, fields in ours.accounts.items():
        other = theirs[account]
        for name in sorted({*fields, *other}):
            mine, its = fields.get(name, 0), other.get(name, 0)
            if mine != its:
                found.append(f"account {account} {name}: ours {mine!r}, the chain's {its!r}")
    return found


def _fields(tables: DeriveTables, account: AccountId) -> Fields:
    row, portfolio = tables.row(account), tables.portfolio
    columns = (
        tables.cash,
        tables.cash_index,
        tables.perp_mark,
        tables.perp_funding,
        tables.perp_pnl,
        tables.perp_aggregated,
    )
    held = {
        f"position {portfolio.instruments[each].address}/{portfolio.instruments[each].sub_id}": size
        for each, size in portfolio.positions.held(row)
    }
    return {
        "manager": tables.accounts.get(account),
        "owner": tables.owners.get(account),
        "lib": tables.overrides.get(account),
        "auction": tables.auctions.get(account),
        **{column.name.rpartition(".")[2]: column.get(row) for column in columns},
        **held,
    }
