"""Formulas: what they compute, what is refused, and that nothing else of Python is within reach."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.declared.formula import FUNCTION_NAMES, MAX_LENGTH, read_formula
from devices.sensors.columns import DictionaryColumn

A, B = np.array([1.0, 2.0, np.nan]), np.array([4.0, 0.0, 1.0])
MODES = DictionaryColumn(np.array([0, 1, 0]), ["eco", "fast"])
VALUES = {"a": A, "b": B, "weather.rain": B, "mode": MODES}
KNOWN = {"a", "b", "weather.rain"}
TEXTS = {"mode": ("eco", "fast")}


def computed(text: str) -> list[float | None]:
    """Return the values of a formula, None where it has none."""
    found = read_formula(text, TEXTS, KNOWN).evaluate(VALUES, 3)
    return [None if np.isnan(value) else float(value) for value in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + 2 * b", [9, 2, None]),
        ("7", [7, 7, 7]),
        ("b - -b // 3 % 2", [4, 0, 0]),
        ("a ** 2", [1, 4, None]),
        ("a / b", [0.25, None, None]),
        ("0 / 0", [None] * 3),
        ("1e300 * 1e300", [None] * 3),
        ("9**9**9", [None] * 3),
        ("sqrt(-b)", [None, 0, None]),
        ("log(b)", [pytest.approx(np.log(4)), None, 0]),
        ("a < b", [1, 0, None]),
        ("1 <= a < 2", [1, 0, None]),
        ("not b", [0, 1, 0]),
        ("b > 3 and a == 1", [1, 0, None]),
        ("b > 3 or a == 1", [1, 0, None]),
        ("10 if b > 0 else 20", [10, 20, 10]),
        ("where(a > 1, 5, b)", [4, 5, None]),
        ("min(a, b, 3)", [1, 0, None]),
        ("max(b, 2)", [4, 2, 2]),
        ("clip(b, 1, 3)", [3, 1, 1]),
        ("round(b / 3, 1)", [1.3, 0, 0.3]),
        ("weather.rain + pi * 0", [4, 0, 1]),
        ("mode == 'eco'", [1, 0, 1]),
        ("3 * (mode != 'eco') + 1", [1, 4, 1]),
    ],
)
def test_a_formula_is_computed_in_every_row(text: str, expected: list[float | None]) -> None:
    assert computed(text) == expected


@pytest.mark.parametrize("text", ["a < b", "not a", "a > 1 and b", "mode == 'eco'"])
def test_comparisons_are_flags(text: str) -> None:
    assert read_formula(text, TEXTS, KNOWN).is_flag
    assert not read_formula(f"1 * ({text})", TEXTS, KNOWN).is_flag


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "has no place in a formula"),
        ("().__class__.__bases__", "is no name"),
        ("a.__class__", "nothing is called 'a.__class__'"),
        ("a[0]", "has no place"),
        ("[a for a in b]", "has no place"),
        ("(lambda: 1)()", "has no place"),
        ("(c := 1)", "has no place"),
        ("f'{a}'", "has no place"),
        ("'a' * 10", "has no place"),
        ("1j", "has no place"),
        ("a @ b", "has no place"),
        ("min(*a, b)", "has no place"),
        ("round(a, decimals=2)", "has no place"),
        ("eval('1')", "there is no function 'eval'"),
        ("sqr(a)", "did you mean 'sqrt'?"),
        ("clip(a)", "takes 3 arguments, not 1"),
        ("aa + 1", "nothing is called 'aa'"),
        ("weather.rainn", "did you mean 'weather.rain'?"),
        ("mode + 1", "is a text"),
        ("mode == 'ecco'", "did you mean 'eco'?"),
        ("mode < 'eco'", "write == or !="),
        ("a == 'eco'", "and a is none"),
        ("a in b", "compares by a word"),
        ("3 +", "is no formula"),
        ("", "is no formula"),
        ("a\0", "is no formula"),
        ("1; 2", "is no formula"),
        ("9" * 400, "too large"),
        ("-" * 400 + "1", "more than 200 steps"),
        ("(" * 240 + "1" + ")" * 240, "is no formula"),
        ("1+" * 240 + "1", "more than 200 steps"),
        ("a" * (MAX_LENGTH + 1), "more than 500"),
    ],
)
def test_what_is_no_formula_is_said_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        read_formula(text, TEXTS, KNOWN)
    assert said in str(caught.value)


_WORDS = st.sampled_from(
    ["a", "b", "mode", "1", "0", "2.5", "+", "-", "*", "/", "**", "%", "(", ")", ",", "<", "==", "'eco'", "not", "and",
     "or", "if", "else", ".", "pi", "[", "]", "lambda", ":", *FUNCTION_NAMES]
)  # fmt: skip


@given(st.lists(_WORDS, min_size=1, max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_is_refused_or_gives_finite_numbers_and_none(text: str) -> None:
    try:
        formula = read_formula(text, TEXTS, KNOWN)
    except ValueError:
        return
    found = formula.evaluate(VALUES, 3)
    assert found.shape == (3,)
    assert not np.isinf(found).any()
