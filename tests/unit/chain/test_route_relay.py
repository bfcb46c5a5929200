"""Whatever a relay answers, a yes is only a yes where it names our bytes; nothing else happens."""

import copy
import json
import pickle

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.chain.routes.relay import (
    BundleRoute,
    PrivateTransactionRoute,
    RelayClient,
    RelayIdentity,
    bundle_hash,
    checksummed,
    result_of,
)
from keeper.chain.routes.routing import Answer, hash_of
from keeper.domain.errors import EndpointError, MalformedReply, RpcError


SECRET = bytes(range(32, 64))
RAW = b"\x02" + bytes(range(100))


class Told(RelayClient):
    """A relay client whose relay answers these very bytes."""

    def __init__(self, reply: bytes) -> None:
        super().__init__("relay", "http://127.0.0.1:1", RelayIdentity(SECRET))
        self.reply = reply
        self.bodies: list[dict] = []

    async def _post(self, body: bytes) -> bytes:
        self.bodies.append(json.loads(body))
        return self.reply


def routes(reply: bytes) -> list[PrivateTransactionRoute | BundleRoute]:
    made = [PrivateTransactionRoute(Told(reply)), BundleRoute(Told(reply))]
    for each in made:
        each.see(41)
    return made


def honest(bundle: bool) -> dict:
    result = {"bundleHash": bundle_hash(RAW)} if bundle else hash_of(RAW)
    return {"jsonrpc": "2.0", "id": 1, "result": result}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["id", "jsonrpc", "result", "error", "bundleHash", "code", "message"])


@st.composite
def tampered(draw: st.DrawFn) -> tuple[bool, bytes]:
    """A kind of route and a reply that is an honest one with something else in it."""
    bundle = draw(st.booleans())
    reply = copy.deepcopy(honest(bundle))
    how = draw(st.sampled_from(["replace", "remove", "add", "bytes", "anything", "digit"]))
    if how == "replace":
        reply[draw(st.sampled_from(sorted(reply)))] = draw(JSON)
    elif how == "remove":
        del reply[draw(st.sampled_from(["id", "result"]))]
    elif how == "add":
        reply[draw(KEYS)] = draw(JSON)
    elif how == "digit":
        text = json.dumps(reply)
        at = draw(st.integers(text.rindex("0x") + 2, text.rindex("0x") + 65))
        return bundle, (text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]).encode()
    elif how == "bytes":
        body = bytearray(json.dumps(reply).encode())
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
        return bundle, bytes(body)
    else:
        return bundle, draw(st.binary(max_size=200) | JSON.map(lambda j: json.dumps(j).encode()))
    return bundle, json.dumps(reply).encode()


