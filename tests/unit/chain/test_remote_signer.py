"""Signers elsewhere: what they answer counts only where it is the lane's own signature."""

import hashlib

import aiohttp
import pytest
from aiohttp import web
from coincurve import PrivateKey
from coincurve.utils import GROUP_ORDER_INT
from eth_hash.auto import keccak

from keeper.chain.keys.kms import KmsKey, parse_der
from keeper.chain.keys.remote_signer import HttpKey, RemoteSigner, find_key
from keeper.chain.keys.signer import CHECK_TRANSACTION, address_of, sign_with
from keeper.chain.keys.signing_policy import SigningForbidden, SigningPolicy
from keeper.domain.errors import EndpointError, KeyFileError, MalformedReply
from keeper.domain.events import CommandCommitted, CommandRefused
from tests.unit.chain.fake_node import FakeNode
from tests.unit.chain.lane_bench import FUNDS, command, running


KEY = PrivateKey(b"\7" * 32)
ADDRESS = address_of(KEY)
POLICY = SigningPolicy(ADDRESS, CHECK_TRANSACTION.chain_id, [CHECK_TRANSACTION.to])


NAME = "0x" + KEY.public_key.format(compressed=False)[1:].hex()


def http_signer(session, url, policy=POLICY):
    return RemoteSigner(HttpKey(session, url, NAME), ADDRESS, policy)


def kms_signer(client):
    return RemoteSigner(KmsKey(client, "alias/lane"), ADDRESS, POLICY)


def transaction(**changes):
    fields = {name: getattr(CHECK_TRANSACTION, name) for name in CHECK_TRANSACTION.__slots__}
    return type(CHECK_TRANSACTION)(**{**fields, "cap_wei": 10**9, **changes})


class Service:
    """web3signer's raw sign route, with answers that a test may change."""

    def __init__(self, key=KEY):
        self.key = key
        self.answer = self.honest
        self.asked = []
        self.keys = [PrivateKey(b"\x08" * 32), key]

    def honest(self, data):
        signature = self.key.sign_recoverable(keccak(data), hasher=None)
        return web.Response(text="0x" + (signature[:64] + bytes((27 + signature[64],))).hex())

    async def list(self, _):
        points = [each.public_key.format(compressed=False)[1:] for each in self.keys]
        return web.json_response(["0x" + each.hex() for each in points])

    async def sign(self, request):
        body = await request.json()
        self.asked.append(request.path)
        return self.answer(bytes.fromhex(body["data"][2:]))


@pytest.fixture
async def service():
    made = Service()
    app = web.Application()
    app.router.add_post("/api/v1/eth1/sign/{key}", made.sign)
    app.router.add_get("/api/v1/eth1/publicKeys", made.list)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as made:
        yield made


async def test_a_service_signs_the_same_bytes_as_the_key_itself(service, session):
    signer = http_signer(session, service.url)
    assert await signer.sign(transaction()) == sign_with(KEY, transaction())
    assert service.asked == [f"/api/v1/eth1/sign/{NAME}"]
    assert repr(signer) == f"RemoteSigner({ADDRESS})"


async def test_a_services_key_is_found_by_the_lanes_address_and_its_absence_is_said(
    service, session
):
    assert await find_key(session, service.url, ADDRESS) == NAME
    service.keys.pop()
    with pytest.raises(KeyFileError, match="not among its keys; load that key"):
        await find_key(session, service.url, ADDRESS)
    service.keys.clear()
    with pytest.raises(KeyFileError, match="not among its keys"):
        await find_key(session, service.url, ADDRESS)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(text="0x1234"),
        lambda _: web.Response(text="no hex"),
        lambda _: web.Response(text="0x" + "00" * 65),
        lambda _: web.Response(text="0x" + "ff" * 65),
        lambda _: web.Response(status=404, text="s3cret"),
        lambda _: web.Response(text="x" * 1_000_000),
        Service(PrivateKey(b"\x08" * 32)).honest,  # another key's signature
        lambda data: Service().honest(data + b"\0"),  # of other bytes
    ],
)
async def test_what_is_not_the_lanes_signature_over_these_bytes_is_refused(
    service, session, answer
):
    service.answer = answer
    signer = http_signer(session, service.url)
    with pytest.raises(EndpointError) as failure:
        await signer.sign(transaction())
    assert "s3cret" not in str(failure.value)


