"""Lanes' keys as the configuration names them: files, a remote signer, AWS KMS."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from eth_account import Account
from moto import mock_aws
from moto.kms.utils import ECDSAPrivateKey

from keeper.app import keys
from keeper.app.keys import load_signers
from keeper.chain.keys.kms import KmsKey
from keeper.chain.keys.signer import Signer, address_of
from keeper.chain.keys.signing_policy import Transaction
from keeper.config import read
from keeper.domain.errors import ChainMismatch, ConfigError, KeyFileError
from tests.unit.app.documents import SHIPPED
from tests.unit.chain.test_remote_signer import KEY, NAME, Service


SECRET = "11" * 32
REGION = "eu-west-1"
TARGET = "0x" + "3".rjust(40, "0")  # the shipped configuration's auction


@pytest.fixture
async def stack() -> Any:
    async with AsyncExitStack() as opened:
        yield opened


async def load(stack: AsyncExitStack, *lanes: dict[str, Any]) -> list[Signer]:
    document = tomllib.loads(SHIPPED.read_text())
    return await load_signers(read(document | {"lanes": list(lanes)}, {}), stack)


def transaction(**changes: Any) -> Transaction:
    fields = {
        "chain_id": 31_337, "nonce": 5, "tip_wei": 1, "cap_wei": 10**9, "gas": 100_000,
        "to": TARGET, "value_wei": 0, "data": b"\1\2",
    }  # fmt: skip
    return Transaction(**(fields | changes))


async def signs_as_itself(signer: Signer) -> None:
    """Sign several transactions; each recovers, by eth-account, to the signer's address."""
    for nonce in range(6):
        signed = await signer.sign(transaction(nonce=nonce))
        assert Account.recover_transaction(signed.raw).lower() == signer.address


def key_file(path: Path, secret: str = SECRET, mode: int = 0o600) -> str:
    path.write_text(secret)
    path.chmod(mode)
    return str(path)


