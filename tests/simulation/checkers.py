"""What must hold after every event, whatever the seed did; each names the rule it keeps.

They look at the machine from outside and at the world's own truth, never at how a decision was
made. A failed check raises `Violated`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keeper.domain.effects import Command, Effects
from keeper.domain.events import BlockSealed
from keeper.machine import Machine
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.record import dump
from tests.simulation import auditor
from tests.simulation import places as on
from tests.simulation.hands import Hands
from tests.simulation.sim_chain import Block, SimChain
from tests.simulation.venue_auctions import execute
from tests.simulation.venue_document import document
from tests.simulation.venue_truth import Reverts


# Two ways to compute a margin agree to this, of the account's worth: nearer the line neither errs.
TIE_USD = 1e-4


class Violated(AssertionError):
    """A rule of the keeper did not hold."""

    def __init__(self, rule: str, told: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {told}")


def state_is_the_chain_s(machine: Machine, block: Block) -> None:
    """Incremental state = a fresh snapshot of the block it stands at."""
    venue = machine.venues[0]
    assert isinstance(venue, Derive)
    if machine.portfolio.tip != (block.number, block.hash):
        raise Violated("stands_on_the_block", f"{machine.portfolio.tip} is not {block.number}")
    ours = dump(venue.tables, block.number, block.hash, block.timestamp)
    theirs = document(block.state, block.number, block.hash)
    if ours != theirs:
        raise Violated("state_equals_snapshot", "; ".join(_differences(ours, theirs)[:4]))


def everything(machine: Machine) -> Any:
    """Return all chain-derived state, what depends on the path too."""
    venue = machine.venues[0]
    assert isinstance(venue, Derive)
    return machine.portfolio.contents(), list(venue.tables.doubts.items())


def commands_are_right(commands: Sequence[Command], chain: SimChain) -> None:
    """No healthy, undefined or own account is acted on, and the venue accepts what is asked."""
    for command in commands:
        block = chain.known[command.decided_hash]
        account = int(command.account)
        if block.state.owners.get(account) == on.KEEPER_OWNER:
            raise Violated("own_accounts_are_left_alone", f"{command.kind} of {account}")
        sender = command.sender or on.LANE_OWNER
        problem = chain.try_call(block, sender, command.call.to, command.call.data)
        if problem is not None and not _near(block, account, problem):
            said = f"{command.kind} of {account} at {block.number}: {problem}"
            raise Violated("only_what_the_venue_accepts", said)
        if command.kind == "start":
            _in_breach(block, account)
        if command.kind == "bid" and problem is None:
            _gains(block, command)


def caps_hold(
    commands: Sequence[Command], asked: int, sealed: BlockSealed, machine: Machine
) -> None:
    """Each command, and all that were asked on one block, stay within the limits of decisions."""
    limits = machine.parameters.limits
    if asked > limits.commands_per_block_max:
        raise Violated("commands_per_block", f"{asked} commands")
    for command in commands:
        now = command.gas * sealed.base_fee_wei + command.call.value_wei
        if not now <= command.spend_max_wei <= limits.spend_max_wei:
            raise Violated("spend_cap", f"command {command.id}: {command.spend_max_wei} wei")
        if command.gas > sealed.gas_limit:
            raise Violated("gas_fits_a_block", f"command {command.id}: {command.gas}")


def one_action_an_account(commands: Sequence[Command], hands: Hands) -> None:
    """An account with a live action gets no second one; ids are new and rise."""
    accounts = [int(each.account) for each in commands]
    if len(set(accounts)) != len(accounts):
        raise Violated("one_live_action", f"twice in one block: {accounts}")
    for command in commands:
        other = hands.live.get(int(command.account))
        if other is not None:
            raise Violated("one_live_action", f"{command.account}: #{other} and #{command.id}")
        if command.id in hands.slots:
            raise Violated("ids_are_used_once", f"#{command.id}")


def every_account_is_cleared(effects: Effects, block: Block) -> None:
    """Every account of the venue was margined, and the counts are the auditor's."""
    (assessment,) = effects.assessments
    accounts = [a for a, manager in block.state.managers.items() if manager == on.MANAGER]
    if assessment.accounts != len(accounts):
        raise Violated("every_account_every_block", f"{assessment.accounts} of {len(accounts)}")
    breaches = undecided = close = 0
    for account in accounts:
        try:
            margin = auditor.margin(block.state, account)
        except Reverts:
            undecided += 1
            continue
        close += abs(margin.mm) < TIE_USD
        breaches += margin.mm < 0.0
    if assessment.undecided != undecided:
        raise Violated("undecided_is_what_reverts", f"{assessment.undecided}, not {undecided}")
    if abs(assessment.breaches - breaches) > close:
        raise Violated("every_breach_is_seen", f"{assessment.breaches}, not {breaches}")


