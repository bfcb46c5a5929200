"""The style of the house, as a test: what linters and import contracts cannot see."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]
PURE = (
    "domain",
    "portfolio",
    "market",
    "margin",
    "liquidation",
    "machine",
    "venue.py",
    "protocols",
)
ASYNC_ALLOWED = ("snapshot.py",)
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 400
BANNED_CALLS = {"id", "hash", "print", "input", "open", "exec", "eval"}
BANNED_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "base"}
LEFT_OPEN = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "raise NotImplemented" + "Error")


def sources(*places: str, top: str = "keeper") -> list[Path]:
    found: list[Path] = []
    for place in places:
        path = ROOT / top / place
        found.extend(sorted(path.rglob("*.py")) if path.is_dir() else [path])
    return [path for path in found if "node_modules" not in path.parts]


def pure_sources() -> list[Path]:
    return [path for path in sources(*PURE) if path.name not in ASYNC_ALLOWED]


def our_sources() -> list[Path]:
    return sources(".") + sources(".", top="strategies") + sources(".", top="deploy")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def complaints(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.MatMult()):
                yield f"{node.lineno} matmul: BLAS bits depend on the machine"
            case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS:
                yield f"{node.lineno} {name}()"
            case ast.For(iter=ast.Set() | ast.SetComp()):
                yield f"{node.lineno} iterates a set: order is not a fact"
            case ast.comprehension(iter=ast.Set() | ast.SetComp()):
                yield "iterates a set: order is not a fact"
            case ast.For(iter=ast.Call(func=ast.Name(id="set" | "frozenset"))):
                yield f"{node.lineno} iterates a set"
            case ast.AsyncFunctionDef() | ast.Await():
                yield f"{node.lineno} the pure rooms are synchronous"
            case ast.Global() | ast.Nonlocal():
                yield f"{node.lineno} hidden state"
            case _:
                pass


@pytest.mark.parametrize("path", pure_sources(), ids=named)
def test_pure_rooms_are_pure(path: Path) -> None:
    assert not list(complaints(ast.parse(path.read_text())))


@pytest.mark.parametrize(
    "planted",
    [
        "a = b @ c",
        "x = hash(1)",
        "for i in {1, 2}: pass",
        "for i in set(x): pass",
        "y = [i for i in {1, 2}]",
        "async def f(): pass",
        "def f():\n    global g",
    ],
)
def test_a_planted_impurity_is_seen(planted: str) -> None:
    assert list(complaints(ast.parse(planted)))


@pytest.mark.parametrize("path", our_sources(), ids=named)
def test_rooms_fit_on_a_page(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("path", our_sources(), ids=named)
def test_nothing_is_left_open(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in LEFT_OPEN if word in text]


@pytest.mark.parametrize("path", our_sources(), ids=named)
def test_rooms_are_named_by_nouns_of_the_trade(path: Path) -> None:
    assert path.stem not in BANNED_NAMES
    assert path.parent.name not in BANNED_NAMES


@pytest.mark.parametrize("path", sources("."), ids=named)
def test_only_the_clock_reads_the_time(path: Path) -> None:
    if named(path) == "keeper/runtime/clock.py":
        return
    imported = [
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    ] + [
        node.module or ""
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    ]
    assert "time" not in imported
