"""Oracle contracts of others, as npm ships them: Chainlink's compiled, Pyth's mock by our compiler.

It knows where the packages keep what and how such a contract is set up for one publisher; what a
keeper makes of it, it must not know.
"""

from __future__ import annotations

import json
from typing import Any

from eth_utils.crypto import keccak

from deploy.devnet.chain.artifacts import NODE_MODULES, Artifact, ArtifactError
from deploy.devnet.chain.contract import Contract, Sender, signature


CHAINLINK = NODE_MODULES / "@chainlink" / "abi" / "v0.6"
NOBODY = "0x" + 40 * "0"
WIDEST = 2**127


def chainlink(name: str) -> Artifact:
    """Load a contract of @chainlink/abi, compiled by its authors ("tests/…" for its mocks).

    Raises ArtifactError, which names the cure, where the package is not there.
    """
    path = CHAINLINK / f"{name}.json"
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as missing:
        raise ArtifactError(f"no {path.name} under {CHAINLINK}: run `make setup`") from missing
    functions = (entry for entry in raw["abi"] if entry["type"] == "function")
    selectors = {signature(each): keccak(text=signature(each))[:4].hex() for each in functions}
    return Artifact(
        name=path.stem,
        source=f"@chainlink/abi/v0.6/{name}.json",
        key="",
        abi=raw["abi"],
        bytecode=raw["bytecode"].removeprefix("0x"),
        deployed_bytecode=raw["deployedBytecode"].removeprefix("0x"),
        link_references=raw["linkReferences"],
        selectors=selectors,
    )


def aggregator(sender: Sender, decimals: int) -> Contract:
    """Queue an aggregator with `sender` as its one oracle, readable by anybody."""
    made = sender.create(
        chainlink("AccessControlledAggregator"),
        *(NOBODY, 0, 0, NOBODY, -WIDEST, WIDEST, decimals, "a feed"),
    )
    me = sender.address
    sender.send(made, "changeOracles", [], [me], [me], 1, 1, 0)
    sender.send(made, "disableAccessCheck")
    return made


def proxy(sender: Sender, behind: Contract) -> Contract:
    """Queue a proxy in front of an aggregator."""
    return sender.create(chainlink("EACAggregatorProxy"), behind.address, NOBODY)


def move_proxy(sender: Sender, front: Contract, behind: Contract) -> None:
    """Queue the move of a proxy to another aggregator: nothing is emitted that says so."""
    sender.send(front, "proposeAggregator", behind.address)
    sender.send(front, "confirmAggregator", behind.address)
