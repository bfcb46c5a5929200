"""Who gets a glance at what a keeper writes or serves learns no secret of it.

One keeper in mode "live" with every kind of secret there is works, fails, is asked and ends; then
all it has written, told or served is searched for each of them, in every form it could slip out in.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from coincurve import PrivateKey
from eth_account import Account

from deploy.devnet.chain.node import free_port
from keeper.cli import main
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.keeper_stand import WEALTH_WEI
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.unit.chain.test_remote_signer import Service


pytestmark = pytest.mark.node

HEX_KEY = "3c" * 31 + "a7"
STORED_KEY = "5d" * 31 + "b9"
REMOTE_KEY = "7e" * 31 + "c1"
RELAY_KEY = "9f" * 31 + "d3"
PASSWORD = "correct horse battery staple 4242"
SIGNER_TOKEN = "signer-t0ken-8c1f77aa"
SIGNER_PATH = "signer-p4th-1d9e02bb"
NODE_TOKEN = "node-t0ken-55ee77aa99"
DEAD_TOKEN = "dead-t0ken-123abc987f"
RELAY_TOKEN = "relay-t0ken-66f0a0b1"
SECRETS = {
    "a key file's key": bytes.fromhex(HEX_KEY),
    "a keystore's key": bytes.fromhex(STORED_KEY),
    "the relay key": bytes.fromhex(RELAY_KEY),
    "the key at the remote signer": bytes.fromhex(REMOTE_KEY),
    "a password": PASSWORD.encode(),
    "the remote signer's token": SIGNER_TOKEN.encode(),
    "a secret in the remote signer's URL": SIGNER_PATH.encode(),
    "a secret in the node's URL": NODE_TOKEN.encode(),
    "a secret in a dead node's URL": DEAD_TOKEN.encode(),
    "a secret in the relay's URL": RELAY_TOKEN.encode(),
}


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every form in which bytes get into text: plain, hex, a number, base64 at any offset."""
    yield "plain", secret
    yield "hex", secret.hex().encode()
    yield "number", str(int.from_bytes(secret, "big")).encode()
    yield "reversed", secret[::-1]
    for offset in range(3):  # base64 of a text that holds it anywhere, its edges cut off
        coded = base64.b64encode(b"\0" * offset + secret)
        inner = coded[4 if offset else 0 : -4]
        yield "base64", inner
        yield "base64 for URLs", inner.translate(bytes.maketrans(b"+/", b"-_"))


def leaks(name: str, content: bytes) -> list[str]:
    """Return which secrets a text or file holds, and in which form."""
    lowered = content.lower()
    return [
        f"{what} as {form} in {name}"
        for what, secret in SECRETS.items()
        for form, needle in forms(secret)
        if needle in content or needle.lower() in lowered
    ]


@pytest.mark.parametrize("what", SECRETS)
def test_the_search_finds_each_secret_in_each_form(what: str) -> None:
    """A search that finds nothing proves nothing unless it would have found it."""
    secret = SECRETS[what]
    for shown in (
        secret,
        secret.hex().upper().encode(),
        str(int.from_bytes(secret, "big")).encode(),
        base64.b64encode(b'{"' + secret + b'"}'),
        base64.urlsafe_b64encode(b"x" + secret),
        base64.b64encode(secret),
    ):
        assert leaks("log", b"said: " + shown + b" and more")
    assert leaks("log", b"nothing of the kind") == []


@dataclass
class Signer:
    """A remote signer in a thread of its own, for a keeper in a process of its own."""

    url: str
    service: Service


@pytest.fixture
def signer() -> Iterator[Signer]:
    service = Service(PrivateKey(bytes.fromhex(REMOTE_KEY)))
    up, end, found = threading.Event(), asyncio.Event(), []

    async def serve() -> None:
        app = web.Application()
        app.router.add_post(f"/{SIGNER_PATH}/api/v1/eth1/sign/{{key}}", service.sign)
        app.router.add_get(f"/{SIGNER_PATH}/api/v1/eth1/publicKeys", service.list)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SIGNER_PATH}"
        found.append((Signer(url, service), asyncio.get_running_loop()))
        up.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(PATIENCE_S)
    made, loop = found[0]
    yield made
    loop.call_soon_threadsafe(end.set)
    thread.join()


