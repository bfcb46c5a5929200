"""Whether a header has the hash it is given under: keccak-256 of its fields in RLP. Pure.

A node that cannot forge a header cannot forge the bloom that says which logs are missing, nor the
time and the parent that all else stands on. Known are the fields of London to Prague (Yellow Paper
section 4.3; EIP-1559, 4895, 4844, 4788, 7685). A chain that hashes other fields (zkSync, Avalanche)
has other hashes: there the check is switched off by `[chain] header_hashes`.
"""

from typing import Any, Final

from eth_hash.auto import keccak

from keeper.domain.units import Hash


# In the order in which they are hashed; "bytes" are as they stand, "number" without zeros ahead.
_FIELDS: Final = (
    ("parentHash", "bytes"),
    ("sha3Uncles", "bytes"),
    ("miner", "bytes"),
    ("stateRoot", "bytes"),
    ("transactionsRoot", "bytes"),
    ("receiptsRoot", "bytes"),
    ("logsBloom", "bytes"),
    ("difficulty", "number"),
    ("number", "number"),
    ("gasLimit", "number"),
    ("gasUsed", "number"),
    ("timestamp", "number"),
    ("extraData", "bytes"),
    ("mixHash", "bytes"),
    ("nonce", "bytes"),
)
# Each came with a fork, and none is there without those before it.
_LATER: Final = (
    ("baseFeePerGas", "number"),
    ("withdrawalsRoot", "bytes"),
    ("blobGasUsed", "number"),
    ("excessBlobGas", "number"),
    ("parentBeaconBlockRoot", "bytes"),
    ("requestsHash", "bytes"),
)
_FIELD_BYTES_MAX: Final = 4_096  # a header's longest field is its bloom, 256 bytes


def header_hash(raw: Any) -> Hash | None:
    """Return the hash of a header as a node gives it, None where it is no header at all."""
    try:
        later = [field for field in _LATER if raw.get(field[0]) is not None]
        items = [_item(raw[name], kind) for name, kind in (*_FIELDS, *later)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    body = b"".join(items)
    return "0x" + keccak(_length(len(body), 0xC0) + body).hex()


def _item(text: str, kind: str) -> bytes:
    """Return a field in RLP; raises TypeError or ValueError for what is no hex."""
    if len(text) > 2 * _FIELD_BYTES_MAX or text[:2] != "0x":
        raise ValueError("no hex field")
    if kind == "bytes":
        value = bytes.fromhex(text[2:])
    else:
        number = int(text, 16)
        value = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(value) == 1 and value[0] < 0x80:
        return value
    return _length(len(value), 0x80) + value


def _length(size: int, offset: int) -> bytes:
    """Return the prefix of a string (0x80) or a list (0xC0) of so many bytes."""
    if size < 56:
        return bytes([offset + size])
    width = (size.bit_length() + 7) // 8
    return bytes([offset + 55 + width]) + size.to_bytes(width, "big")
