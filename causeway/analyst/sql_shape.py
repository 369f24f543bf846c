"""What a query is made of: every node, clause, function and type on the lists of `causeway.analyst.sql_vocabulary`, or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from causeway.analyst.offer import Offer
from causeway.analyst.sql_vocabulary import BUILDERS, CLAUSES, FUNCTIONS, JOINS, NODES, TYPES
from causeway.errors import RefusedSqlError

_MOST_NODES: Final = 2_500
_LONGEST_LITERAL: Final = 500
_DEEPEST_BUILDING: Final = 12
_DEEPEST_REPLACING: Final = 3
_LONGEST_REPLACEMENT: Final = 20


def require_known_shape(tree: exp.Expr, offer: Offer) -> None:
    """Every node of the tree is on the lists."""
    for number, node in enumerate(tree.walk()):
        if number >= _MOST_NODES:
            raise RefusedSqlError(f"the query has more than {_MOST_NODES:,} parts; write it more simply")
        if isinstance(node, exp.Anonymous):
            _require_known_function(node, offer)
        elif type(node) not in NODES:
            raise RefusedSqlError(f"'{excerpt(node, offer)}' is not allowed here ({type(node).__name__})")
        _require_known_parts(node, offer)


_PARTS: Final[tuple[tuple[type[exp.Expr], frozenset[str]], ...]] = (
    (exp.Select, CLAUSES),
    (exp.SetOperation, CLAUSES | {"this", "expression"}),
    (exp.Join, JOINS),
    (exp.Table, frozenset({"this", "alias", "db", "catalog"})),
    (exp.Subquery, frozenset({"this", "alias", "order", "limit", "offset"})),
    (exp.CTE, frozenset({"this", "alias"})),
    (exp.With, frozenset({"expressions"})),
    (exp.Star, frozenset()),
    (exp.Window, frozenset({"this", "partition_by", "order", "spec", "over", "alias", "first"})),
)
"""What nodes that carry more than operands may carry."""


def _require_known_parts(node: exp.Expr, offer: Offer) -> None:
    for kind, allowed in _PARTS:
        if isinstance(node, kind) and (unknown := set(given(node)) - allowed):
            words = ", ".join(sorted(name.rstrip("_").upper() for name in unknown))
            raise RefusedSqlError(f"{words} is not allowed in a {type(node).__name__.lower()}")
    if isinstance(node, exp.Star):
        _require_in_place(node, offer)
    elif isinstance(node, exp.DataType):
        _require_known_type(node, offer)
    elif isinstance(node, exp.Literal):
        _require_small(node)
    if isinstance(node, BUILDERS):
        _require_bounded(node)


def _require_in_place(star: exp.Star, offer: Offer) -> None:
    """``*`` stands for columns only in a SELECT's list and in COUNT: elsewhere it is a whole row."""
    holder = star.parent.parent if isinstance(star.parent, exp.Column) else star.parent
    if not isinstance(holder, exp.Select | exp.Count):
        raise RefusedSqlError(f"'{excerpt(holder or star, offer)}' takes a whole row; name its columns")


def given(node: exp.Expr) -> Iterator[str]:
    """The names of the parts that a node has."""
    return (name for name, value in node.args.items() if value not in (None, False, []))


def _require_known_function(node: exp.Anonymous, offer: Offer) -> None:
    name = str(node.this).lower() if isinstance(node.this, str) else ""
    if name not in FUNCTIONS[offer.dialect]:
        raise RefusedSqlError(f"the function '{name or excerpt(node, offer)}' is not allowed")


def _require_known_type(node: exp.DataType, offer: Offer) -> None:
    name = node.this.value if isinstance(node.this, exp.DType) else str(node.this)
    if name not in TYPES or any(isinstance(part, exp.DataType) for part in node.expressions):
        raise RefusedSqlError(f"the type '{excerpt(node, offer)}' is not allowed")


def _require_small(node: exp.Literal) -> None:
    if len(str(node.this)) > _LONGEST_LITERAL:
        raise RefusedSqlError(
            f"a value has {len(str(node.this)):,} characters; {_LONGEST_LITERAL} are allowed"
        )


def _require_bounded(node: exp.Expr) -> None:
    """Text that grows out of text grows a little: ``replace`` in ``replace`` in ... would fill the memory."""
    above = [parent for parent in _ancestors(node) if isinstance(parent, BUILDERS)]
    replacing = [each for each in [node, *above] if isinstance(each, exp.Replace | exp.RegexpReplace)]
    gathering = [each for each in [node, *above] if isinstance(each, exp.GroupConcat | exp.ArrayAgg)]
    is_deep = len(above) > _DEEPEST_BUILDING and not isinstance(node, exp.DPipe)
    if is_deep or len(replacing) > _DEEPEST_REPLACING or len(gathering) > 1:
        raise RefusedSqlError(f"{type(node).__name__.upper()} is nested too deeply; write it more simply")
    replacement = node.args.get("replacement")
    if replacement is not None and not (
        isinstance(replacement, exp.Literal) and len(str(replacement.this)) <= _LONGEST_REPLACEMENT
    ):
        raise RefusedSqlError(f"REPLACE puts in a literal text of at most {_LONGEST_REPLACEMENT} characters")


def _ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def excerpt(node: exp.Expr, offer: Offer) -> str:
    """The beginning of a part of a query, for messages."""
    return node.sql(dialect=offer.dialect, comments=False)[:80]