def every_breach_was_submitted(block: Block, live: Mapping[int, int]) -> None:
    """Once faults stopped, no breach is left without an auction or an action on its way."""
    state = block.state
    if not state.listed:
        return
    for account, manager in state.managers.items():
        owned = state.owners[account] == on.KEEPER_OWNER or account in on.BIDDERS
        if manager != on.MANAGER or owned or account in state.auctions or account in live:
            continue
        try:
            margin = auditor.margin(state, account)
        except Reverts:
            continue
        if margin.mm < -1.0:
            raise Violated("every_breach_is_submitted", f"account {account}: {margin.mm:.2f} USD")


def _in_breach(block: Block, account: int) -> None:
    try:
        margin = auditor.margin(block.state, account)
    except Reverts as error:
        raise Violated("no_start_without_a_margin", f"account {account}: {error}") from error
    if margin.mm > TIE_USD:
        raise Violated("no_healthy_account_is_liquidated", f"{account}: {margin.mm:.6f} USD")


def _gains(block: Block, command: Command) -> None:
    """A bid leaves its bidder with more at marks than before, as the auditor counts it."""
    bidder, state = int(command.call.data[74:138], 16), block.state.fork()
    before = auditor.margin(state, bidder).mtm
    execute(state, command.sender or on.LANE_OWNER, command.call.to, command.call.data)
    after = auditor.margin(state, bidder).mtm
    if after < before:
        raise Violated("bids_gain_at_marks", f"{command.account}: {before:.4f} -> {after:.4f}")


def _near(block: Block, account: int, problem: str) -> bool:
    """Tell whether an account is so near the line a refusal is about that neither side errs."""
    try:
        worst = auditor.margin(block.state, account)
        row = block.state.auctions.get(account)
        own = worst if row is None else auditor.under(block.state, account, row[0])
    except Reverts:
        return False
    buffered = own.mm + (own.mm - own.mtm) * block.state.rules[6] / on.WAD
    reserved = 0 if row is None else row[4]
    healed = (own.mm, own.mtm, buffered, own.mtm - reserved / on.WAD)
    lines: dict[str, tuple[float, ...]] = {
        "DA_AccountIsAboveMaintenanceMargin": (worst.mm,),
        "DA_ScenarioIdNotWorse": (own.mm - worst.mm,),
        "DA_AuctionCannotTerminate": healed,
        "DA_AuctionShouldBeTerminated": healed,
    }
    return any(abs(each) < TIE_USD for each in lines.get(problem, ()))


def _differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    found = []
    for part in ("tables", "columns"):
        for name, rows in theirs[part].items():
            if ours[part][name] != rows:
                odd = [each for each in ours[part][name] if each not in rows][:2]
                missing = [each for each in rows if each not in ours[part][name]][:2]
                found.append(f"{name}: have {odd}, chain has {missing}")
    if ours["positions"] != theirs["positions"]:
        odd = [each for each in ours["positions"] if each not in theirs["positions"]][:2]
        missing = [each for each in theirs["positions"] if each not in ours["positions"]][:2]
        found.append(f"positions: have {odd}, chain has {missing}")
    return found or ["another head"]
