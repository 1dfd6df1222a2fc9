"""Selection rules in CEL (the Common Expression Language), checked before the first series comes.

A rule reads the variable `series`: `series.instances`, and `series.<keyword>` for any attribute of the data dictionary
(PS3.6) that holds text or numbers. What an attribute is depends on the dictionary alone, never on the data:

    text, one value      the text; "" where the attribute is missing or empty
    a number, one value  the number; where it is missing, not-a-number: no comparison with it holds, but `!=`
    several values       the list of them, also for one value; [] where the attribute is missing

So `series.Modality == "CT" && series.SliceThickness <= 3` is false where SliceThickness is missing, and never an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import celpy
import re2  # type: ignore[import-untyped]  # it publishes no types
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError, CELFunction, base_functions, celstr
from lark import Token, Tree

from services.selection.errors import RuleError, RuleFailedError
from services.selection.values import UnusableAttributeError, kind_of, value_of

Attributes = Mapping[str, Any]
"""A DICOM JSON object (PS3.18 F.2): tag to `{"vr": …, "Value": […]}`."""

MOST_CHARACTERS = 2000
_MOST_DEPTH = 200
_MACROS = {"all", "exists", "exists_one", "filter", "map"}
_FUNCTIONS = {"size", "contains", "startsWith", "endsWith", "matches", "int", "double", "string"}


def compile_rule(text: str) -> CelRule:
    """The rule, compiled.

    Raises:
        RuleError: it is no CEL, too long, too deep, or uses what is not there.
    """
    if len(text) > MOST_CHARACTERS:
        raise RuleError(f"longer than {MOST_CHARACTERS} characters")
    environment = celpy.Environment()
    try:
        tree = environment.compile(text)
    except CELParseError as error:
        raise RuleError(f"no CEL expression (line {error.line}, column {error.column})") from error
    except RecursionError as error:
        raise RuleError("nested too deeply") from error
    keywords = _check(tree)
    return CelRule(environment.program(tree, functions=_COMPARISONS), keywords)


class CelRule:
    """A compiled rule. Use `compile_rule`."""

    def __init__(self, program: celpy.Runner, keywords: frozenset[str]) -> None:
        self._program = program
        self._kinds = {keyword: kind_of(keyword) for keyword in keywords - {"instances"}}

    def selects(self, attributes: Attributes, instances: int) -> bool:
        """Whether the rule holds.

        Raises:
            RuleFailedError: it cannot be evaluated on this series.
        """
        series = celtypes.MapType({celtypes.StringType("instances"): celtypes.IntType(instances)})
        for keyword, kind in self._kinds.items():
            series[celtypes.StringType(keyword)] = value_of(kind, attributes)
        try:
            answer = self._program.evaluate({"series": series})
        except Exception as error:  # noqa: BLE001  # the library raises what it likes; its texts quote the series
            kind_of_error = error.args[1] if isinstance(error, CELEvalError) and len(error.args) > 1 else error
            raise RuleFailedError(_name(kind_of_error)) from None
        if not isinstance(answer, celtypes.BoolType):
            raise RuleFailedError("NotABool")
        return bool(answer)


def _name(error: object) -> str:
    return error.__name__ if isinstance(error, type) else type(error).__name__


def _check(tree: Tree[Token]) -> frozenset[str]:
    """The keywords that a rule reads, if it uses only what is there and takes little time on any series."""
    if _depth(tree) > _MOST_DEPTH:
        raise RuleError("nested too deeply")
    macros = [node for node in tree.iter_subtrees() if _called(node) in _MACROS]
    for macro in macros:
        if any(node is not macro and _called(node) in _MACROS for node in macro.iter_subtrees()):
            raise RuleError("a macro within a macro")  # its time would be the product of the lists' lengths
    own_names = {name for macro in macros for name in _first_argument(macro)}
    for node in tree.iter_subtrees():
        called = _called(node)
        if called and called not in _MACROS | _FUNCTIONS:
            raise RuleError(f"there is no function {called}")
        if called == "matches":
            _check_pattern(node)
        if node.data in {"dot_ident", "member_object"}:
            raise RuleError("there are no packages and no messages")
        if node.data == "ident" and str(node.children[0]) not in own_names | {"series"}:
            raise RuleError(f"there is no variable {node.children[0]}")
    keywords = frozenset(_keywords(tree))
    mentions = sum(1 for node in tree.find_data("ident") if node.children[0] == "series")
    if mentions != sum(1 for _ in _keywords(tree)):
        raise RuleError("series is not followed by .keyword")
    for keyword in keywords - {"instances"}:
        try:
            kind_of(keyword)
        except UnusableAttributeError as error:
            raise RuleError(f"series.{keyword}: {error}") from error
    return keywords


def _depth(tree: Tree[Token]) -> int:
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in node.children if isinstance(child, Tree)]
    return depth


def _called(node: Tree[Token]) -> str:
    """The name of the function, method or macro that a node calls, or an empty string."""
    match node.data:
        case "member_dot_arg":
            return str(node.children[1])
        case "ident_arg" | "dot_ident_arg":
            return str(node.children[0])
        case _:
            return ""


def _first_argument(macro: Tree[Token]) -> list[str]:
    arguments = macro.children[2] if len(macro.children) > 2 else None
    if not isinstance(arguments, Tree) or len(arguments.children) != 2 or not isinstance(arguments.children[0], Tree):
        raise RuleError(f"{_called(macro)} takes a name and an expression")
    return [str(ident.children[0]) for ident in arguments.children[0].find_data("ident")]


def _check_pattern(call: Tree[Token]) -> None:
    """A pattern is a literal: known now, so that it can be tried, and never a value of the series."""
    arguments = call.children[-1]
    literals = list(arguments.find_data("literal")) if isinstance(arguments, Tree) else []
    names = list(arguments.find_data("ident")) if isinstance(arguments, Tree) else []
    if len(literals) != 1 or names:
        raise RuleError("matches takes one pattern, which is a string in quotes")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(str(celstr(Token("STRING_LIT", str(literals[0].children[0])))), options)
    except re2.error as error:
        raise RuleError("matches has a pattern that is no regular expression (RE2)") from error


def _keywords(tree: Tree[Token]) -> Iterator[str]:
    """The names that follow `series.`"""
    for node in tree.find_data("member_dot"):
        member = node.children[0]
        while isinstance(member, Tree) and len(member.children) == 1 and member.data != "ident":
            member = member.children[0]
        if isinstance(member, Tree) and member.data == "ident" and member.children[0] == "series":
            yield str(node.children[1])


def _comparison(name: str, compare: Callable[[Any, Any], bool]) -> CELFunction:
    """`compare`, also of an integer with a floating-point number, as CEL has it and the library has not."""
    strict = base_functions[name]

    def compared(left: Any, right: Any) -> Any:
        if _is_number(left) and _is_number(right):
            return celtypes.BoolType(compare(_plain(left), _plain(right)))
        return strict(left, right)

    compared.__name__ = name
    return compared


def _is_number(value: Any) -> bool:
    return isinstance(value, (celtypes.IntType, celtypes.DoubleType)) and not isinstance(value, celtypes.BoolType)


def _plain(value: Any) -> int | float:
    return float(value) if isinstance(value, float) else int(value)


_COMPARISONS = {
    name: _comparison(name, compare)
    for name, compare in {
        "_<_": operator.lt,
        "_<=_": operator.le,
        "_>_": operator.gt,
        "_>=_": operator.ge,
        "_==_": operator.eq,
        "_!=_": operator.ne,
    }.items()
}