def secret_file(rig: Rig, name: str, text: str) -> str:
    path = rig.folder / name
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def full_of_secrets(rig: Rig, signer: Signer) -> KeeperProcess:
    """A live keeper with three kinds of keys, a relay, and endpoints alive and dead."""
    document = rig.document()
    keystore = Account.encrypt(STORED_KEY, PASSWORD, kdf="pbkdf2", iterations=2)
    addresses = [Account.from_key(key).address for key in (HEX_KEY, STORED_KEY, REMOTE_KEY)]
    for address in addresses:
        rig.node.call("anvil_setBalance", address, hex(WEALTH_WEI))
    document["lanes"] = [
        {"key_file": secret_file(rig, "plain.key", HEX_KEY), "in_flight_max": 1},
        {
            "key_file": secret_file(rig, "keystore.json", json.dumps(keystore)),
            "password_file": secret_file(rig, "password", PASSWORD + "\n"),
            "in_flight_max": 1,
        },
        {
            "remote_signer_url": signer.url,
            "remote_signer_token_file": secret_file(rig, "token", SIGNER_TOKEN),
            "address": addresses[2],
            "in_flight_max": 1,
        },
    ]
    document["telemetry"]["log_level"] = "debug"
    chain = document["chain"]
    chain["watch_url"] += f"/?key={NODE_TOKEN}"
    chain["send_urls"] = [f"{rig.node.url}/?key={NODE_TOKEN}"]
    chain["relay_key_file"] = secret_file(rig, "relay.key", RELAY_KEY)
    nobody = f"http://127.0.0.1:{free_port()}"
    dead = {"node_url": f"{nobody}/{DEAD_TOKEN}", "roles": ["read", "send"]}
    chain["endpoints"] = [{"name": "dead", **dead}]
    document["routes"] = [
        {"name": "relay", "kind": "bundle", "route_url": f"{nobody}/{RELAY_TOKEN}"}
    ]
    document["route_policy"] = {"public_after_blocks": 0}
    return rig.process(document)


def told_by(*words: str) -> bytes:
    """Return all that a command prints, on both streams."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main(words)
    return (out.getvalue() + err.getvalue()).encode()


def test_who_glances_at_logs_metrics_journal_and_ledger_learns_no_secret(
    tmp_path: Path, signer: Signer
) -> None:
    shown: dict[str, bytes] = {}
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        accounts = [rig.open_with("300", rig.option(2800, False, "-10")) for _ in range(3)]
        for _ in accounts:
            rig.open_with("900", rig.option(2800, False, "-10"))
        keeper = full_of_secrets(rig, signer)
        config = ("-c", str(keeper.config))
        shown["keeper check"] = told_by("check", *config, "--values")
        rig.follow(keeper)
        rig.play(keeper)
        rig.play(keeper, spot=2_900)
        rig.play_until(keeper, lambda: all(rig.live(each) for each in accounts))
        lanes = {each["lane"] for each in keeper.events("CommandCommitted")}
        assert len(lanes) == 3, "every kind of key has signed"
        # What goes wrong is where secrets slip out: a signer that fails, a key that is refused.
        signer.service.answer = lambda _: web.Response(status=500, text=SIGNER_TOKEN)
        rig.play(keeper, spot=2_780)
        refusals = ("no_signature" in str(keeper.events("CommandRefused")) for _ in range(8))
        rig.play_until(keeper, lambda: next(refusals))
        shown["metrics"] = keeper.metrics().encode()
        shown["readiness"] = json.dumps(keeper.readiness()).encode()
        limits = Path(f"/proc/{keeper.pid}/limits").read_text()
        assert [line.split()[4:6] for line in limits.splitlines() if "core" in line] == [["0", "0"]]
        shown["argv"] = Path(f"/proc/{keeper.pid}/cmdline").read_bytes()
        shown["keeper lanes"] = told_by("lanes", *config)
        os.kill(keeper.pid, signal.SIGTERM)
        assert keeper.exited() == 0
        (rig.folder / "token").chmod(0o644)
        shown["a refused start"] = told_by("check", *config)
        assert b"chmod 600" in shown["a refused start"]
        secrets = {"plain.key", "keystore.json", "password", "token", "relay.key"}
        inputs = secrets | {keeper.config.name}  # the operator's own, where secrets are named
        for path in sorted(rig.folder.rglob("*")):
            if path.is_file() and path.name not in inputs:
                shown[str(path.relative_to(rig.folder))] = path.read_bytes()
    written = " ".join(shown)
    assert all(each in written for each in (".jsonl", "journal/", "ledger.sqlite", "snapshots/"))
    assert len(shown["metrics"]) > 1_000
    found = [leak for name, content in shown.items() for leak in leaks(name, content)]
    assert found == []
