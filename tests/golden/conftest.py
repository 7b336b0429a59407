"""Golden tests: every case of every stage of the set in use becomes one test; the largest errors are printed.

A test asks for the cases of its stage with `@pytest.mark.golden("stage")` and the argument `case`, and compares with
the fixture `within`, which keeps the largest error per stage and array for the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from tests.golden.vectors import Case, golden_folder, load_stage, stage_names

Within = Callable[..., None]

_NO_SET = "no golden vectors: set FACEWAVE_GOLDEN to the folder of a manifest.json"
_worst: dict[tuple[str, str], tuple[float, float, str, frozenset[str]]] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "golden(stage): run the test once for each case of a stage of golden vectors")
    config.addinivalue_line("markers", "broken(reason): the stage cannot be read")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("golden")
    if mark is None or "case" not in metafunc.fixturenames:
        return
    (stage,) = mark.args
    try:
        cases = load_stage(stage)
    except (OSError, KeyError, ValueError) as error:
        broken = pytest.param(None, marks=pytest.mark.broken(str(error)))
        metafunc.parametrize("case", [broken], ids=["unreadable"])
        return
    if cases:
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])
        return
    reason = f"stage {stage!r} is not in this set" if golden_folder() else _NO_SET
    metafunc.parametrize("case", [pytest.param(None, marks=pytest.mark.skip(reason=reason))], ids=["absent"])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A stage that the manifest lists but that cannot be read fails alone; other stages still run."""
    mark = item.get_closest_marker("broken")
    if mark is not None:
        pytest.fail(f"this stage cannot be read: {mark.args[0]}", pytrace=False)


@pytest.fixture
def within(case: Case) -> Within:
    """Assert that `found` is within `limit` of `expected` everywhere (a number or an array; 0 means equal)."""

    def check(array: str, found: ArrayLike, expected: ArrayLike, limit: ArrayLike, *, keep: ArrayLike = True) -> None:
        """Compare where `keep` is true; `array` is the name in the table and looks up the manifest's own limit."""
        left, right = np.broadcast_arrays(np.asarray(found, np.float64), np.asarray(expected, np.float64))
        assert np.shape(found) == np.shape(expected), (
            f"{case} {array}: shape {np.shape(found)}, not {np.shape(expected)}"
        )
        allowed = np.broadcast_to(np.asarray(case.limits.get(array, limit), np.float64), left.shape)
        kept = np.broadcast_to(np.asarray(keep, bool), left.shape)
        error = np.where(kept, np.abs(left - right), 0.0)
        if not error.size:
            return
        _remember(case, array, error, allowed)
        if not np.all(error <= allowed):
            at = np.unravel_index(int(np.argmax(np.where(error <= allowed, -1.0, error))), error.shape)
            where = tuple(int(i) for i in at)
            pytest.fail(
                f"{case} {array}{list(where)}: {left[at]:.9g}, not {right[at]:.9g};"
                f" off by {error[at]:.3g}, allowed {allowed[at]:.3g}"
            )

    return check


def _remember(case: Case, array: str, error: Any, allowed: Any) -> None:
    key = (case.stage, array)
    at = np.unravel_index(int(np.argmax(error)), error.shape)
    old = _worst.get(key)
    cases = (old[3] if old else frozenset()) | {case.name}
    if old is None or not error[at] <= old[0]:
        _worst[key] = (float(error[at]), float(allowed[at]), case.name, cases)
    else:
        _worst[key] = (*old[:3], cases)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _worst:
        return
    order = {stage: number for number, stage in enumerate(stage_names())}
    terminalreporter.section("golden vectors: largest error")
    terminalreporter.write_line(f"{'stage':20} {'array':26} {'cases':>5} {'largest':>10} {'allowed':>10}  case")
    for (stage, array), (error, allowed, name, cases) in sorted(
        _worst.items(), key=lambda item: (order.get(item[0][0], len(order)), item[0])
    ):
        terminalreporter.write_line(f"{stage:20} {array:26} {len(cases):5d} {error:10.2e} {allowed:10.2e}  {name}")
