"""Who can take what a run bought: asked of the chain at its end, of lanes, strangers and the owner.

Nothing is sent. It knows the executor and the venue; it must not know the keeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.devnet.chain.contract import Contract
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.judge.history import ASKER, CALL_GAS, History
from deploy.devnet.judge.margins import Viewed
from deploy.devnet.venue.treasury import Treasury


TAKEN = "taken"
FAR = 2**63


@dataclass(frozen=True)
class Payout:
    """What the executor holds at the end of a run, USD at the chain's marks, and who can take it.

    `slices` are the accounts bought. `tries` says of every way out how it is refused, or that it is
    "taken": by `lane` and `stranger`, never; by `owner`, always.
    """

    accounts: int
    slices: int
    worth_usd: float
    tries: dict[str, str]

    @property
    def kept(self) -> bool:
        """Tell whether nobody but the owner has a way out, and the owner has one."""
        owners = [how for who, how in self.tries.items() if who.startswith("owner")]
        others = [how for who, how in self.tries.items() if not who.startswith("owner")]
        return TAKEN not in others and bool(owners) and set(owners) == {TAKEN}


def payout(
    history: History,
    treasury: Treasury,
    lanes: Sequence[str],
    bidders: Sequence[int],
    views: Sequence[Viewed],
) -> Payout:
    """Return what the executor's accounts are worth at the end, and try every way out of it."""
    executor = treasury.address.lower()
    held = [account for account, owner in history.owners.items() if owner == executor]
    worth = {each.account: each.mtm for each in views if not each.reverts}
    bought = [account for account in held if account not in bidders]
    prize = bought[0] if bought else bidders[0]
    return Payout(
        accounts=len(held),
        slices=len(bought),
        worth_usd=sum(worth.get(account, 0) for account in held) / 1e18,
        tries=_tries(history, treasury, lanes, prize),
    )


def _tries(
    history: History, treasury: Treasury, lanes: Sequence[str], account: int
) -> dict[str, str]:
    """Return how each way out ends; of the lanes, the first answer that is no refusal."""
    found: dict[str, str] = {}
    for way in ("transfer", "execute", "administer", "withdraw"):
        answers = [_ask(history, treasury, each, way, account) for each in lanes]
        found[f"lane {way}"] = TAKEN if TAKEN in answers else answers[0]
        found[f"stranger {way}"] = _ask(history, treasury, ASKER, way, account)
    found["owner administer"] = _ask(history, treasury, treasury.owner, "administer", account)
    return found


def _ask(history: History, treasury: Treasury, who: str, way: str, account: int) -> str:
    accounts, executor = history.venue.core.sub_accounts, treasury.executor
    move = accounts.encode("transferFrom", executor.address, who, account)
    body = bytes.fromhex(move[2:])
    ways: dict[str, tuple[Contract, str]] = {
        "transfer": (accounts, move),
        "execute": (executor, _batch(executor, accounts.address, body)),
        "administer": (executor, executor.encode("administer", accounts.address, 0, body)),
        "withdraw": (executor, executor.encode("withdraw", history.venue.core.usdc.address, 0)),
    }
    to, data = ways[way]
    request = {"from": who, "to": to.address, "data": data, "gas": hex(CALL_GAS)}
    answer = history.node.rpc.try_batch([("eth_call", [request, hex(history.last)])])[0]
    if not isinstance(answer, RpcError):
        return TAKEN
    names = {**executor.errors, **accounts.errors}
    return names.get(str(answer.data)[:10], str(answer.data)[:10])


def _batch(executor: Contract, target: str, body: bytes) -> str:
    call: tuple[Any, ...] = (target, 0, 0, False, body, [])
    return executor.encode("execute", [call], (FAR, FAR, 1, [], [], []))
