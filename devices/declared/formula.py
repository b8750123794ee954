"""Reads a formula over fields and signals, and computes it for many readings at once.

A formula is parsed by Python's own parser and then walked: what is not in the lists here is refused, so that nothing
else of Python is within reach: no attribute, no index, no call but of the functions below. Every value is a float,
flags are 0 and 1, and what has no value is NaN, which goes through every step. It is bounded in length, steps, depth.
"""

import ast
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from devices.sensors.columns import DictionaryColumn
from devices.world.random import Floats
from edgewire.config_errors import closest

MAX_LENGTH = 500
MAX_STEPS = 200
MAX_DEPTH = 30

Operand = Floats | float
Values = Mapping[str, Floats | DictionaryColumn]
"""Name -> its value, one a row: texts are a dictionary column."""
_Compute = Callable[[Values], Operand]


class Formula(NamedTuple):
    """Holds a formula that can be computed."""

    text: str
    names: frozenset[str]
    """Of fields, settings and signals."""
    is_flag: bool
    """Whether it says that something is so, or not."""
    compute: _Compute

    def evaluate(self, values: Values, rows: int) -> Floats:
        """Return its value in every row; NaN where it has none, an infinite one is none either."""
        with np.errstate(all="ignore"):
            found = np.array(np.broadcast_to(np.asarray(self.compute(values), dtype=np.float64), (rows,)))
        found[~np.isfinite(found)] = np.nan
        return found


def _known(*operands: Operand) -> Any:
    known: Any = True
    for one in operands:
        known = known & ~np.isnan(one)
    return known


def _told(answer: Any, *operands: Operand) -> Operand:
    """Return an answer as 0 and 1, and as no value where one of its operands has none."""
    return np.where(_known(*operands), np.asarray(answer, dtype=np.float64), np.nan)


def _where(condition: Operand, yes: Operand, no: Operand) -> Operand:
    return np.where(np.isnan(condition), np.nan, np.where(condition != 0, yes, no))


def _clip(value: Operand, low: Operand, high: Operand) -> Operand:
    return np.minimum(np.maximum(value, low), high)


def _round(value: Operand, decimals: Operand = 0.0) -> Operand:
    scale = np.power(10.0, np.rint(_clip(decimals, -12.0, 12.0)))
    return np.rint(value * scale) / scale


_FUNCTIONS: Mapping[str, tuple[Callable[..., Operand], int, int]] = {
    "abs": (np.abs, 1, 1),
    "sqrt": (np.sqrt, 1, 1),
    "exp": (np.exp, 1, 1),
    "log": (np.log, 1, 1),
    "log10": (np.log10, 1, 1),
    "sin": (np.sin, 1, 1),
    "cos": (np.cos, 1, 1),
    "tan": (np.tan, 1, 1),
    "tanh": (np.tanh, 1, 1),
    "floor": (np.floor, 1, 1),
    "ceil": (np.ceil, 1, 1),
    "sign": (np.sign, 1, 1),
    "round": (_round, 1, 2),
    "min": (lambda *of: _reduced(np.minimum, of), 2, 10),
    "max": (lambda *of: _reduced(np.maximum, of), 2, 10),
    "clip": (_clip, 3, 3),
    "where": (_where, 3, 3),
    "hypot": (np.hypot, 2, 2),
}
"""Name -> function, and how many arguments it takes at the least and at the most. Angles are in radians."""
FUNCTION_NAMES = tuple(_FUNCTIONS)
CONSTANTS: Mapping[str, float] = {"pi": np.pi}
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Operand]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_FLAGS = (ast.Compare, ast.BoolOp)


def _reduced(function: Callable[[Any, Any], Operand], operands: tuple[Operand, ...]) -> Operand:
    found = operands[0]
    for other in operands[1:]:
        found = function(found, other)
    return found


