from __future__ import annotations

import pytest

from edge_cns.errors import BadInputError
from edge_cns.runtime.live.limiter import Limiter


def passed(limiter: Limiter, fps: float, seconds: float = 10, extra: float | None = None) -> int:
    times = [round(1e9 + i * 1e9 / fps) for i in range(round(seconds * fps))]
    return sum(limiter.passes(now, extra) for now in times)


@pytest.mark.parametrize(("limit", "fps"), [(10, 30), (15, 60), (30, 30), (30, 29.97), (25, 60), (60, 30)])
def test_the_rate_is_kept_on_average(limit, fps):
    wanted = min(limit, fps) * 10
    assert abs(passed(Limiter(limit), fps) - wanted) <= 2


def test_jitter_does_not_halve_the_rate():
    limiter = Limiter(30)
    times = [round(1e9 + i * 1e9 / 30 + (-1) ** i * 3e6) for i in range(300)]
    assert sum(limiter.passes(now) for now in times) >= 298


def test_no_limit_and_a_limit_for_the_time_being():
    assert passed(Limiter(None), 60, 1) == 60
    assert abs(passed(Limiter(None), 60, 1, extra=10) - 10) <= 1
    assert abs(passed(Limiter(20), 60, 1, extra=10) - 10) <= 1
    assert abs(passed(Limiter(5), 60, 2, extra=10) - 10) <= 1


def test_a_pause_is_not_made_up_for():
    limiter = Limiter(10)
    assert limiter.passes(10**9)
    burst = [60 * 10**9 + i * 10**6 for i in range(50)]
    assert sum(limiter.passes(now) for now in burst) == 1


@pytest.mark.parametrize("fps", [3.9, 0, -1, float("nan")])
def test_too_slow_a_limit_is_refused(fps):
    with pytest.raises(BadInputError, match="give 4 or more"):
        Limiter(fps)
