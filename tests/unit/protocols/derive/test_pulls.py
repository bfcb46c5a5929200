"""A venue that is checked by Pyth: whose data are whose, and what is doubted."""

from dataclasses import replace

from keeper.machine.assessing import assess
from keeper.market.payloads import PayloadRule
from keeper.market.quotes import JudgeRule
from tests.unit.market.pyth_bytes import packed, price
from tests.unit.market.test_pulls import PYTH, STORED, USD, update
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import NOW, Deployment
from tests.unit.protocols.derive.test_leading import block
from tests.unit.protocols.derive.test_payloads import received, spot


AGREES = replace(STORED, published_s=NOW, heartbeat_s=100)


def venue(margin_s: int = 0) -> Deployment:
    rules = {"quotes": JudgeRule(checked=("ETH",)), "payloads": PayloadRule(margin_s=margin_s)}
    made = Deployment(executor=on.at(300), required_quotes=("ETH.spot",), **rules)
    made.portfolio.undo.begin(2, "0x" + "22" * 32)
    return made


def state(deployment: Deployment, at: int) -> str:
    ((_, said),) = assess(deployment.venue, block(at)).assessment.quotes
    return said


def test_a_pyth_price_that_agrees_confirms_the_spot_and_one_that_does_not_casts_doubt() -> None:
    deployment = venue()
    assert state(deployment, NOW) == "SUSPECT", "nobody was asked yet"
    deployment.venue.hear(AGREES)
    assert state(deployment, NOW) == "OK"
    deployment.venue.hear(replace(AGREES, price=1_700 * USD, published_s=NOW + 1))
    assert state(deployment, NOW + 1) == "SUSPECT"
    deployment.venue.hear(replace(AGREES, price=0, published_s=NOW + 2))
    assert state(deployment, NOW + 2) == "HALTED"


def test_an_update_that_could_be_brought_counts_as_long_as_the_venues_rule_lets_it() -> None:
    deployment = venue(margin_s=20)
    deployment.venue.hear(replace(AGREES, published_s=NOW - 1_000))
    assert state(deployment, NOW) == "SUSPECT"
    deployment.venue.hear(update(price(2_000, NOW - 10)))
    assert state(deployment, NOW + 30) == "OK"
    assert state(deployment, NOW + 31) == "SUSPECT"


def test_data_for_pyth_and_data_for_the_venues_feeds_do_not_mix() -> None:
    deployment = venue()
    deployment.venue.hear(AGREES)
    junk = replace(update(price(2_000, NOW)), payload="0xab")
    deployment.venue.hear(junk)
    (told,) = [each for each in deployment.venue.notices() if each.kind == "payload_malformed"]
    assert dict(told.fields)["feed"] == PYTH
    foreign = replace(junk, payload="0x" + packed(price(2_000, NOW)).hex(), feed=on.SPOT_FEED)
    deployment.venue.hear(foreign)
    (told,) = [each for each in deployment.venue.notices() if each.kind == "payload_malformed"]
    assert dict(told.fields)["feed"] == on.SPOT_FEED
    deployment.venue.hear(received(spot(1_850.0, at=NOW + 5)))
    assert [each.kind for each in deployment.venue.notices()] == []
