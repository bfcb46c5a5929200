"""What the chain would have allowed, block by block: the judge of a run, asked after it.

An independent scalar model says which accounts stand near the line; for all of those, and for a
seeded few of the rest, the chain itself is asked whether `startAuction` would have succeeded at the
end of each block. It must not use the keeper's code: the two would share their mistakes.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from deploy.devnet.contract import Contract
from deploy.devnet.driver import Driver, wad_of
from deploy.devnet.market import YEAR_S, Moment
from deploy.devnet.rpc import RpcError
from deploy.devnet.venue import Book
from tests.reference import pmrm2_scalar as scalar


NEAR_SHARE = 0.02
REST_SHARE = 0.05
CALL_GAS = 500_000_000
CALLS_PER_BATCH = 200
SHOCKS = ("None", "Up", "Down", "Linear", "Abs")
ASKER = "0x000000000000000000000000000000000000a51c"


@dataclass(frozen=True)
class BlockTruth:
    """One block: who could be started, of how many asked; `basis_worst` by the scalar model."""

    number: int
    allowed: tuple[int, ...]
    asked: int
    interest_only: tuple[int, ...]
    basis_worst: tuple[int, ...]


@dataclass(frozen=True)
class Standing:
    """The scalar model's verdict on one account at one block."""

    account: int
    excess: float
    gross: float
    worst: int
    scenarios: int

    @property
    def handed(self) -> int:
        """The scenario to hand to the chain; basis contingency counts under every index."""
        return 0 if self.worst == self.scenarios else self.worst


@dataclass(frozen=True)
class Case:
    """One block's inputs of the scalar model, small enough to send to another process."""

    moment: Moment
    timestamp: int
    accounts: tuple[tuple[int, str, dict[tuple[str, int], int], int, int], ...]


