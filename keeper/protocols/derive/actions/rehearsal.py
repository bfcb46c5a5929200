"""What a drill asks and changes on a throwaway copy of a deployment, as calls. Pure.

It must not know nodes: who may be impersonated and what storage may be overridden is the shell's
business, and happens on a copy that is thrown away.
"""

from typing import Final

from keeper.domain.effects import Call
from keeper.domain.units import AccountId, Address
from keeper.protocols.derive.guarded import GET_BALANCE
from keeper.protocols.derive.wiring import DeriveConfig


OWNER_OF: Final = "6352211e"  # (account) -> address
MANAGER: Final = "52981457"  # (account) -> address
TRANSFER_FROM: Final = "23b872dd"  # (from, to, token)
SET_APPROVAL_FOR_ALL: Final = "a22cb465"  # (operator, approved)


def stored_cash(config: DeriveConfig, account: AccountId) -> Call:
    """Return the view of an account's stored cash."""
    return _call(config.sub_accounts, GET_BALANCE, account, int(config.cash, 16), 0)


def owner_of(config: DeriveConfig, account: AccountId) -> Call:
    """Return the view of an account's owner."""
    return _call(config.sub_accounts, OWNER_OF, account)


def manager_of(config: DeriveConfig, account: AccountId) -> Call:
    """Return the view of the manager that an account stands under."""
    return _call(config.sub_accounts, MANAGER, account)


def hand_over(config: DeriveConfig, owner: Address, to: Address, account: AccountId) -> Call:
    """Return the call by which an owner gives an account away."""
    return _call(config.sub_accounts, TRANSFER_FROM, int(owner, 16), int(to, 16), account)


def trust_helper(config: DeriveConfig, helper: Address) -> Call:
    """Return the call by which an owner lets the auction's helper move its accounts."""
    return _call(config.sub_accounts, SET_APPROVAL_FOR_ALL, int(helper, 16), 1)


def _call(to: Address, selector: str, *words: int) -> Call:
    return Call(to, "0x" + selector + "".join(f"{word:064x}" for word in words))
