"""A trace as a tree."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from services.launcher import spans
from services.launcher.commands import trace
from services.launcher.spans import Span

MS = 1_000_000


def _span(number: int, parent: int | None, name: str, start: int, end: int, **more: str) -> Span:
    return Span(
        trace_id="t",
        span_id=str(number),
        parent_span_id=None if parent is None else str(parent),
        name=name,
        service=more.pop("service", "ingest"),
        start_unix_ns=start * MS,
        end_unix_ns=end * MS,
        **more,  # type: ignore[arg-type]
    )


def _print(nodes: list[trace.Node], width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(trace.table(nodes, width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_children_stand_under_their_parent_in_the_order_of_time() -> None:
    (root,) = trace.tree(
        [_span(3, 1, "late", 5, 6), _span(1, None, "root", 0, 9), _span(2, 1, "early", 1, 2), _span(4, 3, "deep", 5, 6)]
    )
    assert [child.name for child in root.children] == ["early", "late"]
    assert [child.name for child in root.children[1].children] == ["deep"]


def test_many_siblings_of_one_name_are_told_as_one_with_what_is_below_them() -> None:
    stores = [_span(10 + i, 1, "store", i, i + i) for i in range(1, 101)]
    commits = [_span(1000 + i, 10 + i, "commit", i, i + 1) for i in range(1, 101)]
    (root,) = trace.tree([_span(1, None, "root", 0, 300), *stores, *commits])
    (store,) = root.children
    (commit,) = store.children
    assert len(store.spans) == len(commit.spans) == 100
    told = trace.as_json([root])[0]["children"][0]
    assert (told["count"], told["sum_ms"], told["p50_ms"], told["max_ms"]) == (100, 5050, 50.5, 100)
    for width in (80, 140):
        text = _print([root], width)
        assert "store ×100" in text
        assert "Σ 5.05 s  p50 50 ms  max 100 ms" in text
        assert max(map(len, text.splitlines())) <= width


def test_a_few_siblings_are_told_one_by_one() -> None:
    (root,) = trace.tree([_span(1, None, "root", 0, 9), *(_span(i, 1, "same", i, i + 1) for i in (2, 3, 4))])
    assert len(root.children) == 3


def test_siblings_of_two_services_are_not_mixed() -> None:
    mixed = [_span(i, 1, "same", i, i + 1, service="ab"[i % 2]) for i in range(2, 12)]
    (root,) = trace.tree([_span(1, None, "root", 0, 20), *mixed])
    assert sorted((node.service, len(node.spans)) for node in root.children) == [("a", 5), ("b", 5)]


def test_a_span_whose_parent_was_never_written_is_a_root() -> None:
    assert [node.name for node in trace.tree([_span(1, None, "root", 0, 9), _span(2, 77, "orphan", 3, 4)])] == [
        "root",
        "orphan",
    ]


def test_an_error_is_marked() -> None:
    (root,) = trace.tree([_span(1, None, "root", 0, 9), _span(2, 1, "bad", 1, 2, status="error")])
    assert "bad  ✗" in _print([root])
    assert trace.as_json([root])[0]["children"][0]["failures"] == 1


def test_a_doubled_line_counts_once() -> None:
    assert len(trace.tree([_span(1, None, "root", 0, 9), _span(1, None, "root", 0, 9)])) == 1


def test_without_carriers_work_stands_under_the_work_that_led_to_it() -> None:
    found = trace.without_carriers(
        [
            _span(1, None, "dimse association", 0, 90, kind="server"),
            _span(2, 1, "plexus.ingest.v1.Ingest/Store", 1, 9, kind="client"),
            _span(3, 2, "plexus.ingest.v1.Ingest/Store", 2, 8, kind="server"),
            _span(4, 3, "ingest store", 3, 7),
            _span(5, 4, "plexus.job.requested process", 10, 12, kind="consumer", status="error"),
            _span(6, 4, "plexus.audit.recorded process", 10, 12, kind="consumer"),
            _span(7, 99, "encode SEG", 20, 30),
            _span(8, 6, "triton compute", 11, 12),
        ]
    )
    association, encode = trace.tree(found)
    assert (association.name, encode.name) == ("dimse association", "encode SEG")
    (store,) = association.children
    assert [node.name for node in store.children] == ["plexus.job.requested process", "triton compute"]


def test_a_ring_of_parents_ends() -> None:
    ring = [_span(1, 2, "a", 0, 1, kind="client"), _span(2, 1, "b", 0, 1, kind="client"), _span(3, 1, "work", 0, 1)]
    assert [node.name for node in trace.tree(trace.without_carriers(ring))] == ["work"]


def test_an_empty_trace_is_an_empty_tree() -> None:
    assert trace.tree([]) == []
    assert trace.as_json([]) == []


def test_only_the_spans_of_the_trace_are_read_and_broken_lines_are_passed_over(tmp_path: Path) -> None:
    line = {"trace_id": "aa", "span_id": "1", "name": "n", "service": "s", "start_unix_ns": 1, "end_unix_ns": 2}
    other = line | {"trace_id": "bb"}
    lines = [json.dumps(line), json.dumps(other), "", '{"trace_id": "aa", "span', json.dumps(line | {"span_id": "2"})]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    assert [span.span_id for span in spans.read(tmp_path, "aa")] == ["1", "2"]


def test_a_trace_is_found_by_its_own_id_and_by_that_of_its_job(tmp_path: Path) -> None:
    line = {"trace_id": "aa", "span_id": "1", "name": "n", "service": "s", "start_unix_ns": 1, "end_unix_ns": 2}
    other = line | {"trace_id": "bb", "attributes": {"plexus.job.id": "cc"}}
    (tmp_path / "s.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(other)}\n")
    assert spans.trace_of(tmp_path, "aa") == "aa"
    assert spans.trace_of(tmp_path, "cc") == "bb"
    assert spans.trace_of(tmp_path, "dd") is None