@dataclass
class Truth:
    """Asks about the blocks of a run; `progress` is told the share that is done."""

    driver: Driver
    seed: int
    holdings: dict[int, dict[tuple[str, int], int]] = field(default_factory=dict)

    def blocks(self, first: int, last: int, workers: int = 2) -> Iterator[BlockTruth]:
        """Yield the truth of each block of the closed range, in order."""
        rules = {book.underlying: Terms(self.driver, book) for book in self.driver.venue.books}
        cases = self._cases(first, last)
        with ProcessPoolExecutor(workers) as pool:
            verdicts = pool.map(_verdicts, ((rules, case) for case in cases), chunksize=4)
            for number, standings in zip(range(first, last + 1), verdicts, strict=True):
                yield self._ask(number, standings)

    def _cases(self, first: int, last: int) -> list[Case]:
        """Gather each block's holdings, cash with interest and perpetual value from the chain."""
        changes = self._changes(last)
        timestamps = self._timestamps(first, last)
        cases = []
        position = 0
        for number in range(first, last + 1):
            while position < len(changes) and changes[position][0] <= number:
                _, account, key, balance = changes[position]
                held = self.holdings.setdefault(account, {})
                if balance:
                    held[key] = balance
                else:
                    held.pop(key, None)
                position += 1
            timestamp = timestamps[number]
            cases.append(Case(self._moment(timestamp), timestamp, self._accounts(number)))
        return cases

    def _changes(self, last: int) -> list[tuple[int, int, tuple[str, int], int]]:
        core = self.driver.venue.core
        topic = core.sub_accounts.topics["BalanceAdjusted"]
        query = {
            "address": core.sub_accounts.address,
            "topics": [topic],
            "fromBlock": hex(self.driver.venue.start_block),
            "toBlock": hex(last),
        }
        changes = []
        for log in self.driver.node.call("eth_getLogs", query):
            packed = int(log["topics"][3], 16)
            key = (f"0x{packed >> 96:040x}", packed & (1 << 96) - 1)
            balance = _word(log["data"], 2)
            changes.append((int(log["blockNumber"], 16), int(log["topics"][1], 16), key, balance))
        return changes

    def _timestamps(self, first: int, last: int) -> dict[int, int]:
        calls = [("eth_getBlockByNumber", [hex(n), False]) for n in range(first, last + 1)]
        answers = self.driver.node.batch(calls)
        return {int(each["number"], 16): int(each["timestamp"], 16) for each in answers}

    def _moment(self, timestamp: int) -> Moment:
        played = [each for each in self.driver.moments if each.timestamp <= timestamp]
        return played[-1]

    def _accounts(
        self, number: int
    ) -> tuple[tuple[int, str, dict[tuple[str, int], int], int, int], ...]:
        """Return (account, underlying, holdings, cash with interest, perpetual value)."""
        core = self.driver.venue.core
        cash_key = (core.cash.address.lower(), 0)
        plans = {each.account: each.plan.underlying for each in self.driver.seeded}
        asked: list[tuple[int, str, Contract, str]] = []
        for account, underlying in plans.items():
            held = self.holdings[account]
            perp = self.driver.book(underlying).perp
            if held.get(cash_key, 0) < 0:
                asked.append((account, "cash", core.cash, "calculateBalanceWithInterest"))
            if (perp.address.lower(), 0) in held:
                asked.append((account, "perp", perp, "getUnsettledAndUnrealizedCash"))
        answers = self._calls([(c, c.encode(name, a)) for a, _, c, name in asked], number)
        values = {
            (account, what): _word(str(answer), 0)
            for (account, what, _, _), answer in zip(asked, answers, strict=True)
        }
        return tuple(
            (
                account,
                underlying,
                dict(self.holdings[account]),
                values.get((account, "cash"), self.holdings[account].get(cash_key, 0)),
                values.get((account, "perp"), 0),
            )
            for account, underlying in plans.items()
        )

    def _ask(self, number: int, standings: Sequence[Standing]) -> BlockTruth:
        chance = random.Random(f"{self.seed}:{number}")
        asked = [
            each
            for each in standings
            if each.excess < NEAR_SHARE * each.gross or chance.random() < REST_SHARE
        ]
        auction = self.driver.venue.core.auction
        answers = self._calls(
            [(auction, auction.encode("startAuction", e.account, e.handed)) for e in asked],
            number,
        )
        allowed = [
            each.account
            for each, answer in zip(asked, answers, strict=True)
            if not isinstance(answer, RpcError)
        ]
        return BlockTruth(
            number=number,
            allowed=tuple(allowed),
            asked=len(asked),
            interest_only=self._healthy_to_views(allowed, number),
            basis_worst=tuple(e.account for e in standings if e.worst == e.scenarios),
        )

    def _healthy_to_views(self, allowed: Sequence[int], number: int) -> tuple[int, ...]:
        """Return which of the allowed the margin view still calls healthy: interest alone."""
        plans = {each.account: each.plan.underlying for each in self.driver.seeded}
        views = [
            (manager, manager.encode("getMargin", account, False))
            for account in allowed
            for manager in [self.driver.book(plans[account]).manager]
        ]
        answers = self._calls(views, number)
        return tuple(
            account
            for account, answer in zip(allowed, answers, strict=True)
            if not isinstance(answer, RpcError) and _word(str(answer), 0) >= 0
        )

    def _calls(self, calls: Sequence[tuple[Contract, str]], number: int) -> list[Any]:
        requests = [
            (
                "eth_call",
                [
                    {"to": each.address, "data": data, "from": ASKER, "gas": hex(CALL_GAS)},
                    hex(number),
                ],
            )
            for each, data in calls
        ]
        answers: list[Any] = []
        for at in range(0, len(requests), CALLS_PER_BATCH):
            answers += self.driver.node.rpc.try_batch(requests[at : at + CALLS_PER_BATCH])
        return answers


