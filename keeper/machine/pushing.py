"""Feeds pushed after a halt: before anything else of their venue, one push at a time. Pure.

On feeds as old as the halt the chain's margin is of another market, or reverts. A push earns
nothing, so it has a bound of its own. Must not know what a push carries, nor how feeds take it.
"""

from typing import Final

from keeper.domain.effects import Command, Notice, Scalar
from keeper.liquidation.priority import TIER
from keeper.liquidation.strategy import Service
from keeper.machine.serving import Round, Serving, Wanted
from keeper.venue import Push, Venue


NOTHING_NEWER: Final = "nothing_newer"
TOO_DEAR: Final = "too_dear"
NO_WORTH: Final = 0.0  # one a venue and block: nothing to be ranked within their tier


class Pushing:
    """Whose feeds are pushed on a block, and what of it was told since the halt ended."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._told: dict[tuple[str, str], int] = {}  # (venue, why not) -> block the halt ended

    def decide(self, venue: Venue, current: Round) -> tuple[list[Command], list[Notice]]:
        """Return a venue's push, at most one, and what is to be told of it."""
        serving, number = self._serving, current.block.number
        ended = serving.halt.ended(number)
        if ended is None or serving.parameters.halt.push_spend_max_wei <= 0:
            return [], []
        if number - ended < serving.parameters.act_after_blocks:
            return [], []  # the first keeper's, as long as it may still do it
        if current.stock.commands <= 0 or not serving.outbox.free(venue.name, None, number):
            return [], []
        push = venue.push(self._gas_max(current))
        if push is None:
            return [], []
        command = self._command(venue, current, push)
        if command is None:
            return [], self._not_pushed(venue, ended, push)
        current.stock.commands -= 1
        # What is pushed is newer no more: that nothing is, is then no news.
        self._told[venue.name, NOTHING_NEWER] = ended
        told = ("venue", venue.name), ("payloads", push.payloads), ("left", push.left)
        return [command], [Notice("feeds_push_decided", "info", told)]

    def rewind(self, number: int) -> None:
        """Forget what was told of halts that ended after `number`, the common ancestor."""
        self._told = {key: ended for key, ended in self._told.items() if ended <= number}

    def _gas_max(self, current: Round) -> int:
        """Return how much gas a push may use on this block, at what it would bid."""
        parameters, block = self._serving.parameters, current.block
        most = min(parameters.halt.push_spend_max_wei, parameters.limits.spend_max_wei)
        price = current.stock.gas_price_wei
        return min(block.gas_limit, most // price) if price else block.gas_limit

    def _command(self, venue: Venue, current: Round, push: Push) -> Command | None:
        if push.encoded is None:
            return None
        wanted = Wanted(
            venue=venue.name,
            account=None,
            service=Service.PUSH_FEEDS,
            encoded=push.encoded,
            priority=(TIER[Service.PUSH_FEEDS], NO_WORTH),
            worth_wei=self._serving.parameters.halt.push_spend_max_wei,
        )
        return self._serving.issue(current, wanted)

    def _not_pushed(self, venue: Venue, ended: int, push: Push) -> list[Notice]:
        """Return why nothing is sent, once a halt."""
        newer = push.payloads + push.left
        reason, severity = (TOO_DEAR, "warning") if newer else (NOTHING_NEWER, "info")
        if self._told.get((venue.name, reason)) == ended:
            return []
        self._told[venue.name, reason] = ended
        fields: tuple[tuple[str, Scalar], ...] = (
            ("venue", venue.name),
            ("reason", reason),
            ("payloads", newer),
        )
        return [Notice("feeds_not_pushed", severity, fields)]
