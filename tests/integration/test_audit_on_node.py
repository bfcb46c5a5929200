"""The shadow check on a real node: drift is found and named, changed rules stop and go on again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.venue.parameters import wad
from keeper.protocols.derive.views.authority_standing import SLOTS
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def audited(rig: Rig, **section: Any) -> KeeperProcess:
    """Start a keeper that asks about everybody on every block."""
    document = rig.document()
    document["audit"] = {"quiet_ms": 0, "accounts_per_block": 64, "weight_per_s": 0, **section}
    keeper = rig.follow(rig.process(document))
    rig.play(keeper)
    keeper.ready()
    return keeper


def audits(keeper: KeeperProcess) -> list[dict[str, Any]]:
    return keeper.events("StateAudited")


def book(rig: Rig) -> list[int]:
    """Open one account of each kind: a short option, a perpetual and collateral, a borrower."""
    return [
        rig.open_with("500", rig.perp("10")),
        rig.open_with("900", rig.option(3000, True, "-4"), rig.perp("2")),
        rig.open(rig.cash("-1000"), rig.coin("2")),
        rig.open(rig.cash("5000")),
    ]


def rules_told(keeper: KeeperProcess) -> list[tuple[str, str]]:
    told = keeper.events("RulesObserved")
    return [(each["subject"], each["change"].split()[0]) for each in told]


def number_of(line: dict[str, Any]) -> int:
    return int(line["number"])


def test_every_account_agrees_through_a_falling_market(rig: Rig) -> None:
    book(rig)
    keeper = audited(rig)
    for spot in (2_950, 2_900, 2_600):
        rig.play(keeper, spot=spot)
        keeper.wait("its audit", lambda: rig.number in map(number_of, audits(keeper)))
    assert all(each["drift"] == "" for each in audits(keeper))
    assert audits(keeper)[-1]["full"]
    # A market that falls starts auctions too: what they settle is compared as well.
    assert audits(keeper)[-1]["accounts"] >= 4
    assert "keeper_audit_drift_max 0.0" in keeper.metrics()
    assert "keeper_audit_doubts 0.0" in keeper.metrics()


def test_a_wei_that_no_log_told_of_stops_decisions_and_is_named(rig: Rig) -> None:
    account = book(rig)[0]
    keeper = audited(rig)
    shift_cash(rig, account, 1)
    rig.play(keeper)
    keeper.wait("the stop", lambda: keeper.lines("decisions_stopped"))
    told = keeper.lines("decisions_stopped")[0]
    assert f"account {account}: cash ours" in told["reason"]
    keeper.wait("red", lambda: any(f"account {account}" in why for why in keeper.readiness()))
    line = rig.play(keeper, spot=2_900)
    assert (line["breaches"], line["commands"]) == (1, 0), "margined, and not served"
    shift_cash(rig, account, -1)
    rig.play(keeper)
    keeper.wait("the audit of everybody", lambda: keeper.lines("decisions_resumed"))
    keeper.ready()
    assert rig.play(keeper)["commands"] == 1
    rig.play(keeper)
    assert rig.live(account)


def test_a_parameter_changed_in_a_block_stops_it_and_the_next_is_served(rig: Rig) -> None:
    account = book(rig)[0]
    keeper = audited(rig)
    margin = list(rig.view(rig.book.lib, "getMarginParams"))
    margin[1] = wad("1.1")
    rig.sender.send(rig.book.lib, "setMarginParams", tuple(margin))
    line = rig.play(keeper)
    assert (line["breaches"], line["commands"]) == (1, 0), "stopped in the block of the change"
    keeper.wait("the audit of everybody", lambda: keeper.lines("decisions_resumed"))
    assert rig.book.lib.address.lower() in keeper.lines("decisions_stopped")[0]["reason"]
    assert audits(keeper)[-1]["full"]
    assert number_of(audits(keeper)[-1]) == number_of(line)
    line = rig.play(keeper)
    assert (line["breaches"], line["commands"]) == (1, 1)
    rig.play(keeper)
    assert rig.live(account)
    assert rig.apart(keeper) == []
    rig.replayed(keeper)


def test_a_new_guardian_a_pause_and_a_new_owner_stop_for_an_audit(rig: Rig) -> None:
    book(rig)
    keeper = audited(rig)
    stranger = rig.stranger().address
    rig.sender.send(rig.book.manager, "setGuardian", stranger)
    rig.sender.send(rig.book.manager, "setAdjustmentsPaused", True)
    rig.sender.send(rig.book.manager, "transferOwnership", stranger)
    rig.play(keeper)
    keeper.wait("the audit of everybody", lambda: keeper.lines("decisions_resumed"))
    reasons = [each["reason"] for each in keeper.lines("decisions_stopped")]
    assert any("OwnershipTransferred" in why and stranger.lower() in why for why in reasons)
    assert any("GuardianUpdated" in why and stranger.lower() in why for why in reasons)
    assert any(why.endswith(": pause") for why in reasons)
    assert len(keeper.lines("decisions_resumed")) == 1, "one audit for all of them"


def test_code_and_slots_that_changed_without_a_log_are_noticed(rig: Rig) -> None:
    book(rig)
    keeper = audited(rig, rules_every_blocks=2)
    lib = rig.book.lib.address
    code = rig.node.call("eth_getCode", lib, "latest")
    rig.node.call("anvil_setCode", lib, code + "00")
    rig.node.call("anvil_setStorageAt", rig.book.manager.address, SLOTS["implementation"], word(9))
    for _ in range(3):
        rig.play(keeper)
    changes = {
        (f"lib {lib.lower()}", "code"),
        (f"manager {rig.book.manager.address.lower()}", "implementation"),
    }
    keeper.wait("both told", lambda: changes <= set(rules_told(keeper)))
    rig.play(keeper)
    keeper.wait("the audit of everybody", lambda: keeper.lines("decisions_resumed"))
    keeper.ready()


def test_code_that_computes_otherwise_stops_for_good(rig: Rig) -> None:
    book(rig)
    keeper = audited(rig, rules_every_blocks=1)
    runtime = "0x5f5ffd"  # PUSH0 PUSH0 REVERT: every view of it reverts
    rig.node.call("anvil_setCode", rig.book.lib.address, runtime)
    rig.play(keeper)
    keeper.wait("the stop", lambda: keeper.lines("decisions_stopped"))
    for _ in range(3):
        rig.play(keeper)
    assert keeper.lines("decisions_resumed") == []
    keeper.wait("red", lambda: any("decisions" in why for why in keeper.readiness()))


def test_a_heartbeat_changed_without_a_log_leads_to_a_new_snapshot(rig: Rig) -> None:
    book(rig)
    keeper = audited(rig, rules_every_blocks=1)
    rig.sender.send(rig.book.spot_feed, "setHeartbeat", 90)
    rig.play(keeper)
    rig.play(keeper)
    keeper.wait("a new snapshot", lambda: len(keeper.lines("snapshot_taken")) == 2)
    rig.play(keeper)
    keeper.ready()
    # The new one is in force: two minutes are too old now.
    rig.silent.add("ETH.spot")
    assert rig.play(keeper, after_s=120)["undecided"] == 4


def shift_cash(rig: Rig, account: int, wei: int) -> None:
    """Change an account's stored cash behind everybody's back, as no log ever tells."""
    hub, cash = rig.core.sub_accounts, rig.core.cash.address
    before = rig.stored(account, rig.core.cash)
    slot = next(
        slot
        for slot in storage_read(rig, hub.address, hub.encode("getBalance", account, cash, 0))
        if int(rig.node.call("eth_getStorageAt", hub.address, slot, "latest"), 16) % 2**240
        == before % 2**240
    )
    raw = int(rig.node.call("eth_getStorageAt", hub.address, slot, "latest"), 16)
    low = (raw + wei) % 2**240
    rig.node.call("anvil_setStorageAt", hub.address, slot, word(raw >> 240 << 240 | low))
    assert rig.stored(account, rig.core.cash) == before + wei


def storage_read(rig: Rig, address: str, data: str) -> list[str]:
    """Return the slots of a contract that a call of it reads."""
    request = {"to": address, "data": data}
    found = rig.node.call("eth_createAccessList", request, "latest")["accessList"]
    return [
        key
        for each in found
        if each["address"].lower() == address.lower()
        for key in each["storageKeys"]
    ]


def word(value: int) -> str:
    return f"0x{value:064x}"