def names_ours(bundle: bool, body: bytes) -> bool:
    """Tell, apart from the code under test, whether a reply honestly says yes to our bytes."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(reply, dict) or reply.get("error") is not None:
        return False
    result = reply.get("result")
    if bundle:
        result = result.get("bundleHash") if isinstance(result, dict) else None
    expected = honest(bundle)["result"]
    wanted = expected["bundleHash"] if bundle else expected
    return reply.get("id") == 1 and not isinstance(reply["id"], bool) and result == wanted


@given(tampered())
@settings(max_examples=600, deadline=None)
async def test_relay_reply_tamper_fuzz(case: tuple[bool, bytes]) -> None:
    bundle, reply = case
    route = routes(reply)[bundle]
    answer = await route.send(RAW)  # whatever was answered, nothing is raised
    assert isinstance(answer, Answer)
    if answer.outcome == "accepted":
        assert names_ours(bundle, reply)
    assert answer.code is None or abs(answer.code) < 2**31


@pytest.mark.parametrize("bundle", [False, True])
async def test_an_honest_yes_is_a_yes(bundle: bool) -> None:
    route = routes(json.dumps(honest(bundle)).encode())[bundle]
    assert await route.send(RAW) == Answer("accepted")


@pytest.mark.parametrize(
    ("reply", "outcome", "code"),
    [
        ({"id": 1, "result": "0x" + "66" * 32}, "lied", None),
        ({"id": 1, "result": None}, "lied", None),
        ({"id": 2, "result": hash_of(RAW)}, "no_answer", None),
        ({"id": True, "result": hash_of(RAW)}, "no_answer", None),
        ({"id": 1}, "no_answer", None),
        ([], "no_answer", None),
        ({"error": "busy"}, "refused", 0),
        ({"id": 1, "error": {"code": -32600, "message": "busy"}}, "refused", -32600),
        ({"id": 1, "error": {"code": 2**80, "message": 7}}, "refused", 0),
        ({"id": 1, "error": {"code": -32000, "message": "nonce too low"}}, "nonce_too_low", -32000),
        ({"error": "rate limit exceeded"}, "rate_limited", None),
        ({"error": {}, "id": 1, "result": hash_of(RAW)}, "refused", 0),
    ],
)
async def test_what_a_relay_says_is_classified(reply, outcome, code) -> None:
    route = routes(json.dumps(reply).encode())[0]
    assert await route.send(RAW) == Answer(outcome, code)


def test_the_words_of_a_relay_cannot_break_a_line() -> None:
    evil = "\x1b[2J\nSUCCESS " + "x" * 999
    with pytest.raises(RpcError) as caught:
        result_of("relay", 1, json.dumps({"error": evil}).encode())
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 99_999, b"1", b'{"id":1,"result":'])
def test_bytes_that_are_no_reply_are_told_apart(body: bytes) -> None:
    with pytest.raises(EndpointError) as caught:
        result_of("relay", 1, body)
    assert isinstance(caught.value, MalformedReply)


def test_the_header_is_the_one_eth_account_signs() -> None:
    identity, body = RelayIdentity(SECRET), b'{"jsonrpc":"2.0"}'
    address, _, signature = identity.header(body).partition(":")
    message = encode_defunct(text="0x" + keccak(body).hex())
    assert Account.recover_message(message, signature=signature) == address
    assert address == Account.from_key(SECRET).address
    signed = Account.sign_message(message, SECRET).signature.hex().removeprefix("0x")
    assert signature == "0x" + signed


def test_an_identity_shows_no_key() -> None:
    identity = RelayIdentity(SECRET)
    assert SECRET.hex() not in repr(identity)
    with pytest.raises(TypeError):
        pickle.dumps(identity)


@given(st.binary(min_size=20, max_size=20))
def test_addresses_are_in_mixed_case_as_eip_55_says(raw: bytes) -> None:
    assert checksummed("0x" + raw.hex()) == to_checksum_address(raw)


async def test_a_bundle_names_the_next_block_each_time_and_waits_for_a_head() -> None:
    told = Told(json.dumps(honest(True)).encode())
    route = BundleRoute(told)
    assert await route.send(RAW) == Answer("no_head")
    for head in (41, 42):
        route.see(head)
        await route.send(RAW)
    asked = [body["params"][0] for body in told.bodies]
    assert [each["blockNumber"] for each in asked] == ["0x2a", "0x2b"]
    assert {tuple(each["txs"]) for each in asked} == {("0x" + RAW.hex(),)}


async def test_a_bundle_larger_than_a_relay_takes_is_not_sent() -> None:
    told = Told(b"")
    route = BundleRoute(told)
    route.see(1)
    assert await route.send(bytes(300_001)) == Answer("too_large")
    assert told.bodies == []


async def test_a_private_transaction_says_until_when() -> None:
    told = Told(json.dumps(honest(False)).encode())
    route = PrivateTransactionRoute(told, blocks=99)
    await route.send(RAW)
    route.see(41)
    await route.send(RAW)
    asked = [body["params"][0] for body in told.bodies]
    assert asked == [{"tx": "0x" + RAW.hex()}, {"tx": "0x" + RAW.hex(), "maxBlockNumber": "0x42"}]
