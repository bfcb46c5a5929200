"""Every vector of every file through the same public functions the keeper uses; and the loader.

`published` and `official-sdk-run` are golden, the other kinds are checks of ourselves.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.golden import families, vectors
from tests.golden.vectors import GOLDEN, SELF_CONSISTENCY, UnknownPart, Vector


def found(kinds: tuple[str, ...]) -> list[Any]:
    """Return this folder's vectors of some kinds; what cannot be read fails as its own test."""
    where = vectors.folder()
    if not where.is_dir():
        reason = f"no golden vectors at {where}: set KEEPER_VECTORS to their folder"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    cases = []
    for path in sorted(where.glob("*.json")):
        if path.stem in vectors.REFERENCE or path.stem not in families.FILES:
            continue
        try:
            read = vectors.read(path)
        except (UnknownPart, ValueError):
            continue  # fails by name in test_every_file_is_known_and_read
        cases.extend(pytest.param(each, id=each.name) for each in read if each.kind in kinds)
    return cases


@pytest.mark.parametrize("vector", found(GOLDEN))
def test_golden_number_is_reproduced(vector: Vector) -> None:
    vectors.judge(vector, families.families(vector.file))


@pytest.mark.parametrize("vector", found(SELF_CONSISTENCY))
def test_own_number_is_consistent(vector: Vector) -> None:
    vectors.judge(vector, families.families(vector.file))


def test_every_file_is_known_and_read(vectors_dir: Path) -> None:
    for path in sorted(vectors_dir.iterdir()):
        if path.is_dir():
            assert path.name in vectors.FOLDERS, path.name
        elif path.suffix == ".json" and path.stem in vectors.REFERENCE:
            assert json.loads(path.read_text())["schema"] == vectors.REFERENCE[path.stem]
        elif path.suffix == ".json":
            assert path.stem in families.FILES, f"{path.name} has no adapter"
            assert vectors.read(path), f"{path.name} holds nothing"
        else:
            assert path.name == "README.md", path.name


@pytest.mark.parametrize("file", families.FILES)
def test_every_family_has_its_file(file: str, vectors_dir: Path) -> None:
    if not (vectors_dir / f"{file}.json").is_file():
        pytest.skip(f"{file}.json is not in {vectors_dir}")
    assert families.families(file)


def planted() -> Vector:
    return Vector(
        file="svi",
        id="svi_planted",
        kind="published",
        inputs={
            "a": 0.04,
            "b": 0.1,
            "sigma": 0.2,
            "rho": -0.3,
            "m": 0.0,
            "T": 1.0,
            "forward": 100.0,
            "strike": 100.0,
        },
        expected={"total_variance": 0.06},
        tolerance=1e-12,
    )


def judge(vector: Vector) -> None:
    vectors.judge(vector, families.families(vector.file))


def test_a_right_number_passes() -> None:
    judge(planted())


@pytest.mark.parametrize("wrong", [0.06001, float("nan"), True, [0.06], "0.0601", None])
def test_a_planted_wrong_number_fails(wrong: Any) -> None:
    with pytest.raises((AssertionError, ValueError, TypeError)):
        judge(replace(planted(), expected={"total_variance": wrong}))


def test_an_unknown_expected_key_fails() -> None:
    with pytest.raises(UnknownPart, match="expected key 'variance'"):
        judge(replace(planted(), expected={"variance": 0.06}))


def test_an_unknown_input_field_fails() -> None:
    with pytest.raises(UnknownPart, match="skew is unknown"):
        judge(replace(planted(), inputs={**planted().inputs, "skew": 1.0}))


def test_a_missing_input_field_fails() -> None:
    inputs = {key: value for key, value in planted().inputs.items() if key != "rho"}
    with pytest.raises(UnknownPart, match="rho is missing"):
        judge(replace(planted(), inputs=inputs))


def test_a_field_with_unknown_parts_fails() -> None:
    with pytest.raises(UnknownPart, match="has parts"):
        judge(replace(planted(), inputs={**planted().inputs, "rho": {"near": 0.1}}))


def test_an_unknown_family_fails() -> None:
    with pytest.raises(UnknownPart, match="no family"):
        judge(replace(planted(), id="sabr_1", inputs={"alpha": 1.0}))


def test_a_family_may_be_found_by_its_input_fields() -> None:
    judge(replace(planted(), id="vertex_of_2024"))


def test_a_tolerance_must_name_every_key_and_no_other() -> None:
    judge(replace(planted(), tolerance={"total_variance": 1e-9}))
    with pytest.raises(UnknownPart, match="no tolerance"):
        judge(replace(planted(), tolerance={"vol": 1e-9}))
    with pytest.raises(UnknownPart, match="not expected"):
        judge(replace(planted(), tolerance={"total_variance": 1e-9, "vol": 1e-9}))


def written(folder: Path, **changes: Any) -> Path:
    one = planted()
    vector = {
        "id": one.id,
        "kind": one.kind,
        "source": "",
        "inputs": one.inputs,
        "expected": one.expected,
        "tolerance": 0,
        "reproduced": True,
    }
    raw = {
        "schema": "vectors/1",
        "methodology": "",
        "provenance": "",
        "notes": "",
        "how": [],
        "vectors": [{**vector, **changes}],
    }
    path = folder / "svi.json"
    path.write_text(json.dumps(raw))
    return path


def test_a_file_is_read_back(tmp_path: Path) -> None:
    (read,) = vectors.read(written(tmp_path))
    assert read == replace(planted(), tolerance=0)


@pytest.mark.parametrize("odd", [{"kind": "rumour"}, {"expected": {}}, {"weight": 2}])
def test_an_odd_vector_is_refused(tmp_path: Path, odd: dict[str, Any]) -> None:
    with pytest.raises(UnknownPart):
        vectors.read(written(tmp_path, **odd))


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("vectors/1", "vectors/2"))
    with pytest.raises(UnknownPart, match="schema"):
        vectors.read(path)


def test_two_ulp_are_always_allowed_and_a_third_is_not() -> None:
    ulp = 2.0**-52
    vectors.compare(1.0 + 2 * ulp, 1.0, 0, "here")
    with pytest.raises(AssertionError):
        vectors.compare(1.0 + 3 * ulp, 1.0, 0, "here")


def test_big_integers_are_compared_exactly() -> None:
    assert vectors.wei("5000e18") == 5000 * 10**18
    big = 5602277097478614198912276234240
    vectors.compare(big, str(big), 0, "here")
    with pytest.raises(AssertionError):
        vectors.compare([1, 2], [1, 2, 3], 0, "here")


@pytest.mark.parametrize("name", ["rumour.json", "notes.txt", "rumours/"])
def test_an_unknown_file_fails(tmp_path: Path, name: str) -> None:
    written(tmp_path)
    test_every_file_is_known_and_read(tmp_path)
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text((tmp_path / "svi.json").read_text())
    with pytest.raises(AssertionError):
        test_every_file_is_known_and_read(tmp_path)
