"""Row 35: no queue grows without a limit; where its size is not its own, what holds it is said."""

import ast
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
# Queues that take their limit from elsewhere, each with what holds it.
HELD = {
    ("keeper/runtime/inbox.py", "_waiting"): "post raises InboxOverflow at waiting_max",
    ("keeper/chain/link/subscription.py", "_queue"): "capacity: the oldest is lost, or it ends",
    (
        "keeper/chain/sending/modes.py",
        "_waiting",
    ): "commands_waiting_max; in mode observe, answered at once",
    (
        "keeper/chain/sending/modes.py",
        "_refused",
    ): "what was beyond commands_waiting_max of one block",
    ("keeper/chain/sending/sender.py", "_batches"): "commands_waiting_max over all batches",
    ("keeper/chain/sending/sender.py", "_refused"): "posted before anything else is done",
    ("keeper/chain/keys/signing_policy.py", "_signed_ns"): "signatures_per_minute_max",
}
SIZED = {"deque": ("maxlen", 1), "Queue": ("maxsize", 0), "LifoQueue": ("maxsize", 0)}


def unlimited(source: str) -> list[str]:
    """Return the names that queues without a size are assigned to."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for call in (each for each in ast.walk(node.value) if isinstance(each, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else None
            name = call.func.id if isinstance(call.func, ast.Name) else name
            sizeless = name in SIZED and not _has_size(call, *SIZED[name])
            if sizeless or name == "SimpleQueue":
                found += [_of(each) for each in targets]
    return found


def _has_size(call: ast.Call, keyword: str, place: int) -> bool:
    return len(call.args) > place or any(each.arg == keyword for each in call.keywords)


def _of(target: ast.expr) -> str:
    return target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)


def test_row_35_every_queue_has_a_limit_or_says_what_holds_it() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "keeper").rglob("*.py")
        for name in unlimited(path.read_text())
    }
    assert found - set(HELD) == set(), "give it a size, or say here what holds it"
    assert set(HELD) - found == set(), "what is said of it is out of date"


@pytest.mark.parametrize(
    "planted",
    [
        "self.x = deque()",
        "self.x: deque[int] = collections.deque([1])",
        "x = asyncio.Queue()",
        "x = queue.SimpleQueue()",
        "x = {n: deque() for n in names}",
    ],
)
def test_a_queue_without_a_limit_is_seen(planted: str) -> None:
    assert unlimited(planted) == ["x"]
    assert unlimited("x = deque(maxlen=3); y = deque([], 3); z = asyncio.Queue(5)") == []
