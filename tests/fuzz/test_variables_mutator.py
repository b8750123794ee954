"""Lines of variables that are changed stay such, and the changes reach names, values and lines."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.variables_mutator import mutate_variables

SEEDS = range(2000)
VARIABLES = b'A__B=1\nC__D__E={"x":[1]}\n\nF=a'


@given(st.binary(max_size=40), st.integers(0, 2**32))
def test_the_same_seed_makes_the_same(data: bytes, seed: int) -> None:
    assert mutate_variables(data, 1 << 20, seed) == mutate_variables(data, 1 << 20, seed)


def test_every_name_value_and_line_is_changed() -> None:
    made = {one for seed in SEEDS if (one := mutate_variables(VARIABLES, 1 << 20, seed))}
    for line in (b"A__B=2", b'C__D__E={"x":[]}', b"A__B_FILE=1", b"A=1", b"A__D__E=1", b"a__b=1", b"F=\n"):
        assert any(line in one + b"\n" for one in made), line
    assert any(one.count(b"F=a") == 2 for one in made)
    assert any(b"F=a" not in one for one in made)
    assert any(one.startswith(b"F=a\n") for one in made)
    assert len(made) > 100


def test_what_is_too_long_or_has_no_variable_is_left_to_others() -> None:
    assert mutate_variables(b"", 100, 1) is None
    assert mutate_variables(b"run\n\n", 100, 1) is None
    assert all(len(mutate_variables(b"A=1", 6, seed) or b"") <= 6 for seed in SEEDS)