def read_formula(text: str, texts: Mapping[str, Collection[str]], known: Collection[str]) -> Formula:
    """Return the formula of a text over `known` names; `texts` are the fields that are texts, with all their values.

    Raises `ValueError` with a sentence.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"has {len(text)} characters, more than {MAX_LENGTH}: make fields with hidden: true of parts")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        said = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply"
        raise ValueError(f"'{text}' is no formula: {said}") from None
    if sum(1 for _ in ast.walk(tree)) > 3 * MAX_STEPS:
        raise ValueError(f"has more than {MAX_STEPS} steps: make fields with hidden: true of parts")
    reader = _Reader(texts, known)
    compute = reader.read(tree, 0)
    is_flag = isinstance(tree, _FLAGS) or (isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not))
    return Formula(text, frozenset(reader.names), is_flag, compute)


class _Reader:
    """Makes functions of the nodes of a formula, and notes the names in it."""

    def __init__(self, texts: Mapping[str, Collection[str]], known: Collection[str]) -> None:
        self.names: set[str] = set()
        self._texts = texts
        self._known = known
        self._steps = 0

    def read(self, node: ast.expr, depth: int) -> _Compute:
        self._steps += 1
        if self._steps > MAX_STEPS or depth > MAX_DEPTH:
            raise ValueError(
                f"has more than {MAX_STEPS} steps, or {MAX_DEPTH} in each other: make fields with hidden: true of parts"
            )

        def inner(one: ast.expr) -> _Compute:
            return self.read(one, depth + 1)

        match node:
            case ast.Constant(value=bool() | int() | float() as value):
                return _constant(value)
            case ast.Name() | ast.Attribute():
                return self._name(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _binary(_BINARY[type(op)], inner(left), inner(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _unary(np.negative, inner(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return inner(operand)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _unary(lambda value: _told(value == 0, value), inner(operand))
            case ast.BoolOp(op=op, values=values):
                return _both_or_either([inner(one) for one in values], needs_all=isinstance(op, ast.And))
            case ast.Compare():
                return self._comparison(node, inner)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return _call(_where, [inner(test), inner(body), inner(orelse)])
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(name, arguments, inner)
        raise ValueError(
            f"'{_shown(node)}' has no place in a formula: it knows numbers, names, + - * / // % **, comparisons, "
            f"and, or, not, a if b else c, and {', '.join(FUNCTION_NAMES)}"
        )

    def _name(self, node: ast.expr) -> _Compute:
        name = _dotted(node)
        if name in CONSTANTS:
            return _constant(CONSTANTS[name])
        if name in self._texts:
            raise ValueError(f"'{name}' is a text: it can be compared, {name} == 'x', and not computed with")
        if name not in self._known:
            there = sorted({*self._known, *CONSTANTS})
            raise ValueError(f"nothing is called '{name}'{closest(name, there) or '; there are ' + ', '.join(there)}")
        self.names.add(name)
        return lambda values: _number_of(values, name)

    def _comparison(self, node: ast.Compare, inner: Callable[[ast.expr], _Compute]) -> _Compute:
        if (of_text := self._text_comparison(node)) is not None:
            return of_text
        sides = [inner(one) for one in (node.left, *node.comparators)]
        steps = []
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if type(op) not in _COMPARISONS:
                raise ValueError(f"'{_shown(node)}' compares by a word: write <, <=, >, >=, == or !=")
            steps.append(_compared(_COMPARISONS[type(op)], left, right))
        return steps[0] if len(steps) == 1 else _both_or_either(steps, needs_all=True)

    def _text_comparison(self, node: ast.Compare) -> _Compute | None:
        """Return the comparison of a field of texts with one of its values; None of a comparison of numbers."""
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[ast.Constant(value=str() as wanted)]):
                name = _dotted(left) if isinstance(left, ast.Name | ast.Attribute) else ""
            case _:
                return None
        if name not in self._texts:
            raise ValueError(f"'{_shown(node)}' compares with a text, and {name or 'what stands there'} is none")
        if not isinstance(op, ast.Eq | ast.NotEq):
            raise ValueError(f"'{_shown(node)}' compares texts: write == or !=")
        if wanted not in self._texts[name]:
            raise ValueError(f"{name} is never '{wanted}'{closest(wanted, self._texts[name])}")
        self.names.add(name)
        is_equal = isinstance(op, ast.Eq)

        def compute(values: Values) -> Operand:
            column = values[name]
            assert isinstance(column, DictionaryColumn), "texts are dictionary columns"
            same = np.array([one == wanted for one in column.dictionary])[column.indices]
            return np.asarray(same == is_equal, dtype=np.float64)

        return compute

    def _call(self, name: str, arguments: list[ast.expr], inner: Callable[[ast.expr], _Compute]) -> _Compute:
        if name not in _FUNCTIONS:
            hint = closest(name, FUNCTION_NAMES) or f"; there are {', '.join(FUNCTION_NAMES)}"
            raise ValueError(f"there is no function '{name}'{hint}")
        function, least, most = _FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"{name} takes {wanted} arguments, not {len(arguments)}")
        return _call(function, [inner(one) for one in arguments])


def _number_of(values: Values, name: str) -> Floats:
    found = values[name]
    assert not isinstance(found, DictionaryColumn), "texts are only compared"
    return found


def _constant(value: float) -> _Compute:
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("has a number that is too large: write it with fewer digits") from None
    if not np.isfinite(number):
        raise ValueError("has a number that is too large: write it with fewer digits")
    return lambda values: number


def _binary(function: Callable[[Any, Any], Operand], left: _Compute, right: _Compute) -> _Compute:
    return lambda values: function(left(values), right(values))


def _unary(function: Callable[[Any], Operand], operand: _Compute) -> _Compute:
    return lambda values: function(operand(values))


def _call(function: Callable[..., Operand], arguments: list[_Compute]) -> _Compute:
    return lambda values: function(*(one(values) for one in arguments))


def _compared(function: Callable[[Any, Any], Any], left: _Compute, right: _Compute) -> _Compute:
    def compute(values: Values) -> Operand:
        first, second = left(values), right(values)
        return _told(function(first, second), first, second)

    return compute


def _both_or_either(sides: list[_Compute], *, needs_all: bool) -> _Compute:
    def compute(values: Values) -> Operand:
        found = [side(values) for side in sides]
        answer: Any = needs_all
        for one in found:
            answer = answer & (one != 0) if needs_all else answer | (one != 0)
        return _told(answer, *found)

    return compute


def _dotted(node: ast.expr) -> str:
    """Return a name, which may have one dot, as those of signals have."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=first), attr=second):
            return f"{first}.{second}"
    raise ValueError(f"'{_shown(node)}' is no name: one is of a field, of settings or of a signal")


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:60]}…"