async def test_nothing_is_read_before_dumps_are_denied(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(keys, "deny_dumps", lambda: steps.append("denied"))

    async def read_it(*_: Any) -> Signer:
        steps.append("read")
        raise KeyFileError("k", "enough", "seen")

    monkeypatch.setattr(keys, "load_signer", read_it)
    with pytest.raises(KeyFileError):
        await load(stack, {"key_file": key_file(tmp_path / "k")})
    assert steps == ["denied", "read"]


async def test_two_lanes_of_one_key_are_refused(stack: AsyncExitStack, tmp_path: Path) -> None:
    one, two = key_file(tmp_path / "one"), key_file(tmp_path / "two")
    with pytest.raises(ChainMismatch, match=r"lanes\[1\].key_file.*its own key"):
        await load(stack, {"key_file": one}, {"key_file": two})


# A remote signer ----------------------------------------------------------------------------------


class Guarded(Service):
    """A service that wants a bearer token, as one behind a proxy does."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def refuses(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") != f"Bearer {self.token}"

    async def list(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=401) if self.refuses(request) else await super().list(request)

    async def sign(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=401) if self.refuses(request) else await super().sign(request)


@pytest.fixture
async def service() -> Any:
    made = Guarded("t0ken")
    app = web.Application()
    app.router.add_post("/base/api/v1/eth1/sign/{key}", made.sign)
    app.router.add_get("/base/api/v1/eth1/publicKeys", made.list)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/base"
    yield made
    await runner.cleanup()


async def test_a_lane_of_a_remote_signer_signs_as_its_address_under_the_policy(
    stack: AsyncExitStack, service: Guarded, tmp_path: Path
) -> None:
    lane = {
        "remote_signer_url": service.url,
        "remote_signer_token_file": key_file(tmp_path / "token", "t0ken\n"),
        "address": Account.from_key(KEY.secret).address,  # in mixed case, as people write it
    }
    (signer,) = await load(stack, lane)
    await signs_as_itself(signer)
    assert service.asked == [f"/base/api/v1/eth1/sign/{NAME}"] * 6
    assert signer.refusal(transaction(to="0x" + "99" * 20)) == "target_not_allowed"


@pytest.mark.parametrize(
    ("token", "address", "problem"),
    [
        (
            "guess",
            address_of(KEY),
            r"at lanes\[0\].remote_signer_url: cannot be used: answered 401",
        ),
        ("t0ken", "0x" + "0c" * 20, "not among its keys"),
    ],
)
async def test_a_remote_signer_that_cannot_serve_the_lane_refuses_the_start(
    stack: AsyncExitStack, service: Guarded, tmp_path: Path, token: str, address: str, problem: str
) -> None:
    lane = {
        "remote_signer_url": service.url,
        "remote_signer_token_file": key_file(tmp_path / "token", token),
        "address": address,
    }
    with pytest.raises(KeyFileError, match=problem) as caught:
        await load(stack, lane)
    assert token not in str(caught.value)


async def test_a_token_that_others_may_read_is_refused(
    stack: AsyncExitStack, service: Guarded, tmp_path: Path
) -> None:
    token = key_file(tmp_path / "token", "t0ken", 0o644)
    lane = {"remote_signer_url": service.url, "address": address_of(KEY)}
    with pytest.raises(KeyFileError, match="others may read it"):
        await load(stack, lane | {"remote_signer_token_file": token})


# AWS KMS ------------------------------------------------------------------------------------------


def sign_digest(key: ECDSAPrivateKey, message: bytes, signing_algorithm: str) -> bytes:
    """Sign what is a digest already: moto hashes it again, whatever MessageType says."""
    assert (len(message), signing_algorithm) == (32, "ECDSA_SHA_256")
    signed: bytes = key.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256())))
    return signed


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A KMS of moto's, with credentials that are none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setattr(ECDSAPrivateKey, "sign", sign_digest)
    with mock_aws():
        yield boto3.client("kms", region_name=REGION)


def make_key(aws: Any, spec: str = "ECC_SECG_P256K1") -> str:
    made = aws.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    return str(made["KeyMetadata"]["KeyId"])


async def test_a_lane_of_kms_signs_as_the_address_of_its_key(
    stack: AsyncExitStack, aws: Any
) -> None:
    key_id = make_key(aws)
    address = await KmsKey(aws, key_id).address()
    (signer,) = await load(stack, {"kms_key_id": key_id, "kms_region": REGION, "address": address})
    assert signer.address == address
    await signs_as_itself(signer)
    assert signer.refusal(transaction(chain_id=1)) == "wrong_chain"


async def test_a_kms_key_of_another_address_or_curve_or_none_is_refused(
    stack: AsyncExitStack, aws: Any
) -> None:
    lane = {"kms_key_id": make_key(aws), "kms_region": REGION, "address": "0x" + "0c" * 20}
    with pytest.raises(ChainMismatch, match=r"lanes\[0\].address"):
        await load(stack, lane)
    with pytest.raises(KeyFileError, match="is no secp256k1 key; make a key with KeySpec"):
        await load(stack, lane | {"kms_key_id": make_key(aws, "ECC_NIST_P256")})
    with pytest.raises(KeyFileError, match=r"at lanes\[0\].kms_key_id: cannot be used: NotFound"):
        await load(stack, lane | {"kms_key_id": "alias/nobody"})


async def test_kms_without_a_region_says_where_one_belongs(stack: AsyncExitStack, aws: Any) -> None:
    with pytest.raises(ConfigError, match="add kms_region"):
        await load(stack, {"kms_key_id": make_key(aws), "address": "0x" + "0c" * 20})


async def test_kms_without_the_extra_names_the_extra(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigError, match=r'install "margin-keeper\[kms\]"') as caught:
        await load(stack, {"kms_key_id": "alias/lane", "address": "0x" + "0c" * 20})
    assert (caught.value.key, caught.value.value) == ("lanes[0].kms_key_id", "alias/lane")


def test_the_library_of_kms_is_loaded_only_where_a_lane_asks_for_it() -> None:
    probe = "import sys, keeper.cli; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
