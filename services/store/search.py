"""A query as SQL over `study st`, `series se` and `instance i` (PS3.18 10.6.1.2). Values travel as arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.dicom.matching import AnyOf, Condition, Universal
from services.store.comparing import Arguments, Source, compared
from services.store.keys import KEYS, SEARCHABLE, Key, own_keywords
from services.store.model import Level, Query
from services.store.narrowing import narrowed

__all__ = ["SEARCHABLE", "Shares", "own_keywords", "where"]

Shares = Mapping[Level, Mapping[int, float]]
"""By level, the share of rows that have a term; those that are not there are rare."""
_UP: Final = {"Modality": "ModalitiesInStudy", "SOPClassUID": "SOPClassesInStudy"}


def where(query: Query, arguments: Arguments, shares: Shares) -> str:
    """Give the WHERE clause of a query over `study st`, and where its level needs them `series se` and `instance i`.

    Args:
        query: what is asked for.
        arguments: where its values go.
        shares: how common the common terms are.
    """
    found = []
    if query.study_instance_uid:
        found.append(f"st.study_instance_uid = {arguments.add(query.study_instance_uid)}")
    if query.series_instance_uid:
        found.append(f"se.series_instance_uid = {arguments.add(query.series_instance_uid)}")
    conditions = _conditions(query)
    by_level: dict[Level, dict[str, Condition]] = {level: {} for level in Level}
    for keyword, condition in conditions.items():
        by_level[KEYS[query.level][keyword].level][keyword] = condition
    order = list(Level)
    here = order[: order.index(query.level) + 1]
    for level in here:
        found += _terms_of(query, by_level[level], arguments, shares)
    below = [level for level in order if level not in here and by_level[level]]
    if below:
        found.append(_exists_below(query, below, by_level, arguments, shares))
    classes = conditions.get("SOPClassUID")
    if query.level is Level.INSTANCE and not query.study_instance_uid and isinstance(classes, AnyOf):
        # No index of instances by class: the studies that have one are few, or else one is soon found.
        found.append(f"st.sop_classes && {arguments.add(list(classes.values))}::text[]")
    return " AND ".join(found or ["TRUE"])


def _conditions(query: Query) -> Mapping[str, Condition]:
    known = KEYS[query.level]
    asked = {k: c for k, c in query.conditions.items() if k in known and not isinstance(c, Universal)}
    if query.level is Level.STUDY:
        lower = [keyword for keyword in asked if known[keyword].level is not Level.STUDY]
        if len(lower) == 1 and (above := _UP.get(lower[0])) and above not in asked:
            asked[above] = asked.pop(lower[0])
    return asked


def _exists_below(
    query: Query,
    below: list[Level],
    by_level: Mapping[Level, Mapping[str, Condition]],
    arguments: Arguments,
    shares: Shares,
) -> str:
    joined, on = "index.series se", "se.study = st.id"
    if query.level is Level.SERIES:
        joined, on = "index.instance i", "i.series = se.id"
    elif Level.INSTANCE in below:
        joined += " JOIN index.instance i ON i.series = se.id"
    found = [term for level in below for term in _terms_of(query, by_level[level], arguments, shares)]
    return f"EXISTS (SELECT FROM {joined} WHERE {' AND '.join((on, *found))})"  # fixed texts and $n


def _terms_of(query: Query, conditions: Mapping[str, Condition], arguments: Arguments, shares: Shares) -> list[str]:
    known = KEYS[query.level]
    found = []
    in_items: dict[str, list[str]] = {}
    for keyword, condition in conditions.items():
        key = known[keyword]
        exact = compared(key.source, condition, arguments)
        if key.moment and query.offset_from_utc is not None:
            found.append(_shifted(key, exact, condition, query.offset_from_utc, arguments))
            continue
        few = narrowed(key, condition, shares.get(key.level, {}), arguments)
        indexed = [few] if few else []
        if key.sequence:
            in_items.setdefault(f"{key.alias}.more->'{key.sequence}'", []).append(exact)
            found += indexed
        else:
            found += [*indexed, f"CASE WHEN {exact} THEN TRUE END"] if indexed else [exact]
    for items, exacts in in_items.items():
        # One item has to meet them all (PS3.4 C.2.2.2.6).
        one = f"EXISTS (SELECT FROM jsonb_array_elements({items}) AS item WHERE {' AND '.join(exacts)})"
        found.append(f"CASE WHEN {one} THEN TRUE END")
    return found


def _shifted(key: Key, exact: str, condition: Condition, minutes: int, arguments: Arguments) -> str:
    """The same in the time zone of the query, for rows whose own is known (PS3.4 C.2.2.2.5)."""
    name = f"'{key.moment}'"
    moment = f"(({key.alias}.more->'moments'->>{name})::timestamp + make_interval(mins => {arguments.add(minutes)}))"
    form = "YYYYMMDD" if key.source.vr == "DA" else "HH24MISS.US"
    there = compared(Source(f"(to_char({moment}, '{form}') COLLATE \"C\")", key.source.vr), condition, arguments)
    return f"CASE WHEN {key.alias}.more->'moments' ? {name} THEN {there} ELSE {exact} END"
