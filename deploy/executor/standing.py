"""Deploys an executor and reads how it is set up; `python -m deploy.executor.standing` for one.

It knows the contract and a node, no venue: what lanes may call is a list the owner gives. Keys are
not its business: the node signs (a development node, or one in front of a hardware signer), or the
creation's bytes are printed for whatever does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode

from deploy.devnet.chain.artifacts import load
from deploy.devnet.chain.contract import Contract, Sender, type_of
from deploy.devnet.chain.rpc import Rpc


@dataclass(frozen=True)
class Permission:
    """A function of a contract that lanes may call; with `word`, for that first argument only."""

    target: str
    selector: str  # 8 hex digits
    word: int | None = None

    @property
    def struct(self) -> tuple[str, bytes, bool, bytes]:
        """As the contract takes it."""
        word = (self.word or 0).to_bytes(32, "big")
        return (self.target, bytes.fromhex(self.selector), self.word is not None, word)


def permission(contract: Contract, name: str, word: int | None = None) -> Permission:
    """Return leave for one function of a contract, by its name, or for one first argument of it."""
    (selector,) = (
        code for each, code in contract.artifact.selectors.items() if each.split("(")[0] == name
    )
    return Permission(contract.address, selector, word)


def deploy(
    sender: Sender, owner: str, lanes: Sequence[str], permissions: Sequence[Permission]
) -> Contract:
    """Queue the creation of an executor for `owner`; it stands after the sender's next flush."""
    structs = [each.struct for each in permissions]
    return sender.deploy("Executor", owner, list(lanes), structs)


def creation(owner: str, lanes: Sequence[str], permissions: Sequence[Permission]) -> str:
    """Return the creation's bytes, hex with 0x, to be signed and sent by other means."""
    artifact = load("Executor")
    constructor = next(each for each in artifact.abi if each["type"] == "constructor")
    types = [type_of(each) for each in constructor["inputs"]]
    structs = [each.struct for each in permissions]
    return artifact.linked() + encode(types, [owner, list(lanes), structs]).hex()


def is_executor(rpc: Rpc, address: str) -> bool:
    """Tell whether the code at an address is exactly this contract's.

    It has no immutable and no library in it, so that there is one code and it can be compared.
    """
    return str(rpc.call("eth_getCode", address, "latest")) == (
        "0x" + load("Executor").deployed_bytecode
    )


def permission_of(text: str) -> Permission:
    """Read `address:selector` or `address:selector:first argument`; ValueError for anything else.

    A first argument is an address or another word, hex.
    """
    target, selector, *word = text.split(":")
    if len(word) > 1 or len(bytes.fromhex(selector)) != 4 or len(bytes.fromhex(target[2:])) != 20:
        raise ValueError(f"{text!r} is not address:selector or address:selector:word")
    return Permission(target, selector, int(word[0], 16) if word else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Deploy through a node that signs for `--from`, or print the creation's bytes."""
    words = argparse.ArgumentParser(prog="deploy.executor.standing", description=__doc__)
    words.add_argument("--owner", required=True, help="the cold address that funds go back to")
    words.add_argument("--lane", action="append", default=[], help="may be given several times")
    words.add_argument("--permit", action="append", default=[], type=permission_of)
    words.add_argument("--url", help="a node that signs for --from")
    words.add_argument("--from", dest="sender", help="who pays for the creation")
    chosen = words.parse_args(arguments)
    told: dict[str, Any] = {"owner": chosen.owner, "lanes": chosen.lane}
    if chosen.url is None:
        told["creation"] = creation(chosen.owner, chosen.lane, chosen.permit)
    else:
        rpc = Rpc(chosen.url)
        sender = Sender(rpc, chosen.sender or rpc.call("eth_accounts")[0])
        made = deploy(sender, chosen.owner, chosen.lane, chosen.permit)
        sender.flush()
        told |= {"address": made.address, "code_is_ours": is_executor(rpc, made.address)}
        rpc.close()
    print(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
