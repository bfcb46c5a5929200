"""A slice of the simulated seeds, the bugs planted to be found, and the world's own honesty."""

import asyncio
import random
import re
from pathlib import Path

import numpy as np
import pytest

from keeper.domain.events import BlockSealed, Entry
from keeper.machine.screening import Screens
from keeper.margin.book import Floats
from keeper.margin.methods.pmrm2_fall import Valued
from keeper.protocols.derive.logs.decode import decode
from tests.simulation import auditor, checkers, planted, run
from tests.simulation import places as on
from tests.simulation.checkers import Violated
from tests.simulation.genesis import begin
from tests.simulation.machine_run import MachineRun, machine_on
from tests.simulation.shell_run import ShellRun, journal_of, run_shell
from tests.simulation.sim_chain import SimChain
from tests.simulation.venue_document import document
from tests.simulation.venue_logs import balance_adjusted, emitted, scenarios_updated
from tests.simulation.virtual_loop import VirtualLoop
from tests.unit.protocols.derive.logs import log_of


SLICE = 40
SHELL_SLICE = 5
PLANT_SEEDS = range(1, 13)
BOUNDED_SEEDS = range(1, 5)


# ── the sound keeper ──


@pytest.mark.parametrize("first", range(1, SLICE + 1, 10))
def test_every_rule_holds_on_the_pure_machine(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = run.simulate(seed, replay=seed % 2 == 0, shell=False)
        assert outcome.problem is None, f"{outcome.problem}\n  {run.command(seed)}"


@pytest.mark.parametrize("seed", range(1, SHELL_SLICE + 1))
def test_every_rule_holds_on_the_real_shell(seed: int) -> None:
    run_shell(seed)


def test_the_slice_starts_auctions_rewinds_and_is_not_idle() -> None:
    tally = MachineRun(7).run(replay=False)

    assert tally.rewinds > 0
    assert tally.commands > 0
    assert tally.events > tally.blocks


def test_a_seed_of_the_machine_is_the_same_run_again() -> None:
    first, second = MachineRun(11), MachineRun(11)

    assert (first.run(replay=False), first.sealed) == (second.run(replay=False), second.sealed)
    assert first.entries == second.entries


def test_a_seed_of_the_shell_leaves_the_same_journal_again() -> None:
    first, second = journal_of(3, blocks=15), journal_of(3, blocks=15)

    assert first[0].splitlines()[1:] == second[0].splitlines()[1:]
    assert first[1] == second[1]


def test_a_machine_that_clears_by_bounds_decides_the_same_through_every_reorg() -> None:
    cleared = rewinds = 0
    for seed in BOUNDED_SEEDS:
        sim, screens = MachineRun(seed), Screens(0, 1.0)
        rewinds += sim.run(replay=False).rewinds
        sim.replay(screens)
        cleared += screens.cleared

    assert rewinds > 0
    assert cleared > 500


# ── planted bugs ──


def test_a_bound_that_promises_too_much_does_not_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_falls(_: object, then: Valued, __: Valued) -> Floats:
        return np.zeros(len(then[0].listing.kind))

    runs = [MachineRun(seed) for seed in BOUNDED_SEEDS]
    for sim in runs:
        sim.run(replay=False)
    monkeypatch.setattr("keeper.margin.methods.pmrm2.fall", nothing_falls)
    diverged = 0
    for sim in runs:
        try:
            sim.replay(Screens(0, 1.0))
        except Violated as violated:
            diverged += str(violated).startswith("replay_equals_record: entry")
    assert diverged > 0


def _found(name: str, rules: tuple[str, ...], problem: str | None) -> bool:
    if problem is None:
        return False
    broken = problem.partition(":")[0]
    assert broken in rules, f"{name} broke {problem}"
    return True


@pytest.mark.parametrize("name", planted.MACHINE_PLANTS)
def test_a_bug_planted_in_the_pure_rooms_is_found(name: str) -> None:
    plant, rules = planted.MACHINE_PLANTS[name]
    for seed in PLANT_SEEDS:
        with plant():
            outcome = run.simulate(seed, replay=True, shell=False)
        if _found(name, rules, outcome.problem):
            # The sound keeper is green on the very seed.
            assert run.simulate(seed, replay=True, shell=False).problem is None
            return
    pytest.fail(f"{name} went unseen on seeds {PLANT_SEEDS}")


@pytest.mark.parametrize("name", planted.SHELL_PLANTS)
def test_a_bug_planted_in_the_shell_is_found(name: str) -> None:
    plant, rules = planted.SHELL_PLANTS[name]
    for seed in PLANT_SEEDS:
        with plant():
            problem = None
            try:
                run_shell(seed)
            except Violated as violated:
                problem = str(violated)
        if _found(name, rules, problem):
            run_shell(seed)
            return
    pytest.fail(f"{name} went unseen on seeds {PLANT_SEEDS}")


def test_a_failing_seed_prints_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SHELL_EVERY", 10**9)
    with planted.undo_forgotten_for_cash():
        code = run.main(["--seeds", "1", "--first", "1", "--processes", "1"])

    assert code == 1
    shown = capsys.readouterr().out
    assert "seed 1: state_equals_snapshot" in shown
    assert re.search(r"repeat: python -m tests\.simulation\.run --seeds 1 --first 1 --all", shown)


# ── the world itself ──


def test_the_world_s_logs_are_encoded_as_eth_abi_encodes_them() -> None:
    pairs = [
        (
            emitted("SpotPriceUpdated", on.SPOT, (), 5, 6, 7),
            log_of("SpotPriceUpdated", 5, 6, 7, source=on.SPOT),
        ),
        (
            emitted("InterestAccruedOnAccount", on.CASH, (3,), -5, -6, 7),
            log_of("InterestAccruedOnAccount", 3, -5, -6, 7, source=on.CASH),
        ),
        (
            emitted("ForwardDataUpdated", on.FORWARD, (9,), -1, 2, 3, 4, 5),
            log_of("ForwardDataUpdated", 9, (-1, 2, 3), (4, 5), source=on.FORWARD),
        ),
        (
            scenarios_updated(on.MANAGER, on.SCENARIOS),
            log_of("ScenariosUpdated", list(on.SCENARIOS), source=on.MANAGER),
        ),
        (
            balance_adjusted(on.SUB_ACCOUNTS, (7, on.MANAGER, on.OPTION, 12), -4, 9, 2),
            log_of(
                "BalanceAdjusted", 7, on.MANAGER,
                bytes.fromhex(on.OPTION[2:]) + (12).to_bytes(12, "big"), -4, 9, 5, 2,
                source=on.SUB_ACCOUNTS,
            ),
        ),
    ]  # fmt: skip
    for ours, theirs in pairs:
        assert ours == theirs[:3]


def test_every_log_the_workload_makes_is_one_the_keeper_decodes() -> None:
    sim = MachineRun(2)
    sim.run(replay=False)

    logs = [
        log
        for entry in sim.entries
        if isinstance(entry.event, BlockSealed)
        for log in entry.event.logs
    ]
    kinds = {type(decode(log)).__name__ for log in logs}

    assert "NoneType" not in kinds
    assert len(kinds) > 15


def test_the_auditor_agrees_with_the_keeper_on_every_account_at_the_start() -> None:
    chain = SimChain(begin(random.Random(5)))
    machine = machine_on(chain.head)
    block = chain.mine()
    machine.fold(entry := _entry(block.sealed()))
    machine.decide(entry)

    for margined in machine.margined["derive"]:
        for row, account in enumerate(margined.book.accounts.tolist()):
            mm = auditor.margin(block.state, account).mm
            assert margined.accrued.excess[row] == pytest.approx(mm, abs=1e-6)


def test_the_world_s_document_reads_back_as_the_keeper_s_own_snapshot() -> None:
    chain = SimChain(begin(random.Random(6)))

    checkers.state_is_the_chain_s(machine_on(chain.head), chain.head)
    assert document(chain.head.state, 1, "0x")["positions"]


def test_a_wrong_state_is_not_called_the_chain_s() -> None:
    chain = SimChain(begin(random.Random(6)))
    machine = machine_on(chain.head)
    chain.head.state.cash[1] += 1

    with pytest.raises(Violated, match="state_equals_snapshot: cash"):
        checkers.state_is_the_chain_s(machine, chain.head)


def test_virtual_time_jumps_and_a_wait_that_nothing_ends_is_an_error() -> None:
    async def sleep_an_hour() -> float:
        await asyncio.sleep(3_600.0)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(sleep_an_hour()) == pytest.approx(3_600.0)
    loop = VirtualLoop()
    with pytest.raises(RuntimeError, match="no timer will bring"):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_a_thread_s_error_reaches_who_awaits_it(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("disk full")

    async def hand_over() -> None:
        await asyncio.get_running_loop().run_in_executor(None, fail)

    with (
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        pytest.raises(OSError, match="disk full"),
    ):
        runner.run(hand_over())


def test_the_shell_survived_faults_rather_than_none(tmp_path: Path) -> None:
    sim = ShellRun(1, tmp_path)
    sim.run()

    assert sum(node.lies for node in sim.nodes) > 0
    assert sum(node.drops for node in sim.nodes) > 0


def _entry(event: BlockSealed) -> Entry:
    return Entry(1, 0, event)
