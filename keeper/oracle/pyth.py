"""A Pyth contract's stored price of one id, and what an update of it costs, read every few blocks.

What was heard off-chain is only asked for its fee here: whether it counts, and what a price is
worth, is judged elsewhere.
Source: IPyth of @pythnetwork/pyth-sdk-solidity 4.2.0 (getPriceUnsafe, getUpdateFee).
"""

from collections.abc import MutableMapping
from typing import Final

from keeper.domain.errors import MalformedReply
from keeper.domain.events import Event, PayloadReceived, PriceObserved
from keeper.domain.units import Address
from keeper.oracle.settings import OracleSettings
from keeper.oracle.stream import Tell
from keeper.oracle.watching import FeedWatch, signed, words
from keeper.ports import CallFailed, ChainReader, Header, Post, Source


GET_PRICE_UNSAFE: Final = "0x96834ad3"
GET_UPDATE_FEE: Final = "0xd47eed45"
PRICE_WORDS: Final = 4
EXPONENT_MAX: Final = 32
# What a contract was last brought, or could be: the one thing its fee can be asked for.
Samples = MutableMapping[Address, str]


class PythWatch(FeedWatch):
    """`keeper.ports.Source` for one price id of a Pyth contract."""

    def __init__(
        self, settings: OracleSettings, reader: ChainReader, tell: Tell, samples: Samples
    ) -> None:
        super().__init__(settings, reader, tell)
        self._samples = samples

    async def read(self, header: Header) -> PriceObserved:
        """Return the stored price, however old; raises EndpointError.

        An id that the contract does not hold yet is MalformedReply.
        """
        settings = self.settings
        pyth, price_id = settings.feed or "", settings.price_id
        sample = self._samples.get(pyth)
        asks = [(pyth, GET_PRICE_UNSAFE + price_id.removeprefix("0x"))]
        asks += [] if sample is None else [(pyth, GET_UPDATE_FEE + _one_update(sample))]
        stored, *fee = await self._reader.call_many(asks, header.hash)
        if isinstance(stored, CallFailed):
            raise MalformedReply(settings.name, "the contract holds no price of this id")
        said = words(settings.name, stored, PRICE_WORDS)
        price, confidence, exponent, published = signed(said[0]), said[1], signed(said[2]), said[3]
        fits = -(1 << 63) <= price < 1 << 63 and confidence < 1 << 64 and published < 1 << 63
        if not fits or abs(exponent) > EXPONENT_MAX:
            raise MalformedReply(settings.name, "a price that does not fit its words")
        # An update that the contract cannot even count is refused in its trial, not here.
        wei = [words(settings.name, each, 1)[0] for each in fee if not isinstance(each, CallFailed)]
        return PriceObserved(
            source=settings.name,
            subject=settings.underlying,
            feed=pyth,
            price_id=price_id,
            price=price,
            confidence=confidence,
            decimals=-exponent,
            decimals_expected=-1 if settings.decimals is None else settings.decimals,
            published_s=published,
            heartbeat_s=settings.feed_heartbeat_s,
            confidence_min_ppm=settings.confidence_min_ppm,
            fee_wei=sum(wei),
        )


class Sampled:
    """A source of updates whose newest is kept for the fee's sake, one a contract."""

    def __init__(self, source: Source, samples: Samples) -> None:
        self._source = source
        self._samples = samples

    async def run(self, post: Post) -> None:
        """Run the source; see `keeper.ports.Source`."""

        def noted(event: Event) -> None:
            if isinstance(event, PayloadReceived):
                self._samples[event.feed] = event.payload
            post(event)

        await self._source.run(noted)


def _one_update(payload: str) -> str:
    """Return abi.encode(bytes[]) of one update, hex digits in and out."""
    digits = payload.removeprefix("0x")
    padding = "0" * (-len(digits) % 64)
    heads = (32, 1, 32, len(digits) // 2)
    return "".join(f"{word:064x}" for word in heads) + digits + padding
