"""Tokens and expressions of an OpenQASM program, for the second reader."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

#: A number, or its value where a gate's parameters are given.
Expression = float | Callable[[Mapping[str, float]], float]
Item = TypeVar("Item")

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r'"[^"]*"|\'[^\']*\'|->|\*\*|\$\d+|[^\W\d]\w*'
    r"|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|\S"
)
_WHOLE = re.compile(r"[\d_]+")
_CONSTANTS = {
    "pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "ln": math.log,
    "sqrt": math.sqrt, "asin": math.asin, "acos": math.acos, "atan": math.atan,
}  # fmt: skip
_END = ""


def value(expression: Expression, values: Mapping[str, float]) -> float:
    """Evaluate an expression for a gate's parameters."""
    return expression(values) if callable(expression) else expression


def _divide(left: float, right: float) -> float:
    """Divide; whole numbers, which OpenQASM 3 alone has, as C does."""
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divide, "power": math.pow,
}  # fmt: skip


class Tokens:
    """A program's words, read from the first to the last.

    Every method raises ``ValueError``, or what arithmetic raises, where the words do not fit.

    Attributes:
        version: 2 or 3: 1/2 is .5 or 0, a power ``^`` or ``**``.
    """

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(_COMMENT.sub(" ", text)), _END]
        self._at = 0
        self.version = 3

    @property
    def ahead(self) -> str:
        """The next word, which stays; empty at the end."""
        return self._tokens[self._at]

    def next(self) -> str:
        """Take the next word."""
        token = self._tokens[self._at]
        if token == _END:
            raise ValueError("it ends within a statement")
        self._at += 1
        return token

    def expect(self, token: str) -> None:
        """Take a word that must be this one."""
        if self.ahead != token:
            raise ValueError(f"{self.ahead!r} stands in place of {token!r}")
        self._at += 1

    def skip_statement(self) -> None:
        """Take everything up to a semicolon."""
        self._at = self._tokens.index(";", self._at) + 1

    def items(self, read: Callable[[], Item], end: str) -> list[Item]:
        """Read ``(a, b)`` or ``{a, b}``."""
        self.next()
        items = []
        while self.ahead != end:
            items.append(read())
            if self.ahead != end:
                self.expect(",")
        self.next()
        return items

    def whole_number(self) -> int:
        """Read an expression that is a whole number."""
        number = value(self.expression(), {})
        if not float(number).is_integer():
            raise ValueError(f"{number} is no whole number")
        return int(number)

    def expression(self, parameters: tuple[str, ...] = ()) -> Expression:
        """Read an expression with a gate's parameters."""
        left = self._product(parameters)
        while self.ahead in ("+", "-"):
            left = _combine(self.next(), left, self._product(parameters))
        return left

    def _product(self, parameters: tuple[str, ...]) -> Expression:
        left = self._signed(parameters)
        while self.ahead in ("*", "/"):
            left = _combine(self.next(), left, self._signed(parameters))
        return left

    def _signed(self, parameters: tuple[str, ...]) -> Expression:
        if self.ahead in ("+", "-"):
            return _combine(self.next(), 0, self._signed(parameters))
        base = self._atom(parameters)
        if self.ahead == ("^" if self.version == 2 else "**"):
            self.next()
            return _combine("power", base, self._signed(parameters))
        return base

    def _atom(self, parameters: tuple[str, ...]) -> Expression:
        token = self.next()
        if token == "(":
            inner = self.expression(parameters)
            self.expect(")")
            return inner
        if token in parameters:
            return lambda values: values[token]
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token in _FUNCTIONS:
            function = _FUNCTIONS[token]
            (argument,) = self.items(lambda: self.expression(parameters), ")")
            if callable(argument):
                return lambda values: function(value(argument, values))
            return function(argument)
        if self.version == 3 and _WHOLE.fullmatch(token):
            return int(token)
        return float(token)


def _combine(sign: str, left: Expression, right: Expression) -> Expression:
    operation = _OPERATIONS[sign]
    if callable(left) or callable(right):
        return lambda values: operation(value(left, values), value(right, values))
    return operation(left, right)
