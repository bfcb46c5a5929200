"""A deployed contract seen through its ABI, and a sender that deploys and sends in bulk.

It knows ABI encoding and the node's RPC; it must not know what any contract means. Bulk sending
is what makes a venue of 10,000 accounts stand in seconds: mining off, explicit nonces, whole
batches of transactions a request, one block for as many as fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from deploy.devnet.chain.artifacts import Artifact, load
from deploy.devnet.chain.rpc import Rpc, RpcError


BATCH_TRANSACTIONS = 200
GAS_DEPLOY = 8_000_000
GAS_CALL = 1_500_000
BLOCKS_MAX = 200


class TransactionFailed(Exception):
    """A transaction was included and reverted, or never included; says which and why."""


@dataclass(frozen=True)
class Contract:
    """An address and the artifact that says how to talk to it."""

    address: str
    artifact: Artifact

    @property
    def abi(self) -> list[dict[str, Any]]:
        """The ABI in the form web3 takes."""
        return self.artifact.abi

    @cached_property
    def _functions(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for entry in self.artifact.abi:
            if entry["type"] == "function":
                found.setdefault(entry["name"], []).append(entry)
        return found

    @cached_property
    def topics(self) -> dict[str, str]:
        """Event name → topic0, hex with 0x."""
        events = (entry for entry in self.artifact.abi if entry["type"] == "event")
        return {entry["name"]: "0x" + keccak(text=signature(entry)).hex() for entry in events}

    @cached_property
    def errors(self) -> dict[str, str]:
        """Error selector (hex with 0x) → error name."""
        errors = (entry for entry in self.artifact.abi if entry["type"] == "error")
        return {"0x" + keccak(text=signature(entry))[:4].hex(): entry["name"] for entry in errors}

    def encode(self, name: str, *arguments: Any) -> str:
        """Calldata of `name(arguments)`; structs are tuples. Raises KeyError on an unknown name."""
        entry = self._entry(name, len(arguments))
        types = [type_of(each) for each in entry["inputs"]]
        return "0x" + (keccak(text=signature(entry))[:4] + encode(types, arguments)).hex()

    def decode(self, name: str, count: int, data: str) -> Any:
        """Decode what `name` with `count` arguments returned: a value, or a tuple of several."""
        outputs = [type_of(each) for each in self._entry(name, count)["outputs"]]
        values = decode(outputs, bytes.fromhex(data.removeprefix("0x")))
        return values[0] if len(values) == 1 else values

    def call(
        self, rpc: Rpc, name: str, *arguments: Any, sender: str | None = None, block: str = "latest"
    ) -> Any:
        """`eth_call` and decode. Raises RpcError with the revert data when it reverts."""
        request = {"to": self.address, "data": self.encode(name, *arguments)}
        if sender is not None:
            request["from"] = sender
        return self.decode(name, len(arguments), rpc.call("eth_call", request, block))

    def events(self, name: str, logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Arguments, by name, of every log of this contract's event `name`, in log order."""
        entry = next(e for e in self.abi if e["type"] == "event" and e["name"] == name)
        topic, address = self.topics[name], self.address.lower()
        mine = (e for e in logs if e["address"].lower() == address and e["topics"][0] == topic)
        return [_decode_log(entry, each) for each in mine]

    def _entry(self, name: str, count: int) -> dict[str, Any]:
        for entry in self._functions[name]:
            if len(entry["inputs"]) == count:
                return entry
        raise KeyError(f"{self.artifact.name}.{name} with {count} arguments")


def type_of(parameter: Mapping[str, Any]) -> str:
    """Spell out the canonical type of one ABI parameter, structs included."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(type_of(each) for each in parameter["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def signature(entry: Mapping[str, Any]) -> str:
    """`name(types)`, the text whose hash names a function, event or error."""
    return f"{entry['name']}({','.join(type_of(each) for each in entry['inputs'])})"


def created_address(creator: str, nonce: int) -> str:
    """Work out where `creator`'s transaction `nonce` creates a contract: keccak(rlp([a, n]))."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8)
    short = len(number) == 1 and nonce < 0x80
    item = number if short else bytes([0x80 + len(number)]) + number
    payload = b"\x94" + bytes.fromhex(creator[2:]) + item
    return to_checksum_address(keccak(bytes([0xC0 + len(payload)]) + payload)[12:])


