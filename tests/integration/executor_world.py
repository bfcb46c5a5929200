"""An executor in a small world of its own: a token, a venue, a flash lender, lanes and strangers.

It builds calldata by the keeper's own encoder, so that the encoder and the contract are one test.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node
from deploy.devnet.chain.rpc import RpcError
from deploy.executor.standing import deploy, permission
from keeper.domain.effects import Call
from keeper.liquidation.executor import INT_MAX, Condition, Guard, Step, execute


FAR = 2**40
GAS = 2_000_000
FOREIGN = {"0x11d12703": "WV_Healed"}


class ExecutorWorld:
    """One executor owned by `owner`, with one lane; everything funded and permitted as it is."""

    def __init__(self, node: Node) -> None:
        self.node = node
        accounts = node.call("eth_accounts")
        self.deployer = Sender(node.rpc, accounts[0])
        self.owner = Sender(node.rpc, accounts[1])
        self.lane = Sender(node.rpc, accounts[2])
        self.thief = Sender(node.rpc, accounts[3])
        self.token = self.deployer.deploy("WorldToken")
        self.venue = self.deployer.deploy("WorldVenue", self.token.address)
        self.lender = self.deployer.deploy("WorldLender", self.token.address)
        permissions = [
            permission(self.venue, name)
            for name in ("liquidate", "buy", "burn", "silent", "bomb", "setMargin")
        ]
        permissions.append(permission(self.lender, "lend"))
        # Repaying a lender is the one transfer a lane may make: the recipient is pinned.
        lender = int(self.lender.address, 16)
        permissions.append(permission(self.token, "transfer", lender))
        self.executor = deploy(self.deployer, self.owner.address, [self.lane.address], permissions)
        self.deployer.send(self.token, "mint", self.executor.address, 1_000)
        self.deployer.send(self.token, "mint", self.lender.address, 1_000_000)
        self.deployer.flush()

    # ── what is asked of it ──

    def call(self, contract: Contract, name: str, *arguments: Any, value: int = 0) -> Call:
        """A call of one of the world's contracts."""
        return Call(contract.address, contract.encode(name, *arguments), value)

    def liquidate(self, account: int, reward: int = 10, **more: Any) -> Step:
        """The step that serves an account of the venue."""
        return Step(self.call(self.venue, "liquidate", account, reward), **more)

    def margin_in(self, account: int, least: int, most: int) -> Condition:
        """The account's margin, the first of three words, is in a range."""
        data = self.venue.encode("marginOf", account)
        return Condition(self.venue.address, data, 0, least, most)

    def fresh(self, age_s_max: int) -> Condition:
        """The venue's price is so old at most."""
        data = self.venue.encode("updatedAt")
        return Condition(self.venue.address, data, 0, 0, age_s_max, is_age=True)

    def guard(self, **changes: Any) -> Guard:
        """A guard that only the changes make strict."""
        plain: dict[str, Any] = {"block_max": FAR, "timestamp_max_s": FAR}
        return Guard(**plain | changes)

    def breach(self, *accounts: int, margin: int = -100) -> None:
        """Set the margin of accounts."""
        for account in accounts:
            self.deployer.send(self.venue, "setMargin", account, margin)
        self.deployer.flush()

    # ── asking ──

    def run(
        self, steps: Sequence[Step], guard: Guard | None = None, by: Sender | None = None
    ) -> dict[str, Any]:
        """Send the batch as the lane, have it mined, and return its receipt."""
        call = execute(self.executor.address.lower(), steps, guard or self.guard())
        return self.send(call, by)

    def send(self, call: Call, by: Sender | None = None) -> dict[str, Any]:
        """Have one transaction mined, whatever becomes of it; its receipt."""
        request = {
            "from": (by or self.lane).address,
            "to": call.to,
            "data": call.data,
            "value": hex(call.value_wei),
            "gas": hex(GAS),
        }
        hashed = self.node.call("eth_sendTransaction", request)
        while (receipt := self.node.call("eth_getTransactionReceipt", hashed)) is None:
            time.sleep(0.002)  # the node mines it at once, but not before it answers
        return dict(receipt)

    def refusal(
        self, steps: Sequence[Step], guard: Guard | None = None, by: Sender | None = None
    ) -> str | None:
        """The name of the error a batch ends with, by a call; None where it succeeds."""
        call = execute(self.executor.address.lower(), steps, guard or self.guard())
        request = {
            "from": (by or self.lane).address,
            "to": call.to,
            "data": call.data,
            "gas": hex(GAS),
        }
        return self._refused("eth_call", request, "latest")

    def refused(self, contract: Contract, name: str, *arguments: Any, by: Sender) -> str | None:
        """The name of the error a plain call of a contract ends with; None where it succeeds."""
        data = contract.encode(name, *arguments)
        request = {"from": by.address, "to": contract.address, "data": data}
        return self._refused("eth_call", request, "latest")

    def _refused(self, *request: Any) -> str | None:
        try:
            self.node.call(*request)
        except RpcError as refused:
            code = str(refused.data or "")[:10]
            names: dict[str, str] = {}
            for each in (self.executor, self.venue, self.lender, self.token):
                names |= each.errors
            return names.get(code, code or "empty")
        return None

    def events(self, receipt: dict[str, Any], name: str) -> list[dict[str, Any]]:
        """The executor's events of a name in a receipt."""
        return self.executor.events(name, receipt["logs"])

    def see(self, contract: Contract, name: str, *arguments: Any) -> Any:
        """What a view says now."""
        return contract.call(self.node.rpc, name, *arguments)

    def served(self, account: int) -> int:
        """How often an account was served."""
        return int(self.see(self.venue, "served", account))

    def balance(self, address: str | None = None) -> int:
        """Tokens of an address, by default the executor's."""
        return int(self.see(self.token, "balanceOf", address or self.executor.address))


ANY = INT_MAX
