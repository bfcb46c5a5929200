"""JSON-RPC 2.0 frames: bytes out, facts in. Pure, and total: no input makes `parse` raise.

It knows nothing of sockets, deadlines or who asked; what is wrong with a frame is a value, so that
the transport can blame the endpoint instead of falling over.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from keeper.chain.link.pieces import carve


class Fault(NamedTuple):
    """A JSON-RPC error object; `data` is the revert data as hex where there is any."""

    code: int
    message: str
    data: str | None


class Reply(NamedTuple):
    """The answer to one call: a result, a fault, or `problem` where it is neither."""

    id: int
    result: Any
    fault: Fault | None
    problem: str | None


class Notification(NamedTuple):
    """One `eth_subscription` message."""

    subscription: str
    result: Any


class Frame(NamedTuple):
    """All that one message of the node holds, in its order.

    `unattributed` are errors with a null id: the node could not read what we asked, so that any
    outstanding call may be meant. `problems` are the parts that are not JSON-RPC at all.
    """

    batch: bool
    items: tuple[Reply | Notification, ...]
    unattributed: tuple[Fault, ...]
    problems: tuple[str, ...]


def encode(identifier: int, method: str, params: Sequence[Any]) -> bytes:
    """Return one request."""
    return orjson.dumps(_request(identifier, method, params))


def encode_batch(requests: Sequence[tuple[int, str, Sequence[Any]]]) -> bytes:
    """Return several requests as one array; their ids must be distinct."""
    return orjson.dumps([_request(*request) for request in requests])


def parse(raw: bytes | str) -> Frame:
    """Return what the message says; never raises, whatever the bytes.

    The logs of a long answer are read right here (`BlockRows`, `LogRows`), out of its bytes.
    """
    carved = carve(raw)
    frame = _frame(raw if carved is None else carved.rest)
    if carved is None:
        return frame
    items = tuple(
        item._replace(result=carved.rows) if item.result == carved.stand_in else item
        for item in frame.items
    )
    replaced = [item for item in items if isinstance(item, Reply) and item.result is carved.rows]
    # Where the stand-in is no result, the array was something else's: then the whole is read.
    return frame._replace(items=items) if len(replaced) == 1 else _frame(raw)


def _frame(raw: bytes | str) -> Frame:
    try:
        message = orjson.loads(raw)
    except ValueError:  # orjson's error class, and surrogates that are not text
        return Frame(batch=False, items=(), unattributed=(), problems=("not JSON",))
    batch = isinstance(message, list)
    parts = message if isinstance(message, list) else [message]
    items: list[Reply | Notification] = []
    unattributed: list[Fault] = []
    problems: list[str] = [] if parts else ["an empty batch"]
    for part in parts:
        read = _part(part)
        if isinstance(read, Fault):
            unattributed.append(read)
        elif isinstance(read, str):
            problems.append(read)
        else:
            items.append(read)
    return Frame(batch, tuple(items), tuple(unattributed), tuple(problems))


def _request(identifier: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": list(params)}


def _part(part: Any) -> Reply | Notification | Fault | str:
    if not isinstance(part, dict):
        return "a message that is not an object"
    if "method" in part:
        return _notification(part)
    identifier = part.get("id")
    # A bool is an int to Python and a lie to JSON-RPC: `True` must not answer call 1.
    if type(identifier) is int:
        return _reply(identifier, part)
    if identifier is None and part.get("error") is not None:
        return _fault(part["error"]) or "an error without an id, a code or a message"
    return "an answer without a usable id"


def _notification(part: dict[str, Any]) -> Notification | str:
    params = part.get("params")
    if part["method"] != "eth_subscription" or not isinstance(params, dict):
        return "a notification that is no subscription's"
    subscription = params.get("subscription")
    if not isinstance(subscription, str) or "result" not in params:
        return "a notification without subscription or result"
    return Notification(subscription, params["result"])


def _reply(identifier: int, part: dict[str, Any]) -> Reply:
    if part.get("error") is not None:
        fault = _fault(part["error"])
        problem = None if fault else "an error that is not an object with code and message"
        return Reply(identifier, None, fault, problem)
    if "result" not in part:
        return Reply(identifier, None, None, "an answer with neither result nor error")
    return Reply(identifier, part["result"], None, None)


def _fault(error: Any) -> Fault | None:
    if not isinstance(error, dict):
        return None
    code, message = error.get("code"), error.get("message")
    if type(code) is not int or not isinstance(message, str):
        return None
    return Fault(code, message, _revert_data(error.get("data")))


def _revert_data(data: Any) -> str | None:
    """Return the hex of a revert: plain (geth, anvil), nested (ganache), "Reverted 0x" (parity)."""
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str):
        return None
    start = data.find("0x")
    return data[start:].lower() if start in (0, len("Reverted ")) else None
