"""A node that answers every view of a deployment from its tables: the inverse of a survey."""

from collections.abc import Callable, Sequence
from typing import Any

from eth_abi.abi import encode

from keeper.domain.events import Log
from keeper.ports import CallFailed, Header
from keeper.protocols.derive.abi import SELECTOR
from keeper.protocols.derive.tables import DIFF, FORWARD, STATIC_DIFF, STATIC_RATE, STATIC_SPOT
from keeper.protocols.derive.views.bundle import NOBODY
from keeper.protocols.derive.wiring import NOWHERE
from tests.unit.protocols.derive.deployment import AUCTION, CASH, SUB_ACCOUNTS, Deployment


VIEW = {selector: view for view, selector in SELECTOR.items()}
REVERTED = CallFailed("0x")


def words(*values: Any) -> str:
    """Return numbers, flags and addresses as words."""
    return "0x" + "".join(
        f"{(int(each, 16) if isinstance(each, str) else int(each)) % 2**256:064x}"
        for each in values
    )


class FakeReader:
    """A `ChainReader`; `reverts` names (address, view) pairs, `history` holds (number, log)."""

    def __init__(self, deployment: Deployment, header: Header, block_time_s: int = 2) -> None:
        self.tables = deployment.tables
        self.head = header
        self.block_time_s = block_time_s
        self.reverts: set[tuple[str, str]] = set()
        self.answers: dict[tuple[str, str], str] = {}
        self.history: list[tuple[int, Log]] = []
        self.scanned: list[tuple[int, int]] = []
        self.calls = 0  # views asked by themselves
        self.bundled = 0  # views asked in bundles
        self.bundles = True
        self.refused = 0  # bundles that were not run
        self.starved: set[str] = set()  # views that lack gas in a bundle
        self.reorged = False

    async def header(self, number: int | str) -> Header:
        if number in ("latest", self.head.number):
            return self._head()
        assert isinstance(number, int)
        age = (self.head.number - number) * self.block_time_s
        return Header(number, f"0x{number:064x}", "0x", self.head.timestamp - age, 0, 0)

    def _head(self) -> Header:
        if not self.reorged:
            return self.head
        head = self.head
        return Header(head.number, "0x" + "ff" * 32, head.parent, head.timestamp, 0, 0)

    async def call_many(
        self, calls: Sequence[tuple[str, str]], block: str, gas: int | None = None
    ) -> list[str | CallFailed]:
        assert block == self.head.hash, "a call that is not pinned"
        if calls and all(where == NOBODY for where, _ in calls):
            self.refused += 0 if self.bundles else len(calls)
            return [self._bundle(data) if self.bundles else REVERTED for _, data in calls]
        self.calls += len(calls)
        return [self._answer(where, data) for where, data in calls]

    def _bundle(self, data: str) -> CallFailed:
        """Answer what a bundle asks, as its program would: each with success and size, reverted."""
        raw, told = bytes.fromhex(data[2:]), b""
        at = raw[4]  # where the program says that it ends
        while at < len(raw):
            size = int.from_bytes(raw[at + 20 : at + 22], "big")
            asked = raw[at + 22 : at + 22 + size]
            self.bundled += 1
            answer = self._answer("0x" + raw[at : at + 20].hex(), "0x" + asked.hex())
            if isinstance(answer, CallFailed) or VIEW["0x" + asked[:4].hex()] in self.starved:
                told += bytes(32)
            else:
                body = bytes.fromhex(answer[2:])
                told += (1 << 128 | len(body)).to_bytes(32, "big") + body
            at += 22 + size
        return CallFailed("0x" + told.hex())

    async def logs(
        self, addresses: Sequence[str], topics: Sequence[str], first: int, last: int
    ) -> list[tuple[int, str, Log]]:
        self.scanned.append((first, last))
        return [
            (number, "0x", log)
            for number, log in self.history
            if first <= number <= last and log.address in addresses and log.topics[0] in topics
        ]

    async def code(self, address: str, block: str) -> str:
        return "0x00"

    def _answer(self, where: str, data: str) -> str | CallFailed:
        view = VIEW[data[:10]]
        if (where, view) in self.reverts:
            return REVERTED
        if (where, view) in self.answers:
            return self.answers[where, view]
        argument = int(data[10:74] or "0", 16)
        for contract in (self._hub, self._cash, self._auction, self._manager, self._lib):
            answer = contract(where, view, argument)
            if answer is not None:
                return answer
        answer = self._perp(where, view, argument) or self._feed(where, view, argument)
        return REVERTED if answer is None else answer

    def _hub(self, where: str, view: str, account: int) -> str | None:
        if where != SUB_ACCOUNTS:
            return None
        tables, portfolio = self.tables, self.tables.portfolio
        if view == "lastAccountId":
            return words(max(each for each, _ in tables.accounts.items()))
        if view == "manager":
            return words(tables.accounts[account])
        if view == "ownerOf":
            return words(tables.owners[account])
        row = tables.row(account)
        balances = [
            (portfolio.instruments[each].address, portfolio.instruments[each].sub_id, quantity)
            for each, quantity in portfolio.positions.held(row)
        ]
        if tables.cash.get(row):
            balances.append((CASH, 0, tables.cash.get(row)))
        return "0x" + encode(["(address,uint256,int256)[]"], [balances]).hex()

    def _cash(self, where: str, view: str, account: int) -> str | None:
        state = self.tables.cash_state[CASH]
        names = ("totalSupply", "totalBorrow", "borrowIndex", "supplyIndex", "lastTimestamp")
        names += ("netSettledCash", "smFeePercentage", "previousSmFeePercentage")
        names += ("temporaryWithdrawFeeEnabled", "rateModel")
        if where == CASH and view == "accountIdIndex":
            return words(self.tables.cash_index.get(self.tables.row(account)))
        if where == CASH:
            return words(state[names.index(view)])
        if where == state.rate_model:
            fields = ("minRate", "rateMultiplier", "highRateMultiplier", "optimalUtil")
            return words(self.tables.rate_models[where][fields.index(view)])
        return None

    def _auction(self, where: str, view: str, argument: int) -> str | None:
        if where != AUCTION:
            return None
        rules = self.tables.auction_rules[AUCTION]
        if view == "getAuction":
            row = self.tables.auctions.get(argument)
            if row is None:
                return words(argument, 0, 0, 0, 0, 0, 0)
            return words(argument, row[0], row[1], 1, row[3], row[2], row[4])
        views: dict[str, Callable[[], str]] = {
            "getAuctionParams": lambda: words(*rules[:7]),
            "mtmCutoff": lambda: words(rules.mtm_cutoff),
            "smAccount": lambda: words(rules.security_account),
            "managerWhitelisted": lambda: words(self.tables.whitelist[f"0x{argument:040x}"]),
        }
        return views[view]()

    def _manager(self, where: str, view: str, argument: int) -> str | None:
        row = self.tables.managers.get(where)
        if row is None:
            return None
        names = ("underlying", "option", "perp", "lib", "spotFeed", "stableFeed", "forwardFeed")
        names += ("interestRateFeed", "volFeed", "maxAccountSize", "maxExpiries")
        names += ("adjustmentsPaused",)
        if view == "getScenarios":
            scenarios = [tuple(each) for _, each in self.tables.scenarios.items()]
            return "0x" + encode(["(uint256,uint8,uint256)[]"], [scenarios]).hex()
        if view == "getAccountLib":
            return words(self.tables.overrides.get(argument) or row.lib)
        if view == "collateralSpotFeeds":
            feed = self.tables.collateral_feeds.get((where, f"0x{argument:040x}"))
            return words(feed or NOWHERE)
        return words(row[names.index(view)])

    def _lib(self, where: str, view: str, argument: int) -> str | None:
        tables = self.tables
        if where not in tables.margin:
            return None
        if view == "getCollateralParameters":
            row = tables.collaterals.get((where, f"0x{argument:040x}"))
            return words(*(row or (0, 0, 0, 0)))
        groups: dict[str, Any] = {
            "getBasisContingencyParams": tables.basis,
            "getOtherContingencyParams": tables.other,
            "getMarginParams": tables.margin,
            "getVolShockParams": tables.vol_shock,
            "getSkewShockParams": tables.skew,
        }
        return words(*groups[view][where])

    def _perp(self, where: str, view: str, account: int) -> str | None:
        tables = self.tables
        row = tables.perps.get(where)
        if row is None:
            return None
        if view == "positions":
            at = tables.row(account)
            columns = (
                tables.perp_mark,
                tables.perp_funding,
                tables.perp_pnl,
                tables.perp_aggregated,
            )
            return words(*(column.get(at) for column in columns), 0)
        names = ("aggregatedFunding", "lastFundingPaidAt", "fundingConvergencePeriod")
        names += ("maxRatePerHour", "minRatePerHour", "staticInterestRate", "isDisabled")
        names += ("frozenPerpPrice", "spotFeed", "perpFeed", "impactAskPriceFeed")
        names += ("impactBidPriceFeed",)
        return words(row[names.index(view)])

    def _feed(self, where: str, view: str, argument: int) -> str | None:
        tables = self.tables
        rules = tables.feeds.get(where)
        if rules is None:
            return None
        static = rules.kind in (STATIC_SPOT, STATIC_DIFF, STATIC_RATE)
        diff, spot = tables.diffs.get(where), tables.spots.get(where)
        shown: dict[str, str | None] = {
            "heartbeat": None if static else words(rules.heartbeat_s),
            "settlementHeartbeat": words(rules.settlement_heartbeat_s)
            if rules.kind == FORWARD
            else None,
            "spotFeed": words(rules.spot_feed) if rules.spot_feed != NOWHERE else None,
            "spotDiffCap": words(rules.diff_cap) if rules.kind == DIFF else None,
            "spotDiffDetails": words(*diff) if diff else words(0, 0, 0),
            "getSpot": words(*spot[:2]) if spot else None,
        }
        if view == "getSettlementPrice":
            price = tables.settled.get((where, argument))
            return words(price is not None, price or 0)
        if view == "getInterestRate" and rules.kind == STATIC_RATE:
            return words(*tables.rates[where, 0][:2])
        if view == "getResult" and diff:
            base = tables.spots[rules.spot_feed]
            return words(base.price + diff.diff, diff.confidence)
        return shown.get(view)
