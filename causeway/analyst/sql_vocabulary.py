"""What SQL may be made of: the kinds of nodes, clauses, functions and types that a query may contain.

Closed lists: whatever sqlglot knows or learns beyond them is refused. Functions that read files, run text as SQL, wait,
change settings, tell of the server or make large values out of small ones are not in them.
"""

from __future__ import annotations

from sqlglot import expressions as exp

_SHAPES = (
    "Select Union Intersect Except Subquery CTE With TableAlias From Join Where Group Having Order Ordered Limit Offset "
    "Distinct Window WindowSpec Filter WithinGroup Qualify Table Column Identifier Alias Star Paren Tuple Literal "
    "Boolean Null Var DataType DataTypeParam Interval IntervalSpan Rollup Cube GroupingSets Fetch Values IgnoreNulls"
)
_OPERATORS = (
    "And Or Xor Not EQ NEQ GT GTE LT LTE Is Between In Like ILike SimilarTo Any All Exists Add Sub Mul Div IntDiv Mod Neg "
    "DPipe SafeDPipe NullSafeEQ NullSafeNEQ Escape RegexpLike RegexpILike Collate AtTimeZone Glob BitwiseAnd BitwiseOr "
    "Case If Cast TryCast Coalesce Nullif Nvl2 Greatest Least Array"
)
_AGGREGATES = (
    "Count CountIf Sum Avg Min Max Stddev StddevPop StddevSamp Variance VariancePop Median Mode PercentileCont PercentileDisc "
    "Quantile ApproxQuantile ApproxDistinct GroupConcat ArrayAgg LogicalAnd LogicalOr Corr CovarPop CovarSamp AnyValue "
    "ArgMax ArgMin First Last RegrSlope RegrIntercept RegrR2 RowNumber Rank DenseRank PercentRank CumeDist Ntile Lag Lead FirstValue LastValue NthValue"
)
_NUMBERS = "Abs Ceil Floor Round Sqrt Cbrt Pow Exp Ln Log Sign Trunc SafeDivide"
_TEXTS = (
    "Upper Lower Length Substring Trim Concat ConcatWs Replace Left Right Initcap StrPosition SplitPart RegexpReplace "
    "RegexpExtract RegexpSubstr RegexpCount Reverse StartsWith EndsWith Contains Ascii Translate Levenshtein"
)
_TIMES = (
    "CurrentDate CurrentTimestamp CurrentTime CurrentDatetime Localtimestamp Extract DateTrunc TimestampTrunc DatetimeTrunc DateAdd DateSub DateDiff DatetimeAdd "
    "DatetimeSub DatetimeDiff TimestampAdd TimestampSub TimestampDiff TsOrDsAdd TsOrDsDiff TsOrDsToDate "
    "TsOrDsToTimestamp TsOrDsToDatetime TsOrDsToTime TsOrDsToDateStr TimeToStr TimeStrToTime TimeStrToDate StrToTime StrToDate ToChar Date Datetime Timestamp Year "
    "Month Day Quarter Week WeekOfYear DayOfWeek DayOfWeekIso DayOfMonth DayOfYear Hour Minute Second UnixToTime TimeToUnix LastDay Dayname "
    "Monthname DateFromParts TimestampFromParts MonthsBetween AddMonths JustifyDays JustifyHours JustifyInterval"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _nodes(*names: str) -> frozenset[type[exp.Expr]]:
    found = (getattr(exp, name, None) for name in " ".join(names).split())
    return frozenset(each for each in found if each is not None)


NODES = _nodes(_SHAPES, _OPERATORS, _AGGREGATES, _NUMBERS, _TEXTS, _TIMES)
"""Every kind of node that a query may contain, `exp.Anonymous` aside."""

CLAUSES = _words(
    "with_ expressions from_ joins where group having qualify order limit offset distinct windows"
)
"""What a SELECT may have; INTO, FOR UPDATE, TABLESAMPLE, hints and the like are not in it."""

JOINS = _words("this on side kind using")
"""What a join may have: not ``method``, which is NATURAL, nor ``hint``."""

FUNCTIONS = {
    "postgres": _words(
        "age date_part make_date to_number mod div width_bucket regr_slope bool_and bool_or every"
    ),
    "sqlite": _words("strftime julianday unixepoch date datetime time total iif ifnull instr"),
    "duckdb": _words("datepart date_part strftime epoch age median mode list_sort make_date mod"),
    "mysql": _words("date_format str_to_date timestampdiff period_diff dayname monthname weekday mod"),
}
"""Functions that sqlglot has no class for, by dialect."""

TYPES = _words(
    "BIGINT BOOLEAN CHAR DATE DATETIME DATETIME2 DATE32 DECIMAL DOUBLE FLOAT INT INTERVAL MEDIUMINT NCHAR NVARCHAR SMALLINT TEXT TIME "
    "TIMESTAMP TIMESTAMPNTZ TIMESTAMPTZ TINYINT UBIGINT UINT USMALLINT VARCHAR NAME"
)
"""Types that values may be cast to: none that looks a name up in the catalogue, such as regclass."""

BUILDERS = (
    exp.Replace,
    exp.RegexpReplace,
    exp.Concat,
    exp.ConcatWs,
    exp.DPipe,
    exp.GroupConcat,
    exp.ArrayAgg,
    exp.Translate,
)
"""What makes larger values out of smaller ones."""
