"""What a check leaves for people: report.json, report.html, and for each case a picture and the outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from services.contracts.card import ModelCard

_STYLE = (
    "body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
    "td,th{padding:.2rem 1rem .2rem 0;text-align:left;vertical-align:top}img{max-width:100%}.bad{color:#a40000}"
)


def keep(folder: Path, case: str, picture: bytes | None, outputs: bytes) -> None:
    """Write what came out of a case."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{case}.npz").write_bytes(outputs)
    if picture:
        (folder / f"{case}.png").write_bytes(picture)


def write(folder: Path, card: ModelCard, report: Mapping[str, Any]) -> None:
    """Write the report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    (folder / "report.html").write_text(page(card, report), encoding="utf-8")


def page(card: ModelCard, report: Mapping[str, Any]) -> str:
    """The report as a page."""
    verdict = "passed" if report["passed"] else "did not pass"
    rows = "".join(_case(case) for case in report["cases"])
    problems = "".join(f'<p class="bad">{escape(problem)}</p>' for problem in report["problems"])
    return (
        f'<!doctype html><meta charset="utf-8"><title>{escape(card.name)} {escape(card.version)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(card.title)} {escape(card.version)}: {verdict}</h1>"
        f"<p>{escape(card.intended_use)}</p><p>{escape(str(report['at']))}, package {escape(report['digest'][:16])}, "
        f"loaded in {report['load_seconds']} s</p>{problems}{rows}"
    )


def _case(case: Mapping[str, Any]) -> str:
    figures = "".join(f"<tr><td>{escape(name)}</td><td>{value}</td></tr>" for name, value in case["figures"].items())
    problems = "".join(f'<p class="bad">{escape(problem)}</p>' for problem in case["problems"])
    picture = f'<img src="{escape(case["picture"])}" alt="what was found, on the input">' if case["picture"] else ""
    verdict = "passed" if case["passed"] else "did not pass"
    return (
        f"<h2>{escape(case['case'])}: {verdict} in {case['seconds']} s</h2>{problems}<table>{figures}</table>{picture}"
    )
