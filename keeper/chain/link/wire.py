"""What a node's JSON means: headers, logs and receipts, read strictly.

Pure. Whatever is not exactly what the protocol says raises MalformedReply with the endpoint's name;
nothing is guessed. Addresses, hashes and data come out in lower case.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keeper.chain.link.columns import LogRows, read_logs
from keeper.chain.link.pattern import BlockRows
from keeper.domain.errors import MalformedReply
from keeper.domain.events import Log
from keeper.domain.units import Hash
from keeper.ports import Header


@dataclass(frozen=True, slots=True)
class Block:
    """A header, and what the completeness check needs besides: `bloom` is 2048 bits as an int."""

    header: Header
    bloom: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction in a block: `price_wei` is the effective gas price."""

    transaction: Hash
    number: int
    block: Hash
    succeeded: bool
    gas_used: int
    price_wei: int


# 256 bits at most; some nodes pad quantities with zeros, which harms nobody.
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_BLOOM = re.compile(r"0x[0-9a-fA-F]{512}")


def quantity(endpoint: str, value: Any, what: str) -> int:
    """Return a hex quantity as an int."""
    return int(_matched(endpoint, _QUANTITY, value, what), 16)


def block_hash(endpoint: str, value: Any, what: str) -> Hash:
    """Return a 32-byte hash in lower case."""
    return _matched(endpoint, _HASH, value, what)


def hex_data(endpoint: str, value: Any, what: str) -> str:
    """Return bytes as "0x" and an even number of lower-case hex digits."""
    return _matched(endpoint, _DATA, value, what)


def header(endpoint: str, raw: Any) -> Header:
    """Return the header in a block or a `newHeads` notification."""
    fields = _object(endpoint, raw, "a block")
    # Before EIP-1559 there is no base fee.
    base_fee = fields.get("baseFeePerGas") or "0x0"
    return Header(
        number=quantity(endpoint, fields.get("number"), "block number"),
        hash=block_hash(endpoint, fields.get("hash"), "block hash"),
        parent=block_hash(endpoint, fields.get("parentHash"), "parent hash"),
        timestamp=quantity(endpoint, fields.get("timestamp"), "timestamp"),
        base_fee_wei=quantity(endpoint, base_fee, "base fee"),
        gas_limit=quantity(endpoint, fields.get("gasLimit"), "gas limit"),
    )


def block(endpoint: str, raw: Any) -> Block:
    """Return a block as `eth_getBlockBy...` gives it."""
    fields = _object(endpoint, raw, "a block")
    bloom = _matched(endpoint, _BLOOM, fields.get("logsBloom"), "logs bloom")
    return Block(header(endpoint, raw), int(bloom, 16))


def logs(endpoint: str, raw: Any) -> Sequence[tuple[int, Hash, Log]]:
    """Return (number, block hash, log) of an `eth_getLogs` answer, as ordered there."""
    if isinstance(raw, BlockRows | LogRows):
        return raw  # read as they arrived
    if not isinstance(raw, list):
        raise MalformedReply(endpoint, "logs are not a list")
    quick = read_logs(raw)
    return quick if quick is not None else [_log(endpoint, item) for item in raw]


def receipt_logs(endpoint: str, raw: Any) -> list[tuple[int, Hash, Log]]:
    """Return (number, block hash, log) of an `eth_getBlockReceipts` answer."""
    if not isinstance(raw, list):
        raise MalformedReply(endpoint, "block receipts are not a list")
    found: list[tuple[int, Hash, Log]] = []
    for item in raw:
        found.extend(logs(endpoint, _object(endpoint, item, "a receipt").get("logs")))
    return found


def receipt(endpoint: str, raw: Any) -> Receipt:
    """Return one receipt; a chain without status fields (before 2017) is not supported."""
    fields = _object(endpoint, raw, "a receipt")
    status = quantity(endpoint, fields.get("status"), "receipt status")
    if status not in (0, 1):
        raise MalformedReply(endpoint, f"receipt status {status}")
    return Receipt(
        transaction=block_hash(endpoint, fields.get("transactionHash"), "transaction hash"),
        number=quantity(endpoint, fields.get("blockNumber"), "receipt block number"),
        block=block_hash(endpoint, fields.get("blockHash"), "receipt block hash"),
        succeeded=status == 1,
        gas_used=quantity(endpoint, fields.get("gasUsed"), "gas used"),
        price_wei=quantity(endpoint, fields.get("effectiveGasPrice"), "effective gas price"),
    )


def tips(endpoint: str, raw: Any) -> list[int]:
    """Return the first percentile asked for of each block of `eth_feeHistory` that is not empty."""
    fields = _object(endpoint, raw, "a fee history")
    rows, ratios = fields.get("reward"), fields.get("gasUsedRatio")
    if not isinstance(rows, list) or not isinstance(ratios, list) or len(rows) != len(ratios):
        raise MalformedReply(endpoint, "a fee history without its blocks")
    return [
        quantity(endpoint, row[0] if isinstance(row, list) and row else None, "tip")
        for row, used in zip(rows, ratios, strict=True)
        if used
    ]


def _log(endpoint: str, raw: Any) -> tuple[int, Hash, Log]:
    fields = _object(endpoint, raw, "a log")
    if fields.get("removed") not in (None, False):
        # What was taken back is not on any branch we read by hash: nothing may rest on it.
        raise MalformedReply(endpoint, "a log that was taken back")
    topics = fields.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise MalformedReply(endpoint, "log topics are not a list of at most four")
    log = Log(
        address=_matched(endpoint, _ADDRESS, fields.get("address"), "log address"),
        topics=tuple(block_hash(endpoint, topic, "log topic") for topic in topics),
        data=hex_data(endpoint, fields.get("data"), "log data"),
        log_index=quantity(endpoint, fields.get("logIndex"), "log index"),
        transaction=block_hash(endpoint, fields.get("transactionHash"), "log transaction"),
    )
    number = quantity(endpoint, fields.get("blockNumber"), "log block number")
    return number, block_hash(endpoint, fields.get("blockHash"), "log block hash"), log


def _object(endpoint: str, raw: Any, what: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise MalformedReply(endpoint, f"{what} is not an object")
    return raw


def _matched(endpoint: str, shape: re.Pattern[str], value: Any, what: str) -> str:
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        # The value itself stays out: a hostile one may be megabytes.
        raise MalformedReply(endpoint, f"{what} is not what the protocol says")
    return value.lower()
