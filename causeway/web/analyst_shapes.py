"""The analyst's answers in the shapes of ``/api``, shared by the JSON answer, the command line and the page."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from causeway.analyst.analyst import Answer
from causeway.analyst.asked import Asked
from causeway.analyst.result import Value
from causeway.contracts.money import to_dollars


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class ResultColumnShape(_Shape):
    """A column of a result."""

    name: str
    kind: str = Field(description="number, text, time, boolean or other")


class ChartShape(_Shape):
    """How a result is drawn."""

    kind: str
    title: str
    spec: dict[str, Any] | None = Field(
        description="Vega-Lite with the rows in it; null for a table or one number"
    )
    alternatives: list[str]


class AttemptShape(_Shape):
    """A draft of the query."""

    sql: str
    problem: str = Field(description="What was wrong with it; empty when nothing was")


class AnalystAnswerShape(_Shape):
    """What a question came to."""

    state: str = Field(
        description="answered; refused (the data does not hold it, or it asks for a change); unclear (`message` asks"
        " back); failed (no draft could be run)"
    )
    message: str = Field(
        description="Why there is no answer, or the question back; empty when it was answered"
    )
    database: str
    sql: str
    columns: list[ResultColumnShape]
    rows: list[list[Value]]
    truncated: bool = Field(description="There are more rows than these")
    chart: ChartShape | None
    explanation: str
    assumptions: list[str]
    terms: dict[str, str] = Field(description="Words of the glossary that the question uses")
    attempts: list[AttemptShape]
    trace_id: str
    conversation_id: str
    model: str
    usage: dict[str, int]
    cost_usd: float
    took_ms: int
    model_ms: int


class OfferedColumnShape(_Shape):
    """A column that may be asked about."""

    name: str
    type: str
    about: str
    values: list[str]


class OfferedTableShape(_Shape):
    """A table that may be asked about."""

    name: str
    about: str
    rows: int | None
    columns: list[OfferedColumnShape]


class AskedDatabaseShape(_Shape):
    """A database that may be asked."""

    name: str
    dialect: str
    description: str
    tables: list[OfferedTableShape]
    metrics: dict[str, str]
    terms: dict[str, str]
    examples: list[str]


def answer_shape(answer: Answer) -> AnalystAnswerShape:
    """An answer for the wire."""
    result, chart, said = answer.result, answer.chart, answer.explanation
    return AnalystAnswerShape(
        state=answer.state,
        message=answer.message,
        database=answer.database,
        sql=answer.sql,
        columns=[ResultColumnShape(name=column.name, kind=column.kind) for column in result.columns]
        if result
        else [],
        rows=[list(row) for row in result.rows] if result else [],
        truncated=bool(result and result.is_cut),
        chart=ChartShape(
            kind=chart.kind,
            title=chart.title,
            spec=dict(chart.spec) if chart.spec else None,
            alternatives=list(chart.alternatives),
        )
        if chart
        else None,
        explanation=said.text if said else "",
        assumptions=list(said.assumptions) if said else [],
        terms=dict(said.terms) if said else {},
        attempts=[AttemptShape(sql=attempt.sql, problem=attempt.problem) for attempt in answer.attempts],
        trace_id=answer.trace_id,
        conversation_id=answer.conversation_id,
        model=answer.model,
        usage={"input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens},
        cost_usd=to_dollars(answer.cost_micros),
        took_ms=answer.took_ms,
        model_ms=answer.model_ms,
    )


def database_shape(asked: Asked) -> AskedDatabaseShape:
    """A database for the wire, as its asker sees it."""
    return AskedDatabaseShape(
        name=asked.name,
        dialect=asked.offer.dialect,
        description=asked.layer.description,
        tables=[
            OfferedTableShape(
                name=name,
                about=offered.table.comment,
                rows=offered.table.rows,
                columns=[
                    OfferedColumnShape(
                        name=column.name,
                        type=column.type,
                        about=column.comment,
                        values=list(column.values[:8]),
                    )
                    for column in offered.table.columns
                ],
            )
            for name, offered in asked.offer.tables.items()
        ],
        metrics={name: f"{metric.about}: {metric.sql}" for name, metric in asked.layer.metrics.items()},
        terms={name: term.about for name, term in asked.layer.terms.items()},
        examples=asked.layer.examples,
    )