class Terms:
    """One book's rules and assets, as plain values for the scalar model."""

    def __init__(self, driver: Driver, book: Book) -> None:
        parameters = next(
            each for each in driver.venue.parameters.books if each.underlying == book.underlying
        )
        self.underlying = book.underlying
        self.option = book.option.address.lower()
        self.perp = book.perp.address.lower()
        self.rules = rules_of(parameters.margin)
        self.collaterals = {
            each.asset.address.lower(): next(
                p for p in parameters.collaterals if p.symbol == each.symbol
            )
            for each in book.collaterals
        }

    def quotes(self, moment: Moment, timestamp: int) -> scalar.Quotes:
        """Return what this book's feeds say at a moment, aged to `timestamp`."""
        quote = next(u for u in moment.underlyings if u.underlying == self.underlying)
        spot = _as_published(quote.spot)
        lines: dict[Hashable, scalar.ExpiryQuote] = {
            line.expiry: scalar.ExpiryQuote(
                seconds=float(max(0, line.expiry - timestamp)),
                forward_fixed=0.0,
                forward_variable=spot + _as_published(line.forward_less_spot),
                rate=_as_published(line.rate),
                confidence=1.0,
            )
            for line in quote.expiries
        }
        perp = spot + _as_published(quote.perp_less_spot)
        return scalar.Quotes(spot, 1.0, perp, 1.0, 1.0, lines)

    def portfolio(
        self,
        moment: Moment,
        held: dict[tuple[str, int], int],
        cash: int,
        perp_value: int,
    ) -> scalar.Portfolio:
        """Return an account's holdings as the scalar model takes them."""
        quote = next(u for u in moment.underlyings if u.underlying == self.underlying)
        smiles = {line.expiry: line.smile for line in quote.expiries}
        options = []
        assets = []
        perps = 0.0
        for (asset, sub_id), balance in held.items():
            amount = balance / 1e18
            if asset == self.option:
                expiry, strike = sub_id & 0xFFFFFFFF, (sub_id >> 32 & 2**63 - 1) / 1e8
                smile = smiles[expiry]
                numbers = (
                    smile.a,
                    smile.b,
                    smile.rho,
                    smile.m,
                    smile.sigma,
                    smile.forward,
                    smile.years,
                )
                vol = scalar.svi_vol(strike, *[_as_published(each) for each in numbers])
                is_call = bool(sub_id >> 95)
                options.append(scalar.Option(expiry, strike, is_call, amount, vol))
            elif asset == self.perp:
                perps = amount
            elif asset in self.collaterals:
                terms = self.collaterals[asset]
                price = next(
                    (u.spot for u in moment.underlyings if u.underlying == terms.underlying), 1.0
                )
                assets.append(
                    scalar.Asset(
                        amount=amount,
                        price=_as_published(price),
                        confidence=1.0,
                        risk_cancelling=terms.risk_cancelling,
                        mm_haircut=terms.mm_haircut / 1e18,
                        im_haircut=terms.im_haircut / 1e18,
                    )
                )
        return scalar.Portfolio(
            cash / 1e18, perps, perp_value / 1e18, tuple(options), tuple(assets)
        )


def rules_of(margin: Any) -> scalar.Rules:
    """Return deployed margin parameters as the scalar model's rules."""
    shocks = tuple(
        scalar.Shock(spot / 1e18, SHOCKS[vol], damping / 1e18)
        for spot, vol, damping in margin.scenarios
    )
    vol = margin.vol_shock
    numbers = [each / 1e18 for each in (*margin.basis, *margin.margin, *margin.other, *vol[:4])]
    numbers += [float(vol[4]), vol[5] / 1e18]  # the floor on time is in plain seconds
    numbers += [each / 1e18 for each in margin.skew]
    return scalar.Rules(shocks, *numbers)


def _verdicts(job: tuple[dict[str, Terms], Case]) -> list[Standing]:
    terms, case = job
    quotes = {name: each.quotes(case.moment, case.timestamp) for name, each in terms.items()}
    standings = []
    for account, underlying, held, cash, perp_value in case.accounts:
        its = terms[underlying]
        portfolio = its.portfolio(case.moment, held, cash, perp_value)
        outcome = scalar.assess(portfolio, quotes[underlying], its.rules)
        spot = quotes[underlying].spot
        gross = abs(portfolio.cash) + abs(portfolio.perps) * spot
        gross += sum(abs(option.amount) for option in portfolio.options) * spot
        gross += sum(asset.amount * asset.price for asset in portfolio.assets)
        shocks = len(its.rules.scenarios)
        standings.append(Standing(account, outcome.mm, gross, outcome.worst, shocks))
    return standings


def _as_published(value: float) -> float:
    return wad_of(value) / 1e18


def _word(data: str, index: int) -> int:
    value = int(data[2 + 64 * index : 66 + 64 * index], 16)
    return value - 2**256 if value >= 2**255 else value


assert YEAR_S == scalar.YEAR, "two rooms, one year"
