"""Many views in one `eth_call`: calldata of a passing contract, and its answer taken apart.

The call creates a contract that is never kept: its init code asks every view and *reverts* with
all answers (what it returned would be code, of 24 kB at most). It needs nothing deployed, and a
node runs it at once where it would open and close an EVM for every single view. Pure.

An answer that failed in a bundle proves nothing: gas may have run out. Who asks must ask that view
again by itself.
"""

from collections.abc import Sequence
from typing import Final

from keeper.domain.units import Address


# A call to nobody creates; readers leave the recipient out.
NOBODY: Final = ""
HEAD: Final = 22  # of a question: address, length of the calldata

_LOOP: Final = 0x0D
_BODY: Final = 0x20


def _program(payload: int) -> bytes:
    """Return the init code before so many bytes of questions.

    It copies them to memory, then: STATICCALL each, writing (success << 128 | size) as one word
    and the answer behind the last one, until all are asked; then REVERT with what was written.
    """
    size = payload.to_bytes(2, "big").hex()
    text = (
        f"61{size} 60__ 6000 39"  # CODECOPY(0, end of this program, payload)
        f" 61{size} 6000"  # out = payload, at = 0
        f" 5b 61{size} 81 10 60{_BODY:02x} 57"  # loop: if at < payload, go to body
        f" 50 61{size} 90 03 61{size} fd"  # REVERT(payload, out - payload)
        " 5b 80 51 80 6050 1c 61ffff 16 90 6060 1c"  # body: size and address of the question
        " 6000 6000 83 85 6016 01 84 5a fa"  # STATICCALL(gas, address, at + 22, size, 0, 0)
        " 90 50 91 01 6016 01 90"  # at += 22 + size
        " 6080 1b 3d 17 82 52"  # word at out: success << 128 | RETURNDATASIZE
        " 90 6020 01 3d 6000 82 3e 3d 01 90"  # RETURNDATACOPY behind it; out moves on
        f" 60{_LOOP:02x} 56"
    )
    code = text.replace(" ", "")
    return bytes.fromhex(code.replace("__", f"{len(code) // 2:02x}"))


def bundle(asks: Sequence[tuple[Address, str]]) -> str:
    """Return the calldata that asks all of these (address, calldata) pairs."""
    payload = b"".join(
        bytes.fromhex(where[2:]) + (len(data) // 2 - 1).to_bytes(2, "big") + bytes.fromhex(data[2:])
        for where, data in asks
    )
    return "0x" + (_program(len(payload)) + payload).hex()


def unbundle(answer: str, count: int) -> list[bytes | None] | None:
    """Return `count` answers, None where one failed; None for what is no answer of a bundle."""
    try:
        raw = bytes.fromhex(answer.removeprefix("0x"))
    except ValueError:
        return None
    found: list[bytes | None] = []
    at = 0
    while at < len(raw):
        word = int.from_bytes(raw[at : at + 32], "big")
        success, size = word >> 128, word & (1 << 128) - 1
        at += 32 + size
        if success > 1 or at > len(raw):
            return None
        found.append(raw[at - size : at] if success else None)
    return found if len(found) == count else None
