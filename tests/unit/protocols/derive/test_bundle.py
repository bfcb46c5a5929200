"""Bundles of views: what is asked, and what is no answer."""

import pytest

from keeper.protocols.derive.views.bundle import bundle, unbundle
from tests.unit.protocols.derive.deployment import CASH, SUB_ACCOUNTS


def told(*answers: bytes | None) -> str:
    parts = [
        bytes(32) if each is None else (1 << 128 | len(each)).to_bytes(32, "big") + each
        for each in answers
    ]
    return "0x" + b"".join(parts).hex()


def test_every_question_stands_in_the_calldata_behind_the_program() -> None:
    asks = [(SUB_ACCOUNTS, "0x708c3593"), (CASH, "0x1d4f2b6c" + f"{7:064x}")]
    raw = bytes.fromhex(bundle(asks)[2:])
    questions = raw[raw[4] :]
    assert questions[:26].hex() == SUB_ACCOUNTS[2:] + "0004" + "708c3593"
    assert questions[26:].hex() == CASH[2:] + "0024" + "1d4f2b6c" + f"{7:064x}"


def test_answers_come_back_in_order_whatever_their_length() -> None:
    answers = [b"\x01" * 32, b"", None, b"\x02" * 96]
    assert unbundle(told(*answers), 4) == answers


@pytest.mark.parametrize(
    "answer",
    [
        "0x",
        "0xzz",
        told(b"\x01" * 32),
        told(b"\x01" * 32, b"", b""),
        told(b"\x01" * 32, b"\x02" * 32)[:-2],
        "0x" + (2 << 128).to_bytes(32, "big").hex() * 2,
        "0x08c379a0" + 64 * "0",
    ],
)
def test_what_is_no_answer_of_a_bundle_is_known(answer: str) -> None:
    assert unbundle(answer, 2) is None
