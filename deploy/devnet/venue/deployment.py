"""The whole development venue, deployed and wired: what stands where, and how accounts are seeded.

It knows every contract's constructor and owner calls; it must not know prices or the keeper. Two
accounts matter: `sender` owns all contracts and is the feeds' permitted publisher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node
from deploy.devnet.venue.parameters import BookParameters, HeartbeatParameters, VenueParameters


# A seeding transaction stays below the 30M gas that a block of a real chain might hold.
SEED_BALANCES_MAX = 120
SEED_GAS = 29_000_000
MANAGER_GAS = 3_000_000

# (asset, subId, balance), as `SubAccounts.seed` takes them.
SeedBalance = tuple[str, int, int]


@dataclass(frozen=True)
class SeedAccount:
    """An account to be opened with balances: owner and manager are addresses."""

    owner: str
    manager: str
    balances: tuple[SeedBalance, ...]

    @property
    def struct(self) -> tuple[str, str, list[SeedBalance]]:
        """As the contract takes it."""
        return (self.owner, self.manager, list(self.balances))


@dataclass(frozen=True)
class Core:
    """What every book shares."""

    sub_accounts: Contract
    cash: Contract
    usdc: Contract
    rate_model: Contract
    auction: Contract
    security_module: Contract
    auction_utils: Contract
    data_submitter: Contract
    stable_feed: Contract


@dataclass(frozen=True)
class Collateral:
    """One collateral of one book."""

    symbol: str
    asset: Contract
    feed: Contract


@dataclass(frozen=True)
class Book:
    """One margin book: its manager, the assets it margins and the feeds it reads."""

    underlying: str
    manager: Contract
    lib: Contract
    option: Contract
    perp: Contract
    collaterals: tuple[Collateral, ...]
    spot_feed: Contract
    perp_feed: Contract
    impact_ask_feed: Contract
    impact_bid_feed: Contract
    forward_feed: Contract
    vol_feed: Contract
    rate_feed: Contract


@dataclass(frozen=True)
class Venue:
    """Everything that stands after `deploy_venue`; `sender` owns it all."""

    core: Core
    books: tuple[Book, ...]
    tokens: dict[str, Contract]
    parameters: VenueParameters
    sender: Sender
    start_block: int


def deploy_venue(
    node: Node, parameters: VenueParameters | None = None, owner: str | None = None
) -> Venue:
    """Deploy and wire a venue in about a second. Raises TransactionFailed, ArtifactError, OSError.

    `owner` is an unlocked account of the node, by default its first. The node's clock stands still
    from here on: a block that is given no second has its parent's. However slow the machine, it
    never gets ahead of a market that says the second of each of its blocks.
    """
    chosen = parameters if parameters is not None else VenueParameters()
    node.call("anvil_setBlockTimestampInterval", 0)
    start_block = int(node.call("eth_blockNumber"), 16)
    sender = Sender(node.rpc, owner if owner is not None else node.call("eth_accounts")[0])
    core = deploy_core(sender, chosen)
    spots = {each.underlying: _spot_feed(sender, chosen.heartbeats) for each in chosen.books}
    assets, tokens = _deploy_collaterals(sender, core, chosen, spots)
    deployer = _BookDeployer(sender, core, chosen.heartbeats, spots, assets)
    books = tuple(deployer.deploy(each) for each in chosen.books)
    _fund_security_module(sender, core, chosen.security_module_usdc)
    sender.flush()
    return Venue(core, books, tokens, chosen, sender, start_block)


def keeper_config(venue: Venue) -> dict[str, Any]:
    """List the addresses a keeper is configured with; all else it reads from the chain."""
    core = venue.core
    return {
        "sub_accounts": core.sub_accounts.address,
        "cash": core.cash.address,
        "auction": core.auction.address,
        "managers": [book.manager.address for book in venue.books],
        "auction_utils": core.auction_utils.address,
        "data_submitter": core.data_submitter.address,
        "start_block": venue.start_block,
    }


def seed(venue: Venue, accounts: Sequence[SeedAccount]) -> range:
    """Open `accounts` with their balances, no risk asked; the account ids, in order.

    Events are those of transfers and cash totals are kept. Tokens are minted into the cash asset
    for what depositors hold beyond what borrowers owe, so that cash stays fully backed. A perpetual
    needs fresh quotes when it is seeded, as it does when it is traded.
    """
    core, sender = venue.core, venue.sender
    first = int(core.sub_accounts.call(sender.rpc, "lastAccountId")) + 1
    chunk: list[SeedAccount] = []
    held = 0
    for account in accounts:
        if chunk and held + len(account.balances) > SEED_BALANCES_MAX:
            _queue_seed(venue, chunk)
            chunk, held = [], 0
        chunk.append(account)
        held += len(account.balances) + 1
    if chunk:
        _queue_seed(venue, chunk)
    net = sum(
        amount
        for each in accounts
        for asset, _, amount in each.balances
        if asset == core.cash.address
    )
    if net > 0:
        sender.send(core.usdc, "mint", core.cash.address, net // 10**12 + 1)
    sender.flush()
    return range(first, first + len(accounts))


def _queue_seed(venue: Venue, chunk: Sequence[SeedAccount]) -> None:
    structs = [each.struct for each in chunk]
    venue.sender.send(venue.core.sub_accounts, "seed", structs, gas=SEED_GAS)


def deploy_core(sender: Sender, parameters: VenueParameters) -> Core:
    """Queue all that books share, wired; mined at the sender's next flush."""
    rate = parameters.rate
    usdc = sender.deploy("MockERC20", "USDC", 6)
    model = sender.deploy(
        "InterestRateModel", rate.minimum, rate.slope, rate.high_slope, rate.optimal_utilisation
    )
    accounts = sender.deploy("SubAccounts")
    cash = sender.deploy("CashAsset", accounts.address, usdc.address, model.address)
    module = sender.deploy("SecurityModule", accounts.address, cash.address)
    auction = sender.deploy("DutchAuction", accounts.address, module.address, cash.address)
    auction_utils = sender.deploy(
        "LyraAuctionUtils", accounts.address, auction.address, cash.address
    )
    submitter = sender.deploy("OracleDataSubmitter")
    stable = _spot_feed(sender, parameters.heartbeats, parameters.heartbeats.stable)
    # The module's account is the first of the venue: it is opened in the module's constructor.
    sender.send(cash, "setWhitelistManager", module.address, True)
    sender.send(cash, "setLiquidationModule", auction.address)
    sender.send(cash, "setSmFeeRecipient", 1)
    sender.send(cash, "setSmFee", rate.sm_fee)
    sender.send(module, "setWhitelistModule", auction.address, True)
    sender.send(auction, "setSMAccount", 1)
    sender.send(auction, "setAuctionParams", parameters.auction.struct)
    sender.send(auction, "setMtmCutoff", parameters.auction.mtm_cutoff)
    return Core(accounts, cash, usdc, model, auction, module, auction_utils, submitter, stable)


