"""The shadow check: who is asked and believed, what stops decisions, what lets them go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from keeper.config import AuditSection
from keeper.domain.events import ChainRewound, RulesObserved, StateAudited
from keeper.machine.screening import Screens
from keeper.margin.book import Kind
from keeper.protocols.derive.tables import SpotRow
from tests.unit.app.audit_world import World
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.chain_views import Views, block, hash_of
from tests.unit.protocols.derive.deployment import WAD, Deployment, wad
from tests.unit.protocols.derive.logs import log_of


ACCOUNTS = 12


def deployed(accounts: int = ACCOUNTS) -> Deployment:
    """The higher the number, the nearer the line: account 12 holds the most for its cash."""
    made = Deployment()
    for account in range(1, accounts + 1):
        made.account(account, 3_000.0 - 100.0 * account, (Kind.PERPETUAL, 0, 0.0, 1.0))
    return made


def one_wei_off(world: World, account: int) -> None:
    tables = world.ours.tables
    row = tables.row(account)
    tables.cash.set(row, tables.cash.get(row) + 1)


async def test_each_block_asks_those_near_the_line_and_the_rest_in_turn() -> None:
    async with World(deployed, AuditSection(quiet_ms=0, accounts_per_block=4)) as world:
        asked = []
        for number in range(6):
            (audited,) = await world.mine()
            assert (audited.accounts, audited.drift) == (4 if number < 5 else 2, "")
            asked.append(world.endpoints[0].asked[:])
            world.endpoints[0].asked.clear()
    assert all({11, 12} <= set(each) for each in asked)
    assert [each[2:] for each in asked[:3]] == [[1, 2], [3, 4], [5, 6]]
    assert {account for each in asked for account in each} == set(range(1, ACCOUNTS + 1))


async def test_everybody_is_seen_within_the_blocks_that_are_configured() -> None:
    rule = AuditSection(quiet_ms=0, accounts_per_block=2, full_every_blocks=3)
    async with World(deployed, rule) as world:
        for _ in range(3):
            await world.mine()
        assert set(world.endpoints[0].asked) == set(range(1, ACCOUNTS + 1))
        assert world.auditor.status.agreed_blocks <= 3


async def test_the_weight_holds_a_sample_down() -> None:
    rule = AuditSection(quiet_ms=0, accounts_per_block=8, weight_per_s=1)
    async with World(deployed, rule) as world:
        counts = [len(await world.mine()) for _ in range(5)]
    assert counts == [1, 0, 0, 0, 0], "what was saved up is spent at once"


async def test_a_wei_of_drift_stops_decisions_and_names_account_and_term() -> None:
    async with World(deployed) as world:
        await world.mine()
        one_wei_off(world, 12)
        audited = (await world.mine())[0]
        tables = world.ours.tables
        ours = tables.cash.get(tables.row(12))
        assert audited.drift == f"account 12: cash ours {ours}, the chain's {ours - 1}"
        assert "decisions_stopped" in world.kinds()
        assert world.core.machine.gates.doubted("derive") == audited.drift
        assert world.auditor.status.drift_max > 0.0
        assert world.auditor.status.doubts == 1


async def test_drift_that_is_mended_lets_decisions_go_on_after_everybody_agreed() -> None:
    async with World(deployed) as world:
        one_wei_off(world, 12)
        await world.mine()
        assert world.core.machine.gates.doubted("derive") is not None
        tables = world.ours.tables
        tables.cash.set(tables.row(12), tables.cash.get(tables.row(12)) - 1)
        audits = await world.mine()
        assert (audits[-1].full, audits[-1].drift) == (True, "")
        assert set(world.endpoints[0].asked) == set(range(1, ACCOUNTS + 1))
        assert world.core.machine.gates.doubted("derive") is None
        assert world.kinds()[-1] == "decisions_resumed"


async def test_an_account_that_still_differs_is_found_again_and_nothing_goes_on() -> None:
    async with World(deployed) as world:
        one_wei_off(world, 3)
        for _ in range(8):
            await world.mine()
        assert world.core.machine.gates.doubted("derive") is not None
        assert "decisions_resumed" not in world.kinds()


async def test_who_agreed_and_then_differs_in_one_block_has_not_agreed() -> None:
    rule = AuditSection(quiet_ms=0, accounts_per_block=2 * ACCOUNTS)
    async with World(deployed, rule) as world:
        await world.mine()
        one_wei_off(world, 12)
        world.post(RulesObserved("other", "its manager", "code"))  # wakes, and doubts another venue
        await world.settle()
        assert world.core.machine.gates.doubted("derive") is not None
        await world.mine()
        assert world.core.machine.gates.doubted("derive") is not None


async def test_a_full_audit_comes_in_batches_and_proves_the_oldest_of_them() -> None:
    rule = AuditSection(quiet_ms=0, accounts_per_block=1, accounts_at_once=5)
    async with World(deployed, rule) as world:
        await world.mine()
        world.post(RulesObserved("derive", "manager", "code"))
        await world.settle()
        audits = [each for each in world.posted if isinstance(each, StateAudited)][-3:]
        assert [each.accounts for each in audits] == [5, 5, ACCOUNTS]
        assert [each.full for each in audits] == [False, False, True]
        assert (audits[-1].number, audits[-1].hash) == (2, hash_of(2))
        assert world.core.machine.gates.doubted("derive") is None


async def test_an_endpoint_that_does_not_answer_is_neither_agreement_nor_drift() -> None:
    async with World(deployed) as world:
        one_wei_off(world, 12)
        world.endpoints[0].silent = True
        assert await world.mine() == []
        assert world.core.machine.gates.doubted("derive") is None
        assert world.auditor.status.unanswered > 0
        assert "audit_unanswered" in [notice.kind for notice in world.told]


async def test_a_silent_endpoint_ends_no_doubt() -> None:
    async with World(deployed) as world:
        await world.mine()
        world.endpoints[0].silent = True
        world.post(RulesObserved("derive", "manager", "code"))
        for _ in range(3):
            assert await world.mine() == []
        assert world.core.machine.gates.doubted("derive") is not None
        world.endpoints[0].silent = False
        assert (await world.mine())[-1].full
        assert world.core.machine.gates.doubted("derive") is None


async def test_an_answer_of_another_block_is_not_known() -> None:
    async with World(deployed) as world:
        one_wei_off(world, 12)
        world.endpoints[0].other_branch = True
        assert await world.mine() == []
        assert world.core.machine.gates.doubted("derive") is None


async def test_a_lying_endpoint_stops_nothing_where_another_denies_it() -> None:
    async with World(deployed, endpoints=2) as world:
        liar = world.endpoints[0].truth.tables
        world.endpoints[0].truth.tables.cash.set(liar.row(12), 7 * WAD)
        (audited,) = await world.mine()
        assert audited.drift == ""
        assert world.core.machine.gates.doubted("derive") is None
        assert world.inquiry.disputed == 1
        disputed = next(dict(n.fields) for n in world.told if n.kind == "audit_disputed")
        assert (disputed["endpoint"], disputed["contradicted_by"]) == ("endpoint0", "endpoint1")


async def test_what_an_endpoint_takes_back_when_it_is_asked_again_stops_nothing() -> None:
    """A node that took in a block while it answered has looked at that one."""
    async with World(deployed) as world:
        endpoint = world.endpoints[0]
        cash, row = endpoint.truth.tables.cash, endpoint.truth.tables.row(12)
        before, answer = cash.get(row), endpoint.call_many

        async def of_the_next_block(*asked: Any) -> Any:
            cash.set(row, 7 * WAD)
            try:
                return await answer(*asked)
            finally:
                cash.set(row, before)
                endpoint.call_many = answer  # type: ignore[method-assign]

        endpoint.call_many = of_the_next_block  # type: ignore[method-assign]
        (audited,) = await world.mine()
        assert audited.drift == ""
        assert world.core.machine.gates.doubted("derive") is None
        assert world.inquiry.disputed >= 1
        assert [n.kind for n in world.told if n.kind.startswith("audit")] == ["audit_retracted"]


async def test_drift_that_both_endpoints_see_stops() -> None:
    async with World(deployed, endpoints=2) as world:
        one_wei_off(world, 12)
        audits = await world.mine()
        assert audits[0].drift.startswith("account 12: cash")
        assert world.inquiry.disputed == 0


async def test_drift_that_nobody_else_can_deny_stops() -> None:
    async with World(deployed, endpoints=2) as world:
        one_wei_off(world, 12)
        world.endpoints[1].silent = True
        assert (await world.mine())[0].drift.startswith("account 12: cash")


async def test_the_next_endpoint_is_asked_where_the_first_is_silent() -> None:
    async with World(deployed, endpoints=2) as world:
        world.endpoints[0].silent = True
        (audited,) = await world.mine()
        assert (audited.accounts, audited.drift) == (8, "")
        assert world.auditor.status.unanswered == 0


async def test_one_account_that_a_node_cannot_compute_leaves_the_others_answered() -> None:
    async with World(deployed) as world:
        world.endpoints[0].refused = {12}
        (audited,) = await world.mine()
        assert (audited.accounts, audited.full) == (7, False)
        unanswered = [dict(n.fields) for n in world.told if n.kind == "audit_unanswered"]
        assert [each["account"] for each in unanswered] == [12]


async def test_an_error_about_everything_is_not_asked_about_without_end() -> None:
    rule = AuditSection(quiet_ms=0, accounts_per_block=80, weight_per_s=0)
    async with World(lambda: deployed(40), rule) as world:
        world.endpoints[0].refused = set(range(1, 41))
        before = world.endpoints[0].requests
        await world.mine()
        # Halving to the end would be 81; at the limit each part still under way fails once.
        assert world.endpoints[0].requests - before <= 30


async def test_a_view_that_reverts_where_we_have_a_number_stops() -> None:
    async with World(deployed) as world:
        world.endpoints[0].views.reverting = {12}
        assert "account 12: mm ours" in (await world.mine())[0].drift


async def test_a_missed_account_is_found_though_it_is_in_no_sample() -> None:
    async with World(deployed) as world:
        world.endpoints[0].truth.account(ACCOUNTS + 1, 1.0)
        assert (await world.mine())[0].drift == "accounts ours 12, the chain's 13"


async def test_what_was_learned_on_a_branch_that_was_left_proves_nothing() -> None:
    rule = AuditSection(quiet_ms=0, accounts_per_block=2 * ACCOUNTS)
    async with World(deployed, rule) as world:
        await world.mine()
        assert world.auditor.status.agreed_blocks == 0
        world.post(ChainRewound(1, 1, hash_of(1)))
        world.endpoints[0].silent = True
        await world.mine()
        assert world.auditor.status.agreed_blocks == 1, "nobody has agreed since the snapshot"


async def test_a_halted_venue_is_not_asked_about() -> None:
    async with World(deployed) as world:
        await world.mine()
        bad = log_of("SpotPriceUpdated", 1, 1, 1, source=on.SPOT_FEED)._replace(data="0x12")
        assert await world.mine(bad) == []
        assert await world.mine() == []


async def test_a_changed_parameter_stops_in_its_block_and_a_full_audit_lets_go_on() -> None:
    async with World(deployed) as world:
        await world.mine()
        margin = tuple(world.ours.tables.margin[on.LIB])
        changed = (margin[0], margin[1] + wad(0.1), *margin[2:])
        truth = world.endpoints[0].truth
        row = truth.tables.margin[on.LIB]
        truth.tables.margin.set(on.LIB, row._replace(mm_factor=row.mm_factor + wad(0.1)))
        world.endpoints[0].views = type(world.endpoints[0].views)(truth)
        audits = await world.mine(log_of("MarginParamsUpdated", changed, source=on.LIB))
        assert world.kinds() == ["decisions_stopped", "decisions_resumed"]
        assert audits[-1].full
        assert audits[-1].number == 3


async def test_a_parameter_we_misunderstood_does_not_let_go_on() -> None:
    async with World(deployed) as world:
        await world.mine()
        margin = tuple(world.ours.tables.margin[on.LIB])
        log = log_of(
            "MarginParamsUpdated", (*margin[:1], margin[1] + 1, *margin[2:]), source=on.LIB
        )
        world.ours.tables.spots.set(on.STABLE_FEED, SpotRow(wad(0.9), WAD, on.NOW))
        audits = await world.mine(log)
        assert "im ours" in audits[-1].drift
        assert "decisions_resumed" not in world.kinds()


async def test_nothing_is_asked_while_a_new_snapshot_is_wanted() -> None:
    async with World(deployed) as world:
        world.renewal.ask("rewired")
        assert await world.mine() == []


async def test_the_loop_is_held_for_a_moment_only() -> None:
    async with World(deployed) as world:
        await world.mine()
        assert world.auditor.status.busy_ns > 0
        assert world.auditor.status.rounds == 1


@pytest.mark.parametrize(
    ("block_time_ms", "quiet_s"), [(12_000, 0.25), (1_000, 0.25), (100, 0.025)]
)
def test_the_wait_after_a_decision_leaves_time_in_the_block(
    block_time_ms: int, quiet_s: float
) -> None:
    world = World(deployed, AuditSection(), block_time_ms=block_time_ms)
    assert world.auditor.quiet_s == quiet_s


async def test_nothing_is_asked_while_the_tables_have_moved_on() -> None:
    async with World(deployed) as world:
        await world.mine()
        asked = len(world.endpoints[0].asked)
        world.post(replace(block(3), at_tip=False))
        await world.settle()
        assert len(world.endpoints[0].asked) == asked
        assert len(await world.mine()) == 1


async def test_who_was_cleared_by_a_bound_is_compared_by_this_block_s_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screens = Screens(0, 1.0)
    monkeypatch.setattr("keeper.machine.machine.Screens", lambda: screens)
    rule = AuditSection(quiet_ms=0, accounts_per_block=2 * ACCOUNTS)
    async with World(deployed, rule) as world:
        await world.mine()
        chain = world.endpoints[0]
        for deployment in (world.ours, chain.truth):
            deployment.quotes(on.NOW, 2_000.5)
        chain.views = Views(chain.truth)
        (audited,) = await world.mine()
    assert screens.cleared > 0
    assert (audited.accounts, audited.drift) == (ACCOUNTS, "")


async def test_answers_that_come_after_their_block_has_left_the_chain_prove_nothing() -> None:
    rule = AuditSection(quiet_ms=0, accounts_per_block=2 * ACCOUNTS)
    async with World(deployed, rule) as world:
        world.endpoints[0].held = asyncio.Event()
        await world.mine()
        world.post(ChainRewound(1, 1, hash_of(1)))
        world.endpoints[0].silent_after = world.endpoints[0].requests
        world.endpoints[0].held.set()
        await world.settle()
        await world.mine()
        assert world.auditor.status.asked == ACCOUNTS + 1
        assert world.auditor.status.agreed_blocks == 1, "nobody has agreed since the snapshot"