def _decode_log(entry: Mapping[str, Any], log: Mapping[str, Any]) -> dict[str, Any]:
    indexed = [each for each in entry["inputs"] if each["indexed"]]
    plain = [each for each in entry["inputs"] if not each["indexed"]]
    values: dict[str, Any] = {}
    for each, topic in zip(indexed, log["topics"][1:], strict=True):
        values[each["name"]] = decode([type_of(each)], bytes.fromhex(topic[2:]))[0]
    data = decode([type_of(each) for each in plain], bytes.fromhex(log["data"][2:]))
    values.update(zip((each["name"] for each in plain), data, strict=True))
    return values


@dataclass
class Sender:
    """One unlocked account of the node: queues transactions, then has them mined in bulk.

    Nothing is sent before `flush`, so the address of a deployment is known before it is mined and
    a whole venue costs a handful of requests. Not safe to share, nor to use beside another sender
    of the same account.
    """

    rpc: Rpc
    address: str
    _nonce: int = field(init=False)
    _queue: list[tuple[str, dict[str, str]]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.address = to_checksum_address(self.address)
        self._nonce = int(self.rpc.call("eth_getTransactionCount", self.address, "pending"), 16)

    def deploy(
        self, name: str, *arguments: Any, libraries: Mapping[str, str] | None = None
    ) -> Contract:
        """Queue the creation of contract `name`; where it will be is known at once."""
        return self.create(load(name), *arguments, libraries=libraries)

    def create(
        self, artifact: Artifact, *arguments: Any, libraries: Mapping[str, str] | None = None
    ) -> Contract:
        """Queue the creation of a contract that somebody else compiled; as `deploy`."""
        creation = artifact.linked(libraries)
        constructor = next((e for e in artifact.abi if e["type"] == "constructor"), None)
        types = [type_of(each) for each in constructor["inputs"]] if constructor else []
        data = creation + encode(types, arguments).hex()
        address = created_address(self.address, self._nonce)
        self._push(f"deploy {artifact.name}", {"data": data, "gas": hex(GAS_DEPLOY)})
        return Contract(address, artifact)

    def send(self, contract: Contract, name: str, *arguments: Any, gas: int = GAS_CALL) -> None:
        """Queue one call that changes state."""
        data = contract.encode(name, *arguments)
        label = f"{contract.artifact.name}.{name}"
        self._push(label, {"to": contract.address, "data": data, "gas": hex(gas)})

    def flush(self) -> list[dict[str, Any]]:
        """Have everything queued included; their receipts in order.

        Raises TransactionFailed with the revert data of the first that did not succeed.
        """
        queue, self._queue = self._queue, []
        automine = self.rpc.call("anvil_getAutomine")
        self.rpc.call("evm_setAutomine", False)
        try:
            receipts: list[dict[str, Any]] = []
            for at in range(0, len(queue), BATCH_TRANSACTIONS):
                receipts += self._include(queue[at : at + BATCH_TRANSACTIONS])
        finally:
            self.rpc.call("evm_setAutomine", automine)
        for (label, transaction), receipt in zip(queue, receipts, strict=True):
            if receipt["status"] != "0x1":
                raise TransactionFailed(f"{label}: {self._reason(transaction, receipt)}")
        return receipts

    def transact(
        self, contract: Contract, name: str, *arguments: Any, gas: int = GAS_CALL
    ) -> dict[str, Any]:
        """Send one call by itself and return its receipt. Raises as `flush`."""
        self.send(contract, name, *arguments, gas=gas)
        return self.flush()[-1]

    def _push(self, label: str, transaction: dict[str, str]) -> None:
        transaction |= {"from": self.address, "nonce": hex(self._nonce)}
        self._nonce += 1
        self._queue.append((label, transaction))

    def _include(self, batch: Sequence[tuple[str, dict[str, str]]]) -> list[dict[str, Any]]:
        hashes = self.rpc.batch([("eth_sendTransaction", [each]) for _, each in batch])
        asks = [("eth_getTransactionReceipt", [each]) for each in hashes]
        for _ in range(BLOCKS_MAX):
            self.rpc.call("evm_mine")
            # The last of one sender's nonces cannot be in before the others.
            if self.rpc.call("eth_getTransactionReceipt", hashes[-1]) is not None:
                return self.rpc.batch(asks)
        raise TransactionFailed(f"{batch[-1][0]}: not included within {BLOCKS_MAX} blocks")

    def _reason(self, transaction: Mapping[str, str], receipt: Mapping[str, Any]) -> str:
        before = hex(int(receipt["blockNumber"], 16) - 1)
        request = {key: value for key, value in transaction.items() if key != "nonce"}
        try:
            self.rpc.call("eth_call", request, before)
        except RpcError as refusal:
            return str(refusal)
        used = int(receipt["gasUsed"], 16)
        return f"reverted after {used} gas, but not when called at the block before"