def _fund_security_module(sender: Sender, core: Core, usdc: int) -> None:
    amount = usdc * 10**6
    sender.send(core.usdc, "mint", sender.address, amount)
    sender.send(core.usdc, "approve", core.cash.address, 2**256 - 1)
    if amount > 0:
        sender.send(core.cash, "deposit", 1, amount)


def _spot_feed(
    sender: Sender, heartbeats: HeartbeatParameters, heartbeat: int | None = None
) -> Contract:
    return _feed(sender, "LyraSpotFeed", heartbeats.spot if heartbeat is None else heartbeat)


def _feed(sender: Sender, name: str, heartbeat: int, *arguments: Any) -> Contract:
    feed = sender.deploy(name, *arguments)
    sender.send(feed, "setHeartbeat", heartbeat)
    sender.send(feed, "setPublisher", sender.address, True)
    return feed


def _deploy_collaterals(
    sender: Sender, core: Core, parameters: VenueParameters, spots: dict[str, Contract]
) -> tuple[dict[str, Contract], dict[str, Contract]]:
    """Assets and tokens by symbol; a spot feed is added to `spots` where no book has one."""
    assets: dict[str, Contract] = {}
    tokens: dict[str, Contract] = {"USDC": core.usdc}
    for each in (one for book in parameters.books for one in book.collaterals):
        if each.underlying not in spots:
            spots[each.underlying] = _spot_feed(sender, parameters.heartbeats)
        if each.symbol not in assets:
            token = sender.deploy("MockERC20", each.symbol, each.decimals)
            asset = sender.deploy("WrappedERC20Asset", core.sub_accounts.address, token.address)
            assets[each.symbol], tokens[each.symbol] = asset, token
    return assets, tokens


