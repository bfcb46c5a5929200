"""What `[[oracles]]` may say: where a source is, and where in its JSON the numbers stand.

Must not know how a source is kept open, nor what becomes of a price.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from keeper.domain.errors import ConfigError
from keeper.domain.units import Address


NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
PRICE_ID: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
SEQUENCER: Final = "sequencer"
HERE: Final = ("127.0.0.1", "::1", "localhost")
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class OracleSettings:
    """One source besides the venue's own feeds. Raises ConfigError.

    kind           "stream": prices over a WebSocket; "signed": signed feed data, over a WebSocket
                   or polled; "chainlink": a feed's views, read every `reread_blocks`; "pyth": a
                   price that a Pyth contract holds, read so too; "pyth_updates": its pull
                   updates as Hermes says them, over a WebSocket, server-sent events or polled
    underlying     what the price is of, as venues call it; "sequencer" for an L2's uptime feed
    subscribe      frames sent after connecting, as they are
    price_path     place of the price in a frame: names and list places joined by dots; so
    time_path      is that of its time; without one the time of its arrival counts
    items_path     where the list of signed data stands; without one the answer is the one item,
                   and in each item `feed_path`, `payload_path`, `timestamp_path`, `deadline_path`
    heartbeat_s    pings; `silence_s` without a frame ends the connection, `stale_s` without
                   anything usable is told
    queue_max      frames held for `post_ms`; more drop the oldest
    feed           the contract: a chainlink proxy, or Pyth, which holds prices and takes updates
    decimals       of a chainlink feed, or minus a Pyth price's exponent; without them those first
                   seen are the ones expected
    feed_heartbeat_s  how often a chainlink feed promises a round, how old a Pyth price may be
    price_id       which of a Pyth contract's prices
    confidence_min_ppm  1 less the share of a Pyth price that its interval may be; 0: any will do
    token_file     a secret file whose text is sent as a bearer token, to https and wss alone
    update_age_s_max  how old a Pyth update may be when it is read on chain: it is kept so long
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    kind: Literal["stream", "signed", "chainlink", "pyth", "pyth_updates"]
    underlying: str = ""
    stream_url: Annotated[str, Field(pattern="^(ws|http)s?://.")] | None = field(
        default=None, repr=False
    )
    poll_url: Annotated[str, Field(pattern="^https?://.")] | None = field(default=None, repr=False)
    subscribe: tuple[str, ...] = field(default=(), repr=False)
    price_path: str = ""
    time_path: str = ""
    time_unit: Literal["s", "ms", "us", "ns"] = "ms"
    items_path: str = ""
    feed_path: str = "feed"
    payload_path: str = "payload"
    timestamp_path: str = "timestamp"
    deadline_path: str = "deadline"
    heartbeat_s: Count = 5
    silence_s: Count = 15
    stale_s: Count = 30
    poll_ms: Count = 1_000
    post_ms: Count = 250
    queue_max: Count = 256
    frame_bytes_max: Count = 262_144
    malformed_max: Count = 32
    backoff_first_ms: Count = 250
    backoff_max_ms: Count = 30_000
    feed: Address | None = None
    decimals: Annotated[int, Field(ge=0, le=77)] | None = None
    feed_heartbeat_s: Count = 3_600
    reread_blocks: Count = 10
    price_id: str = ""
    confidence_min_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 950_000
    update_age_s_max: Count = 60
    token_file: str | None = None

    def __post_init__(self) -> None:
        """Check what types cannot say."""
        if not NAME.fullmatch(self.name):
            raise ConfigError("oracles.name", self.name, "use a short word of a-z, 0-9 and _")
        if self.kind in ("chainlink", "pyth", "pyth_updates"):
            self._check_contract()
        if self.kind not in ("chainlink", "pyth"):
            self._check_place()
        if self.kind not in ("signed", "pyth_updates") and not self.underlying:
            raise ConfigError("oracles.underlying", "", "name what the price is of")
        if self.backoff_first_ms > self.backoff_max_ms:
            cure = "keep it at or under backoff_max_ms"
            raise ConfigError("oracles.backoff_first_ms", self.backoff_first_ms, cure)

    def _check_contract(self) -> None:
        """Check what is read or brought on chain; one spelling of an address and an id holds."""
        if self.feed is None or not ADDRESS.fullmatch(self.feed):
            cure = 'give the contract\'s address: "0x" and 40 hex digits'
            raise ConfigError("oracles.feed", self.feed or "", cure)
        object.__setattr__(self, "feed", self.feed.lower())
        if self.kind == "pyth" and not PRICE_ID.fullmatch(self.price_id):
            cure = 'give the price\'s id: "0x" and 64 hex digits'
            raise ConfigError("oracles.price_id", self.price_id, cure)
        object.__setattr__(self, "price_id", self.price_id.lower())

    def _check_place(self) -> None:
        """Check where an off-chain source is heard."""
        if (self.stream_url is None) == (self.poll_url is None):
            cure = "give one of stream_url and poll_url"
            raise ConfigError(f"oracles.{self.name}", self.kind, cure)
        if self.kind == "stream" and (not self.price_path or self.stream_url is None):
            raise ConfigError("oracles.price_path", "", "a stream needs stream_url and price_path")
        events = self.stream_url is not None and self.stream_url.startswith("http")
        if events and self.kind != "pyth_updates":
            cure = f"a {self.kind} source is heard over ws:// or wss://"
            raise ConfigError("oracles.stream_url", "http", cure)
        place = urlsplit(self.stream_url or self.poll_url or "")
        if self.token_file and place.scheme in ("http", "ws") and place.hostname not in HERE:
            cure = "use https or wss: on the way anybody could read the token"
            raise ConfigError("oracles.token_file", self.token_file, cure)
