import pytest
from Crypto.Hash import keccak

from keeper.chain.link.pattern import BlockRows
from keeper.chain.sealing.completeness import Watchlist, bloom_mask, complete_logs
from keeper.domain.errors import MalformedReply
from keeper.domain.events import Log
from keeper.domain.logs import Logs
from tests.unit.domain.columnar import columnar


BLOCK = "0x" + "11" * 32
WATCHED = "0x" + "ab" * 20


def log(index: int, address: str = WATCHED, data: str = "0x") -> tuple[int, str, Log]:
    return 5, BLOCK, Log(address, (), data, index, "0x" + "22" * 32)


def rows(*found: tuple[int, str, Log], number: int = 5, block: str = BLOCK) -> BlockRows:
    return BlockRows(number, block, columnar([each for _, _, each in found]))


@pytest.mark.parametrize("item", [bytes(20), b"\xff" * 20, bytes(range(32)), b"testtest"])
def test_the_bloom_bits_are_those_of_the_yellow_paper(item: bytes) -> None:
    # Section 4.3.1 by bytes of the filter, high end first, where the code counts bits of an int.
    filled = bytearray(256)
    digest = keccak.new(digest_bits=256, data=item).digest()
    for place in range(0, 6, 2):
        bit = (digest[place] * 256 + digest[place + 1]) % 2048
        filled[255 - bit // 8] |= 1 << (bit % 8)
    assert bloom_mask(item) == int.from_bytes(filled, "big")


def test_a_watched_address_in_the_bloom_is_a_maybe_and_an_absent_one_a_no() -> None:
    watched = Watchlist([WATCHED])
    other = bloom_mask(bytes.fromhex("cd" * 20))
    mine = bloom_mask(bytes.fromhex("ab" * 20))
    assert watched.unheard(mine | other, [])
    assert not watched.unheard(other, [])
    assert not watched.unheard(0, [])
    assert watched.unheard((1 << 2048) - 1, [])
    assert not Watchlist([]).unheard((1 << 2048) - 1, [])


def test_addresses_are_compared_in_lower_case() -> None:
    watched = Watchlist([WATCHED.upper().replace("0X", "0x"), WATCHED])
    assert watched.addresses == (WATCHED,)
    assert WATCHED in watched


def test_logs_come_in_order_once_each_and_only_watched_ones() -> None:
    found = [log(4), log(1), log(4), log(2, "0x" + "cd" * 20)]
    logs = complete_logs("read", found, 5, BLOCK, Watchlist([WATCHED]))
    assert [each.log_index for each in logs] == [1, 4]


@pytest.mark.parametrize(
    "found",
    [
        [(6, BLOCK, log(1)[2])],
        [(5, "0x" + "33" * 32, log(1)[2])],
        [log(1), log(1, data="0x01")],
    ],
)
def test_logs_that_contradict_the_block_or_each_other_are_refused(
    found: list[tuple[int, str, Log]],
) -> None:
    with pytest.raises(MalformedReply):
        complete_logs("read", found, 5, BLOCK, Watchlist([WATCHED]))


def test_columns_in_order_stay_columns_without_what_is_not_watched() -> None:
    found = rows(log(1), log(2, "0x" + "cd" * 20), log(4))
    logs = complete_logs("read", found, 5, BLOCK, Watchlist([WATCHED]))
    assert isinstance(logs, Logs)
    assert logs == (log(1)[2], log(4)[2])


@pytest.mark.parametrize(
    "found",
    [
        (log(4), log(1), log(4), log(2, "0x" + "cd" * 20)),
        (log(1), log(1)),
        (log(2, "0x" + "cd" * 20), log(1)),
        (),
    ],
)
def test_columns_are_completed_as_single_logs_are(found: tuple[tuple[int, str, Log], ...]) -> None:
    at = (5, BLOCK, Watchlist([WATCHED]))
    assert complete_logs("read", rows(*found), *at) == complete_logs("read", found, *at)


@pytest.mark.parametrize(
    "found",
    [
        rows(log(1), number=6),
        rows(log(1), block="0x" + "33" * 32),
        rows(log(1), log(1, data="0x01")),
    ],
)
def test_columns_that_contradict_the_block_or_each_other_are_refused(found: BlockRows) -> None:
    with pytest.raises(MalformedReply):
        complete_logs("read", found, 5, BLOCK, Watchlist([WATCHED]))


def test_a_bloom_is_asked_of_columns_as_of_single_logs() -> None:
    other = "0x" + "cd" * 20
    mine, theirs = (bloom_mask(bytes.fromhex(each[2:])) for each in (WATCHED, other))
    watched = Watchlist([WATCHED, other])
    for found in ([log(1)], [log(1), log(2, other)], [log(2, other)], []):
        single = [each for _, _, each in found]
        for bloom in (0, mine, theirs, mine | theirs):
            assert watched.unnamed(bloom, columnar(single)) == watched.unnamed(bloom, single)
            assert watched.unheard(bloom, columnar(single)) == watched.unheard(bloom, single)
