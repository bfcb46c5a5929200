"""What strangers do in a block, drawn from a seed: quotes, trades, rivals, rules, outages.

Draws everything before the block is made, so that an action is the same function of a state
wherever it lands. It must not know the keeper.
"""

import random
from collections.abc import Callable

from tests.simulation import places as on
from tests.simulation import venue_auctions as auctions
from tests.simulation.genesis import SPOT_USD, STRIKES, open_book, option_id, post_expiry
from tests.simulation.places import WAD, wad
from tests.simulation.sim_chain import Action
from tests.simulation.venue_truth import Truth


OUTAGES = (on.SPOT, on.STABLE, on.PERP_FEED, on.ASK, on.FORWARD, on.VOL, on.RATE, on.COIN_FEED)


class Workload:
    """Draws the actions of each next block; `calm` is what the world does once faults stop."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._dark: dict[str, int] = {}  # feed -> blocks until it is posted again

    def block(self) -> list[Action]:
        """Return a block's actions: quotes first, then whatever else happens."""
        chance = self._chance
        self._dark = {feed: left - 1 for feed, left in self._dark.items() if left > 1}
        if chance.random() < 0.06:
            self._dark[chance.choice(OUTAGES)] = chance.randrange(4, 22)
        actions = self._quotes()
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
            actions.append(chance.choices(ACTIONS, WEIGHTS)[0](random.Random(chance.random())))
        return actions

    def calm(self) -> list[Action]:
        """Return a block's actions where every feed is posted at the price that stands."""
        self._dark.clear()
        return [_post_spot(1.0), *_post_rest(self._dark, 0.05)]

    def _quotes(self) -> list[Action]:
        chance = self._chance
        move = chance.gauss(1.0, 0.006)
        if chance.random() < 0.05:
            move = chance.choice((0.72, 0.85, 0.9, 1.1, 1.2, 1.35))
        vol = chance.choice((0.03, 0.05, 0.05, 0.05, 0.12))
        actions = _post_rest(self._dark, vol) if chance.random() < 0.4 else []
        if on.SPOT not in self._dark and chance.random() < 0.8:
            actions.insert(0, _post_spot(move))
        return actions


def _post_spot(move: float) -> Action:
    def action(truth: Truth) -> None:
        # Towards where it came from, so that a long run does not end at nothing.
        price = truth.spots[on.SPOT][0] / WAD * move
        truth.post_spot(on.SPOT, wad(price + 0.02 * (SPOT_USD - price) * (move != 1.0)))

    return action


def _post_rest(dark: dict[str, int], vol: float) -> list[Action]:
    out = dict(dark)

    def action(truth: Truth) -> None:
        spot = truth.spots[on.SPOT][0] / WAD
        if on.COIN_FEED not in out:
            truth.post_spot(on.COIN_FEED, wad(spot), wad(0.9))
        if on.STABLE not in out:
            truth.post_spot(on.STABLE, WAD)
            truth.post_spot(on.SPARE, wad(0.985))
        for feed, diff in ((on.PERP_FEED, 1.0), (on.ASK, 2.0), (on.BID, 1.0)):
            if feed not in out:
                truth.post_diff(feed, wad(diff), wad(0.95))
        if not {on.FORWARD, on.VOL, on.RATE} & out.keys():
            for expiry in (on.SOON, on.LATER):
                post_expiry(truth, expiry, spot, vol)

    return [action]


# ── what else happens: each draws from its own chance when the block is made ──

Draw = Callable[[random.Random], Action]


def _account(truth: Truth, chance: random.Random, *, free: bool = True) -> int:
    """Return an account of the served manager; a free one has no auction."""
    found = [
        account
        for account, manager in truth.managers.items()
        if manager == on.MANAGER and not (free and account in truth.auctions)
    ]
    return chance.choice(found)


def _deposit(chance: random.Random) -> Action:
    usd = wad(chance.uniform(-400.0, 500.0))
    return lambda truth: truth.move_cash(_account(truth, chance), usd)


