"""The report of a run: one flat document, and the conditions under which the run was good.

Pure: it gets all its evidence. It must not know nodes, contracts or the keeper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.devnet.judge.margins import MarginCheck
from deploy.devnet.judge.payout import Payout
from deploy.devnet.judge.service import ServiceRecord
from deploy.devnet.judge.spending import CapUse
from deploy.devnet.judge.verdict import Start, Verdict, quantile


LATENCY_BLOCKS_MAX = 1
MARGIN_ERROR_MAX = 1e-8
AUCTIONS_MIN = 20
BREACHES_AT_ONCE_MIN = 5
LARGE_BOOKS_MIN = 5
EXPIRIES_MIN = 3


@dataclass(frozen=True)
class Toy:
    """What a run must contain to prove anything, counted."""

    interest_only_breaches: int
    basis_worst_accounts: int
    basis_worst_breaches: int
    books_of_30_options: int
    expiries: int


@dataclass(frozen=True)
class Latencies:
    """The keeper's own latencies, milliseconds: median and 99th percentile of each stage."""

    received_to_decided_ms: tuple[float, float]
    decided_to_sent_ms: tuple[float, float]


@dataclass(frozen=True)
class Through:
    """The executor contract of a run: who it is, what it holds at the end, what the caps held.

    `guard_refused_before` counts refusals in the trial before the send, by reason.
    """

    executor: str
    owner: str
    bidders: int
    payout: Payout
    caps: Mapping[str, CapUse]
    guard_refused_before: Mapping[str, int]


@dataclass(frozen=True)
class Evidence:
    """All that a report is made of; money in USD."""

    seed: int
    accounts: int
    blocks: int
    pace_s: float
    lane_capacity: int
    verdict: Verdict
    starts: Sequence[Start]
    far_allowed: int
    service: ServiceRecord
    through: Through
    latencies: Latencies
    module_paid_usd: float
    socialised_usd: float
    negative_equity_usd: float
    margins: MarginCheck
    toy: Toy
    exit_code: int
    replayed: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Check:
    """One condition of a good run."""

    name: str
    passed: bool
    detail: str


def document(evidence: Evidence) -> dict[str, Any]:
    """Return the report as build/demo.json holds it; keys are those of the project's promise."""
    verdict, service, latencies = evidence.verdict, evidence.service, evidence.latencies
    paid = evidence.module_paid_usd + evidence.socialised_usd
    found = checks(evidence)
    return {
        "passed": all(each.passed for each in found),
        "accounts": evidence.accounts,
        "blocks": evidence.blocks,
        "breaches": len(verdict.stretches) + len(verdict.started_unseen),
        "breaches_per_block_max": verdict.breaches_per_block_max,
        "lane_capacity": evidence.lane_capacity,
        "auctions_started": len(evidence.starts),
        "bids_won": service.bids_won,
        "missed": len(verdict.missed),
        "false_starts": service.false_starts,
        "healed_before_inclusion": service.healed_before_inclusion,
        "start_latency_blocks_p50": quantile(verdict.latencies, 0.5),
        "start_latency_blocks_max": max(verdict.latencies, default=0),
        "received_to_decided_ms_p50": latencies.received_to_decided_ms[0],
        "received_to_decided_ms_p99": latencies.received_to_decided_ms[1],
        "decided_to_sent_ms_p50": latencies.decided_to_sent_ms[0],
        "decided_to_sent_ms_p99": latencies.decided_to_sent_ms[1],
        "bad_debt_usd": paid + evidence.negative_equity_usd,
        "margin_error_rel_max": evidence.margins.error_rel_max,
        "seed": evidence.seed,
        "pace_s": evidence.pace_s,
        "versions": evidence.versions,
        **executor_part(evidence),
        "no_toy": no_toy(evidence),
        "bad_debt": {
            "module_paid_usd": evidence.module_paid_usd,
            "socialised_usd": evidence.socialised_usd,
            "negative_equity_usd": evidence.negative_equity_usd,
        },
        "start_latency_blocks_max_fitting": max(verdict.fitting_latencies, default=0),
        "missed_stretches": [[each.account, each.first, each.last] for each in verdict.missed],
        "late": [[each.account, each.first, each.started] for each in verdict.late],
        "own_breaches": len(verdict.own),
        "transactions": {"sent": service.sent, **service.by_function},
        "reverted": dict(service.reverted),
        "margins_compared": evidence.margins.compared,
        "margins_reverting": len(evidence.margins.reverting),
        "replay": evidence.replayed,
        "checks": {each.name: each.passed for each in found},
    }