@dataclass(frozen=True)
class _BookDeployer:
    """Queues one book after another on the shared core."""

    sender: Sender
    core: Core
    heartbeats: HeartbeatParameters
    spots: dict[str, Contract]
    assets: dict[str, Contract]

    def deploy(self, book: BookParameters) -> Book:
        """One manager, its library, option, perpetual and feeds, wired and with its parameters."""
        sender, spot = self.sender, self.spots[book.underlying]
        beats = self.heartbeats
        forward = _feed(sender, "LyraForwardFeed", beats.forward, spot.address)
        sender.send(forward, "setSettlementHeartbeat", beats.settlement)
        vol = _feed(sender, "LyraVolFeed", beats.vol)
        rate = _feed(sender, "LyraRateFeed", beats.rate)
        option = sender.deploy("OptionAsset", self._accounts, forward.address)
        perp, perp_feeds = self._perp(book, spot)
        lib = self._lib(book)
        feeds = (spot, self.core.stable_feed, forward, rate, vol)
        manager = sender.deploy(
            "PMRM_2_1",
            self._accounts,
            self.core.cash.address,
            option.address,
            perp.address,
            lib.address,
            self.core.auction.address,
            tuple(feed.address for feed in feeds),
        )
        collaterals = self._collaterals(book, manager, lib)
        self._admit(book, manager, (option, perp), (*feeds, *perp_feeds))
        return Book(
            book.underlying,
            manager,
            lib,
            option,
            perp,
            collaterals,
            spot,
            *perp_feeds,
            forward_feed=forward,
            vol_feed=vol,
            rate_feed=rate,
        )

    @property
    def _accounts(self) -> str:
        return self.core.sub_accounts.address

    def _perp(
        self, book: BookParameters, spot: Contract
    ) -> tuple[Contract, tuple[Contract, Contract, Contract]]:
        sender, beats = self.sender, self.heartbeats
        perp = sender.deploy("PerpAsset", self._accounts)
        mark, ask, bid = (
            _feed(sender, "LyraSpotDiffFeed", beat, spot.address)
            for beat in (beats.perp, beats.impact, beats.impact)
        )
        for feed in (mark, ask, bid):
            sender.send(feed, "setSpotDiffCap", book.perp.spot_diff_cap)
        # The bounds go last: with none, the setters before them need no quote.
        sender.send(perp, "setStaticInterestRate", book.perp.static_rate)
        sender.send(perp, "setConvergencePeriod", book.perp.convergence_hours)
        sender.send(perp, "setRateBounds", book.perp.max_rate)
        sender.send(perp, "setSpotFeed", spot.address)
        sender.send(perp, "setPerpFeed", mark.address)
        sender.send(perp, "setImpactFeeds", ask.address, bid.address)
        return perp, (mark, ask, bid)

    def _lib(self, book: BookParameters) -> Contract:
        lib, margin = self.sender.deploy("PMRMLib_2"), book.margin
        self.sender.send(lib, "setBasisContingencyParams", margin.basis)
        self.sender.send(lib, "setMarginParams", margin.margin)
        self.sender.send(lib, "setOtherContingencyParams", margin.other)
        self.sender.send(lib, "setVolShockParams", margin.vol_shock)
        self.sender.send(lib, "setSkewShockParams", margin.skew)
        return lib

    def _collaterals(
        self, book: BookParameters, manager: Contract, lib: Contract
    ) -> tuple[Collateral, ...]:
        found = []
        for each in book.collaterals:
            asset, feed = self.assets[each.symbol], self.spots[each.underlying]
            haircuts = (True, each.risk_cancelling, each.mm_haircut, each.im_haircut)
            self.sender.send(lib, "setCollateralParameters", asset.address, haircuts)
            self.sender.send(manager, "setCollateralSpotFeed", asset.address, feed.address)
            self.sender.send(asset, "setWhitelistManager", manager.address, True)
            found.append(Collateral(each.symbol, asset, feed))
        return tuple(found)

    def _admit(
        self,
        book: BookParameters,
        manager: Contract,
        assets: Sequence[Contract],
        feeds: Sequence[Contract],
    ) -> None:
        """Scenarios and limits, and leave to touch assets, auction and feeds."""
        sender = self.sender
        sender.send(manager, "setScenarios", list(book.margin.scenarios), gas=MANAGER_GAS)
        sender.send(manager, "setMaxAccountSize", book.margin.max_account_size)
        sender.send(manager, "setMaxExpiries", book.margin.max_expiries)
        for asset in (*assets, self.core.cash):
            sender.send(asset, "setWhitelistManager", manager.address, True)
        sender.send(self.core.auction, "setWhitelistManager", manager.address, True)
        for feed in feeds:
            sender.send(manager, "setWhitelistedCallee", feed.address, True)