async def test_a_policy_is_kept_before_the_service_is_asked(service, session):
    signer = http_signer(session, service.url)
    with pytest.raises(SigningForbidden):
        await signer.sign(transaction(chain_id=1))
    assert service.asked == []


async def test_a_dead_service_names_no_url_and_refuses_the_command_not_the_run(tmp_path, session):
    node = FakeNode()
    node.mine(3)
    policy = SigningPolicy(ADDRESS, 31337, [command(node, 1).call.to])
    signer = http_signer(session, "http://127.0.0.1:9/s3cret", policy)
    node.balances[ADDRESS] = FUNDS
    with pytest.raises(EndpointError) as failure:
        await signer.sign(transaction(chain_id=31337, to=command(node, 1).call.to))
    assert "s3cret" not in str(failure.value)
    async with running(node, tmp_path / "ledger", signers=[signer]) as (executor, told):
        executor.submit([command(node, 1), command(node, 2)])
        await told.until(lambda: len(told.of(CommandRefused)) == 2)
        assert {each.reason for each in told.of(CommandRefused)} == {"no_signature"}
        assert told.of(CommandCommitted) == []
        assert executor._dispatch.lanes[ADDRESS].next_nonce == 0


class Kms:
    """The client's one call; `high` gives the other, equally valid s that chains refuse."""

    def __init__(self, high):
        self.high = high

    def sign(self, **request):
        assert request["MessageType"] == "DIGEST"
        raw = KEY.sign_recoverable(request["Message"], hasher=None)
        s = int.from_bytes(raw[32:64], "big")
        s = GROUP_ORDER_INT - s if self.high else s
        return {"Signature": der(raw[:32], s.to_bytes(32, "big"))}


def der(*numbers):
    body = b""
    for number in numbers:
        short = number.lstrip(b"\0")
        short = b"\0" + short if short[0] & 0x80 else short
        body += bytes((2, len(short))) + short
    return bytes((0x30, len(body))) + body


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("nonce", range(8))
async def test_a_key_services_signature_becomes_the_same_bytes_low_s_either_way(high, nonce):
    signer = kms_signer(Kms(high))
    assert await signer.sign(transaction(nonce=nonce)) == sign_with(KEY, transaction(nonce=nonce))


async def test_an_error_of_the_client_is_an_endpoint_error_without_its_words():
    class Broken:
        def sign(self, **_):
            raise RuntimeError("s3cret")

    with pytest.raises(EndpointError) as failure:
        await kms_signer(Broken()).sign(transaction())
    assert "s3cret" not in str(failure.value)


POINT = KEY.public_key.format(compressed=False)
SECP256K1 = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")


@pytest.mark.parametrize(
    "public",
    [
        SECP256K1.replace(b"\x81\x04\x00\x0a", b"\x81\x04\x00\x0b") + POINT,  # another curve
        SECP256K1 + b"\x02" + POINT[1:],  # not an uncompressed point
        SECP256K1 + POINT[:-1],
        SECP256K1 + POINT + b"\0",
        b"",
    ],
)
async def test_a_public_key_counts_only_as_a_whole_point_of_the_right_curve(public):
    class Client:
        def __init__(self, answer):
            self.answer = answer

        def get_public_key(self, **_):
            return {"PublicKey": self.answer}

    assert await KmsKey(Client(SECP256K1 + POINT), "k").address() == ADDRESS
    with pytest.raises(KeyFileError, match="no secp256k1 key"):
        await KmsKey(Client(public), "k").address()


@pytest.mark.parametrize("cut", range(0, 70, 7))
def test_a_torn_or_changed_der_signature_is_malformed(cut):
    whole = der(hashlib.sha256(b"r").digest(), hashlib.sha256(b"s").digest())
    for torn in (whole[:cut], whole[:cut] + b"\xff" + whole[cut:]):
        with pytest.raises(MalformedReply):
            parse_der(torn)
