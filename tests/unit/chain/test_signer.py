"""Signing is eth-account's to the byte; keys come from safe files only, and never show."""

import copy
import json
import os
import pickle

import pytest
from coincurve import PrivateKey
from eth_account import Account
from eth_utils import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.chain.keys import signer as module
from keeper.chain.keys.signer import (
    CHECK_HASH,
    CHECK_SECRET,
    CHECK_TRANSACTION,
    LocalSigner,
    Transaction,
    check_signing,
    load_signer,
    sign_with,
)
from keeper.domain.errors import InvariantViolation, KeyFileError


TARGET = "0x" + "c0" * 20
SECRET = bytes([1]) * 32


def signed_by_eth_account(secret: bytes, transaction: Transaction) -> tuple[bytes, str]:
    fields = {
        "type": 2,
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "maxPriorityFeePerGas": transaction.tip_wei,
        "maxFeePerGas": transaction.cap_wei,
        "gas": transaction.gas,
        "to": to_checksum_address(transaction.to),
        "value": transaction.value_wei,
        "data": transaction.data,
    }
    signed = Account.sign_transaction(fields, secret)
    return bytes(signed.raw_transaction), "0x" + signed.hash.hex()


amounts = st.integers(0, 2**96) | st.sampled_from([0, 1, 127, 128, 255, 256, 2**64])
transactions = st.builds(
    Transaction,
    chain_id=st.integers(1, 2**40),
    nonce=st.integers(0, 2**40) | st.sampled_from([0, 1, 127, 128]),
    tip_wei=amounts,
    cap_wei=amounts,
    gas=st.integers(21_000, 2**40),
    to=st.binary(min_size=20, max_size=20).map(lambda each: "0x" + each.hex()),
    value_wei=amounts,
    data=st.binary(max_size=700) | st.sampled_from([b"\x00", b"\x7f", b"\x80", b"x" * 55]),
)
secrets = st.integers(1, 2**255).map(lambda each: each.to_bytes(32, "big"))


@settings(max_examples=300, deadline=None)
@given(secrets, transactions)
def test_signed_bytes_and_hash_are_eth_accounts(secret, transaction):
    signed = sign_with(PrivateKey(secret), transaction)
    assert (signed.raw, signed.hash) == signed_by_eth_account(secret, transaction)


def test_the_check_at_start_holds_what_eth_account_signs():
    assert signed_by_eth_account(CHECK_SECRET, CHECK_TRANSACTION)[1] == CHECK_HASH
    check_signing()


def test_the_check_at_start_sees_a_wrong_byte(monkeypatch):
    monkeypatch.setattr(module, "CHECK_HASH", "0x" + "00" * 32)
    with pytest.raises(InvariantViolation, match="signing is not what it was"):
        check_signing()


def test_the_check_at_start_signs_with_eth_account_again_and_sees_a_difference(monkeypatch):
    class Other:
        raw_transaction = b"\x02other"

    monkeypatch.setattr(module.Account, "sign_transaction", lambda *_: Other)
    with pytest.raises(InvariantViolation, match="differs from eth-account"):
        check_signing()


def transaction(**changes) -> Transaction:
    fields = {
        "chain_id": 5,
        "nonce": 0,
        "tip_wei": 1,
        "cap_wei": 2,
        "gas": 21_000,
        "to": TARGET,
        "value_wei": 0,
        "data": b"",
    }
    return Transaction(**{**fields, **changes})


SIGNER = LocalSigner(SECRET, 5, [TARGET])


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, None),
        ({"data": b"x", "value_wei": 7}, None),
        ({"to": SIGNER.address}, None),
        ({"to": SIGNER.address, "value_wei": 1}, "target_not_allowed"),
        ({"to": SIGNER.address, "data": b"x"}, "target_not_allowed"),
        ({"to": "0x" + "99" * 20}, "target_not_allowed"),
        ({"chain_id": 1}, "wrong_chain"),
    ],
)
async def test_the_policy_allows_targets_and_empty_transfers_to_itself_on_its_chain(
    changes, refusal
):
    assert SIGNER.refusal(transaction(**changes)) == refusal
    if refusal is None:
        await SIGNER.sign(transaction(**changes))
    else:
        with pytest.raises(InvariantViolation, match=refusal):
            await SIGNER.sign(transaction(**changes))


def test_a_key_shows_in_no_repr_pickle_or_copy():
    shown = repr(SIGNER) + str(SIGNER) + f"{SIGNER!r:>200}"
    assert SECRET.hex() not in shown
    assert str(int.from_bytes(SECRET, "big")) not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            leak(SIGNER)


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


KEYSTORE = json.dumps(Account.encrypt(SECRET, "open sesame", kdf="pbkdf2", iterations=2))


@pytest.mark.parametrize("text", [SECRET.hex(), "0x" + SECRET.hex() + "\n"])
async def test_a_hex_key_file_opens(tmp_path, text):
    signer = await load_signer(write(tmp_path / "key", text), None, 5, [TARGET])
    assert signer.address == Account.from_key(SECRET).address.lower()


async def test_a_keystore_opens_with_its_password_file(tmp_path):
    key = write(tmp_path / "key", KEYSTORE)
    password = write(tmp_path / "password", "open sesame\n")
    signer = await load_signer(key, password, 5, [TARGET])
    assert signer.address == Account.from_key(SECRET).address.lower()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
async def test_row_37_key_mode_0644_refused_and_whatever_others_may_read(tmp_path, mode):
    loose = write(tmp_path / "loose", SECRET.hex(), mode)
    with pytest.raises(KeyFileError, match=rf"mode {mode:04o}.*chmod 600") as failure:
        await load_signer(loose, None, 5, [])
    assert failure.value.exit_code == 65
    key = write(tmp_path / "key", KEYSTORE)
    with pytest.raises(KeyFileError, match="chmod 600"):
        await load_signer(key, loose, 5, [])


async def test_row_37_a_symbolic_link_to_a_key_is_refused(tmp_path):
    write(tmp_path / "key", SECRET.hex())
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(KeyFileError, match="symbolic link"):
        await load_signer(tmp_path / "link", None, 5, [])


async def test_row_37_a_key_of_another_user_is_refused(tmp_path, monkeypatch):
    key = write(tmp_path / "key", SECRET.hex())
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyFileError, match="belongs to user"):
        await load_signer(key, None, 5, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "neither a keystore nor"),
        ("ab" * 31, "neither a keystore nor"),
        ("zz" * 32, "neither a keystore nor"),
        ("00" * 32, "no valid key"),
        ("ff" * 32, "no valid key"),
        ("{}", "does not open"),
        ("{broken", "does not open"),
    ],
)
async def test_what_is_no_key_is_refused_and_not_quoted(tmp_path, text, problem):
    password = write(tmp_path / "password", "x")
    with pytest.raises(KeyFileError, match=problem) as failure:
        await load_signer(write(tmp_path / "key", text), password, 5, [])
    assert not text or text not in str(failure.value)
    assert failure.value.__cause__ is None


async def test_a_wrong_password_is_refused(tmp_path):
    key, password = write(tmp_path / "key", KEYSTORE), write(tmp_path / "password", "guess")
    with pytest.raises(KeyFileError, match="does not open with this password"):
        await load_signer(key, password, 5, [])
    with pytest.raises(KeyFileError, match="name its password file"):
        await load_signer(key, None, 5, [])


async def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="no such file"):
        await load_signer(tmp_path / "nowhere", None, 5, [])
    with pytest.raises(KeyFileError, match="not a plain file"):
        await load_signer(tmp_path, None, 5, [])