def _trade(chance: random.Random) -> Action:
    def action(truth: Truth) -> None:
        account, size = _account(truth, chance), wad(chance.uniform(-1.0, 1.0))
        asset = chance.choice((on.OPTION, on.OPTION, on.PERP, on.COIN))
        sub_id = 0
        if asset == on.OPTION:
            expiry = chance.choice([each for each in (on.SOON, on.LATER) if each > truth.now])
            sub_id = option_id(expiry, chance.choice(STRIKES), call=chance.random() < 0.5)
        held = truth.held.get((account, asset, sub_id), 0)
        if asset == on.COIN:
            size = max(size, -held)
        if held and chance.random() < 0.4:
            size = -held
        if size:
            truth.trade(account, asset, sub_id, size)
            truth.move_cash(account, -size // 4)

    return action


def _open(chance: random.Random) -> Action:
    return lambda truth: void(open_book(truth, chance))


def _stranger(chance: random.Random) -> Action:
    def action(truth: Truth) -> None:
        account = truth.create(on.STRANGER, on.OTHER_MANAGER)
        truth.move_cash(account, wad(chance.uniform(1.0, 500.0)))

    return action


def _hand_over(chance: random.Random) -> Action:
    owner = on.KEEPER_OWNER if chance.random() < 0.15 else on.at(chance.randrange(0x1000, 0x2000))

    def action(truth: Truth) -> None:
        account = _account(truth, chance)
        if account not in on.BIDDERS:  # who holds our bidder is us
            truth.hand_over(account, owner)

    return action


def _poke(chance: random.Random) -> Action:
    def action(truth: Truth) -> None:
        account = _account(truth, chance, free=False)
        chance.choice((truth.realize, truth.settle_perp, lambda it: truth.move_cash(it, 0)))(
            account
        )

    return action


def _rival(chance: random.Random) -> Action:
    """Let somebody else start, sell, convert, update, end or settle."""

    def action(truth: Truth) -> None:
        if truth.auctions and chance.random() < 0.7:
            account = chance.choice(sorted(truth.auctions))
            rest = [each for each in (1, 2, 3) if each != account]
            moves: list[Callable[[], None]] = [
                lambda: auctions.sell(
                    truth, account, chance.choice(rest), chance.choice((1, 2, 4))
                ),
                lambda: auctions.terminate(truth, account),
                lambda: auctions.convert(truth, account),
                lambda: auctions.update(truth, account, chance.randrange(len(truth.scenarios))),
            ]
            chance.choice(moves)()
            return
        account = _account(truth, chance)
        if chance.random() < 0.3:
            auctions.settle_options(truth, 0, account)
        else:
            auctions.start(truth, account, chance.randrange(len(truth.scenarios)))

    return action


def _parameters(chance: random.Random) -> Action:
    def action(truth: Truth) -> None:
        lib = chance.choice((on.LIB, on.OTHER_LIB))
        group = chance.choice(("basis", "other", "margin", "skew"))
        factor = chance.uniform(0.97, 1.03)
        row = tuple(round(each * factor) for each in on.LIBS[group])
        truth.set_group(lib, group, row)

    return action


def _scenarios(chance: random.Random) -> Action:
    rows = on.SCENARIOS[: chance.randrange(2, 5)] if chance.random() < 0.5 else on.SCENARIOS
    return lambda truth: truth.set_scenarios(rows)


def _override(chance: random.Random) -> Action:
    lib = chance.choice((on.OTHER_LIB, on.OTHER_LIB, on.NOWHERE, on.LIB))

    def action(truth: Truth) -> None:
        truth.override(_account(truth, chance), lib if lib != on.LIB else on.NOWHERE)

    return action


def _switches(chance: random.Random) -> Action:
    """Turn one of the venue's switches."""

    def action(truth: Truth) -> None:
        kind = chance.randrange(6)
        if kind == 0:
            truth.listed = chance.random() < 0.6
            truth.emit("ManagerWhitelisted", on.AUCTION, (), on.MANAGER, truth.listed)
        elif kind == 1:
            truth.rewire_stable(chance.choice((on.STABLE, on.SPARE)))
        elif kind == 2:
            bound = wad(chance.uniform(0.001, 0.006))
            truth.perp["bound"] = bound
            truth.emit("RateBoundsUpdated", on.PERP, (), bound)
        elif kind == 3:
            truth.manager["paused"] = chance.random() < 0.5
            truth.emit("AdjustmentsPausedSet", on.MANAGER, (), truth.manager["paused"])
        elif kind == 4:
            lib = chance.choice((on.LIB, on.OTHER_LIB))
            row = (chance.random() < 0.8, True, wad(chance.uniform(0.0, 0.05)), wad(0.01))
            truth.coin[lib] = row
            truth.emit("CollateralParametersUpdated", lib, (), on.COIN, *row)
        else:
            _fee(truth, chance)

    return action


def _fee(truth: Truth, chance: random.Random) -> None:
    """Set, force or free the security module's share of interest."""
    bank = truth.bank
    if bank["forced"]:
        bank["fee"], bank["forced"] = bank["fee_before"], False
        truth.emit("WithdrawFeeDisabled", on.CASH, (), WAD)
    elif chance.random() < 0.5:
        truth.accrue()
        bank["fee"], bank["fee_before"], bank["forced"] = WAD, bank["fee"], True
        truth.emit("WithdrawFeeEnabled", on.CASH, (), wad(0.97))
    else:
        bank["fee"] = wad(chance.uniform(0.0, 0.4))
        truth.emit("SmFeeSet", on.CASH, (), bank["fee"])


def void(_: object) -> None:
    """Take a value and return nothing."""


MENU: tuple[tuple[Draw, int], ...] = (
    (_deposit, 5),
    (_trade, 8),
    (_open, 1),
    (_stranger, 1),
    (_hand_over, 1),
    (_poke, 4),
    (_rival, 5),
    (_parameters, 2),
    (_scenarios, 1),
    (_override, 2),
    (_switches, 3),
)
ACTIONS = [draw for draw, _ in MENU]
WEIGHTS = [weight for _, weight in MENU]