def executor_part(evidence: Evidence) -> dict[str, Any]:
    """Return what the report says of the executor contract, the guard and the caps."""
    service, through = evidence.service, evidence.through
    sent = sum(service.through_executor.values())
    return {
        "executor": {
            "address": through.executor,
            "owner": through.owner,
            "bidders": through.bidders,
            "starts": "sent directly: they hold no money, and a guard would refuse them in a crash",
        },
        "through_executor": {
            "sent": sent,
            "included": sent - service.executor_reverted,
            "reverted": service.executor_reverted,
            "by_function": dict(service.through_executor),
        },
        "guard_refusals": {
            "before_sending": dict(through.guard_refused_before),
            "on_chain": dict(service.guard_refused),
        },
        "caps": {name: asdict(each) for name, each in through.caps.items()},
        "payout": asdict(through.payout),
    }


def no_toy(evidence: Evidence) -> dict[str, int]:
    """Return the counts that tell a run from a toy."""
    return {
        "auctions_started": len(evidence.starts),
        "breaches_per_block_max": evidence.verdict.breaches_per_block_max,
        "insolvent_starts": sum(1 for each in evidence.starts if each.insolvent),
        "partial_bids": evidence.service.partial_bids,
        "interest_only_breaches": evidence.toy.interest_only_breaches,
        "basis_worst_accounts": evidence.toy.basis_worst_accounts,
        "basis_worst_breaches": evidence.toy.basis_worst_breaches,
        "books_of_30_options": evidence.toy.books_of_30_options,
        "expiries": evidence.toy.expiries,
    }


def checks(evidence: Evidence) -> list[Check]:
    """Return every condition of a good run, in the order in which they are told."""
    return [*_kept(evidence), *_held(evidence), *_exact(evidence), *_grown_up(evidence)]


def _kept(evidence: Evidence) -> list[Check]:
    verdict, service = evidence.verdict, evidence.service
    missed = [(each.account, each.first) for each in verdict.missed[:5]]
    late = [(each.account, each.latency) for each in verdict.late[:5]]
    unknown = f"{service.undecided_starts} refused starts that the ledger does not know"
    return [
        _check("missed = 0", not verdict.missed, f"(account, block): {missed}"),
        _check("false_starts = 0", service.false_starts == 0, f"{service.false_starts}"),
        _check("every refused start was decided", service.undecided_starts == 0, unknown),
        _check(
            f"start latency <= {LATENCY_BLOCKS_MAX} block where breaches fit the lanes",
            not verdict.late,
            f"(account, blocks): {late}",
        ),
        _check(
            "judge and chain agree on who is far from the line",
            evidence.far_allowed == 0,
            f"{evidence.far_allowed} allowed although the scalar model puts them far off",
        ),
        _check("keeper exits with 0", evidence.exit_code == 0, f"exit code {evidence.exit_code}"),
        _check(
            "journal replays equal",
            evidence.replayed.startswith("equal"),
            evidence.replayed,
        ),
    ]


def _held(evidence: Evidence) -> list[Check]:
    service, through = evidence.service, evidence.through
    sent = sum(service.through_executor.values())
    broken = [name for name, each in through.caps.items() if not each.kept]
    return [
        _check(
            "every bid goes through the executor contract",
            sent > 0 and service.bids_direct == 0,
            f"{sent} through it, {service.bids_direct} beside it",
        ),
        _check(
            "every cap is set and holds", bool(through.caps) and not broken, f"beyond: {broken}"
        ),
        _check(
            "only the cold owner can take what was bought",
            through.payout.kept,
            f"{through.payout.tries}",
        ),
    ]


def _exact(evidence: Evidence) -> list[Check]:
    margins = evidence.margins
    error = f"{margins.error_rel_max:.3g} of account {margins.worst_account}"
    return [
        _check(
            f"margin error <= {MARGIN_ERROR_MAX:g}",
            margins.compared > 0 and margins.error_rel_max <= MARGIN_ERROR_MAX,
            f"{error}, {margins.compared} compared",
        ),
        _check(
            "reverting views are exactly the no-trade set",
            not margins.unequal,
            f"accounts {list(margins.unequal[:5])}",
        ),
        _check(
            "every account is margined",
            not margins.missing,
            f"accounts {list(margins.missing[:5])} are not listed",
        ),
    ]


def _grown_up(evidence: Evidence) -> list[Check]:
    least = {
        "auctions_started": AUCTIONS_MIN,
        "breaches_per_block_max": BREACHES_AT_ONCE_MIN,
        "books_of_30_options": LARGE_BOOKS_MIN,
        "expiries": EXPIRIES_MIN,
    }
    return [
        _check(f"no toy: {name} >= {least.get(name, 1)}", count >= least.get(name, 1), f"{count}")
        for name, count in no_toy(evidence).items()
    ]


def _check(name: str, passed: bool, detail: str) -> Check:
    return Check(name, passed, detail)
