"""Signers elsewhere: what they answer counts only where it is the lane's own signature."""

import hashlib

import aiohttp
import pytest
from aiohttp import web
from coincurve import PrivateKey
from coincurve.utils import GROUP_ORDER_INT
from eth_hash.auto import keccak

from keeper.chain.remote_signer import HttpSigner, KmsSigner, parse_der
from keeper.chain.signer import CHECK_TRANSACTION, address_of, sign_with
from keeper.chain.signing_policy import SigningForbidden, SigningPolicy
from keeper.domain.errors import EndpointError, MalformedReply
from keeper.domain.events import CommandCommitted, CommandRefused
from tests.unit.chain.fake_node import FakeNode
from tests.unit.chain.lane_bench import FUNDS, command, running


KEY = PrivateKey(b"\7" * 32)
ADDRESS = address_of(KEY)
POLICY = SigningPolicy(ADDRESS, CHECK_TRANSACTION.chain_id, [CHECK_TRANSACTION.to])


def transaction(**changes):
    fields = {name: getattr(CHECK_TRANSACTION, name) for name in CHECK_TRANSACTION.__slots__}
    return type(CHECK_TRANSACTION)(**{**fields, "cap_wei": 10**9, **changes})


class Service:
    """web3signer's raw sign route, with answers that a test may change."""

    def __init__(self, key=KEY):
        self.key = key
        self.answer = self.honest
        self.asked = []

    def honest(self, data):
        signature = self.key.sign_recoverable(keccak(data), hasher=None)
        return web.Response(text="0x" + (signature[:64] + bytes((27 + signature[64],))).hex())

    async def sign(self, request):
        body = await request.json()
        self.asked.append(request.path)
        return self.answer(bytes.fromhex(body["data"][2:]))


@pytest.fixture
async def service():
    made = Service()
    app = web.Application()
    app.router.add_post("/api/v1/eth1/sign/{key}", made.sign)
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
    signer = HttpSigner(session, service.url, "0xkey", ADDRESS, POLICY)
    assert await signer.sign(transaction()) == sign_with(KEY, transaction())
    assert service.asked == ["/api/v1/eth1/sign/0xkey"]
    assert repr(signer) == f"HttpSigner({ADDRESS})"


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(text="0x1234"),
        lambda _: web.Response(text="no hex"),
        lambda _: web.Response(text="0x" + "00" * 65),
        lambda _: web.Response(text="0x" + "ff" * 65),
        lambda _: web.Response(status=404, text="s3cret"),
        lambda _: web.Response(text="x" * 100_000),
        Service(PrivateKey(b"\x08" * 32)).honest,  # another key's signature
        lambda data: Service().honest(data + b"\0"),  # of other bytes
    ],
)
async def test_what_is_not_the_lanes_signature_over_these_bytes_is_refused(
    service, session, answer
):
    service.answer = answer
    signer = HttpSigner(session, service.url, "0xkey", ADDRESS, POLICY)
    with pytest.raises(EndpointError) as failure:
        await signer.sign(transaction())
    assert "s3cret" not in str(failure.value)


async def test_a_policy_is_kept_before_the_service_is_asked(service, session):
    signer = HttpSigner(session, service.url, "0xkey", ADDRESS, POLICY)
    with pytest.raises(SigningForbidden):
        await signer.sign(transaction(chain_id=1))
    assert service.asked == []


async def test_a_dead_service_names_no_url_and_refuses_the_command_not_the_run(tmp_path, session):
    node = FakeNode()
    node.mine(3)
    policy = SigningPolicy(ADDRESS, 31337, [command(node, 1).call.to])
    signer = HttpSigner(session, "http://127.0.0.1:9/s3cret", "0xkey", ADDRESS, policy)
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
    signer = KmsSigner(Kms(high), "alias/lane", ADDRESS, POLICY)
    assert await signer.sign(transaction(nonce=nonce)) == sign_with(KEY, transaction(nonce=nonce))


async def test_an_error_of_the_client_is_an_endpoint_error_without_its_words():
    class Broken:
        def sign(self, **_):
            raise RuntimeError("s3cret")

    with pytest.raises(EndpointError) as failure:
        await KmsSigner(Broken(), "k", ADDRESS, POLICY).sign(transaction())
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("cut", range(0, 70, 7))
def test_a_torn_or_changed_der_signature_is_malformed(cut):
    whole = der(hashlib.sha256(b"r").digest(), hashlib.sha256(b"s").digest())
    for torn in (whole[:cut], whole[:cut] + b"\xff" + whole[cut:]):
        with pytest.raises(MalformedReply):
            parse_der(torn)
