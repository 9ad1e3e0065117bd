"""The battery counts its cases, goes on after a failure, and fails at its end."""

import pytest
from battery_cases import Battery, Row, table


def test_a_failing_case_is_counted_named_and_does_not_end_the_loop():
    rows: list[Row] = []
    seen = []

    def odd_cases_fail():
        for case in Battery(whole=False, only=None, rows=rows)("numbers", smoke=5, whole=50):
            with case:
                seen.append(case.index)
                if case.index % 2:
                    raise ValueError("odd")

    with pytest.raises(pytest.fail.Exception, match=r"numbers: 2 of 5 .*\ncase 1: line \d+: ValueError: odd\ncase 3: "):
        odd_cases_fail()
    assert seen == [0, 1, 2, 3, 4]
    assert table(rows).splitlines()[-1].startswith("| numbers | 5 | 2 |")


def test_a_case_alone_draws_what_it_draws_among_all():
    def drawn(only):
        battery = Battery(whole=True, only=only, rows=[])
        return {case.index: case.random.integers(1 << 40) for case in battery("draws", smoke=1, whole=4)}

    assert len(set(drawn(None).values())) == 4
    assert drawn(2) == {2: drawn(None)[2]}
