"""Scores of sorted sets as text, exactly."""

import math


def score_text(score: float | bytes) -> str:
    """The shortest text that is exactly this double, written as Redis does: 3, 0.1, 1e+300, inf."""
    number = float(score)
    if math.isfinite(number) and number == int(number) and abs(number) < 1e17:
        return "-0" if number == 0 and math.copysign(1, number) < 0 else str(int(number))
    return repr(number)
