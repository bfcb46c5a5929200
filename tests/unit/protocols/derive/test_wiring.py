"""What an operator says of a deployment: taken as it stands, or refused by its key."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from keeper.domain.errors import ConfigError
from keeper.market.quotes import QuoteRule
from keeper.protocols.derive.wiring import DeriveConfig
from tests.unit.protocols.derive.deployment import AUCTION, CASH, MANAGER, SUB_ACCOUNTS, at


FIELDS: dict[str, Any] = {
    "sub_accounts": SUB_ACCOUNTS,
    "cash": CASH,
    "auction": AUCTION,
    "managers": (MANAGER, at(77)),
    "start_block": 5,
}


def test_addresses_are_kept_as_logs_carry_them() -> None:
    config = DeriveConfig(**FIELDS | {"cash": "0x" + "AB" * 20, "managers": ("0x" + "CD" * 20,)})
    assert config.cash == "0x" + "ab" * 20
    assert config.managers == ("0x" + "cd" * 20,)
    assert config.auction_utils is None
    assert config.rule == QuoteRule(250_000, 300)


def test_a_manager_is_called_by_its_underlying_or_by_its_address() -> None:
    named = DeriveConfig(**FIELDS, underlyings=("ETH", "BTC"))
    assert named.underlying(at(77)) == "BTC"
    assert DeriveConfig(**FIELDS).underlying(MANAGER) == MANAGER[:10]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cash", "0x12"),
        ("auction", "12" * 21),
        ("auction_utils", "none"),
        ("managers", ()),
        ("managers", (MANAGER, MANAGER)),
        ("managers", ("0xzz",)),
        ("underlyings", ("ETH",)),
        ("underlyings", ("ETH", "ETH")),
        ("quote_jump_max_ppm", 0),
        ("quote_doubt_s", -1),
        ("snapshot_batch_calls", 0),
        ("snapshot_range_blocks", 0),
        ("start_block", -1),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        DeriveConfig(**FIELDS | {key: value})
    assert raised.value.key == key
    assert raised.value.cure


def test_it_can_be_read_from_a_strict_file_and_unknown_keys_are_refused() -> None:
    reader = TypeAdapter(DeriveConfig)
    document = FIELDS | {"managers": [MANAGER, at(77)], "bidders": [4, 5]}
    assert reader.validate_python(document).bidders == (4, 5)
    with pytest.raises(ValidationError, match="casch"):
        reader.validate_python(document | {"casch": CASH})
