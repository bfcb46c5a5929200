"""Lanes of the configuration: one kind of key each, and never a key where a name belongs."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from keeper.config import Config, config_digest, describe, read
from keeper.domain.errors import ConfigError


SHIPPED = Path(__file__).resolve().parents[2] / "config.toml"
ADDRESS = "0x" + "0A" * 20
PASTED = "0x" + "ab" * 32
URL = "https://signer.example/s3cret"
REMOTE = {"remote_signer_url": URL, "address": ADDRESS}
KMS = {"kms_key_id": "alias/lane", "address": ADDRESS}


def of(*lanes: dict[str, Any]) -> Config:
    document = tomllib.loads(SHIPPED.read_text())
    return read(document | {"lanes": list(lanes)}, {})


@pytest.mark.parametrize(
    "lane",
    [
        {"key_file": "k", "password_file": "p"},
        {"key_file": "credential:lane"},
        REMOTE | {"remote_signer_token_file": "credential:token"},
        REMOTE | {"remote_signer_url": "http://127.0.0.1:9000"},
        REMOTE | {"remote_signer_url": "http://[::1]:9000"},
        KMS | {"kms_region": "eu-west-1"},
        KMS,
    ],
)
def test_each_kind_of_key_is_taken(lane: dict[str, Any]) -> None:
    (section,) = of(lane).lanes
    assert {name: getattr(section, name) for name in lane} == lane


@pytest.mark.parametrize(
    ("lanes", "key", "cure"),
    [
        ([{"address": ADDRESS}], "lanes[0]", "exactly one way: key_file"),
        ([{"key_file": "k"}, {"key_file": "j"} | KMS], "lanes[1]", "exactly one way"),
        ([REMOTE | KMS], "lanes[0]", "exactly one way"),
        ([{"remote_signer_url": URL}], "lanes[0].address", "add the lane's address"),
        ([{"kms_key_id": "alias/lane"}], "lanes[0].address", "add the lane's address"),
        ([KMS | {"address": "0x12"}], "lanes[0].address", "match pattern"),
        ([{"key_file": "k", "address": ADDRESS}], "lanes[0].address", "not to key_file"),
        ([KMS | {"password_file": "p"}], "lanes[0].password_file", "belongs to key_file"),
        ([REMOTE | {"kms_region": "r"}], "lanes[0].kms_region", "belongs to kms_key_id"),
        (
            [{"key_file": "k", "remote_signer_token_file": "t"}],
            "lanes[0].remote_signer_token_file", "belongs to remote_signer_url",
        ),
        ([REMOTE | {"remote_signer_url": "ftp://x/s3cret"}], "lanes[0].remote_signer_url", "https"),
        (
            [REMOTE | {"remote_signer_url": "http://signer.example/s3cret"}],
            "lanes[0].remote_signer_url", "use https",
        ),
        ([KMS, KMS | {"address": "0x" + "0b" * 20}], "lanes[1].kms_key_id", "its own key"),
        ([KMS, REMOTE], "lanes[1].address", "its own key"),
        ([{"key_file": PASTED}], "lanes[0].key_file", "looks like a key"),
        ([{"key_file": PASTED[2:]}], "lanes[0].key_file", "looks like a key"),
        ([{"key_file": "k", "password_file": PASTED}], "lanes[0].password_file", "stolen"),
        ([REMOTE | {"remote_signer_token_file": PASTED}], "lanes[0].remote_signer_token_file", ""),
    ],
)  # fmt: skip
def test_row_37_a_lane_whose_key_is_not_said_in_one_safe_way_is_refused(
    lanes: list[dict[str, Any]], key: str, cure: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        of(*lanes)

    assert caught.value.key == key
    assert cure in caught.value.cure
    assert "s3cret" not in str(caught.value)
    assert PASTED[2:] not in str(caught.value)


def test_a_signers_url_is_shown_nowhere_and_counts_in_no_digest() -> None:
    one, two = of(REMOTE), of(REMOTE | {"remote_signer_url": "https://signer.example/other"})
    assert "s3cret" not in repr(one) + "\n".join(describe(one))
    assert "https://signer.example/***" in "\n".join(describe(one))
    assert config_digest(one) == config_digest(two)
