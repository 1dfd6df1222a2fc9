"""What the supervisor tells."""

from __future__ import annotations

from pathlib import Path

from services.launcher import state
from services.launcher.state import PartPhase, PartState, Phase, State


def test_a_state_is_read_as_it_was_told(tmp_path: Path) -> None:
    told = State(Phase.READY, 7, {"edge": 8080}, {"edge": PartState(PartPhase.READY, 8, 1.5, 0.2, 3)}, None)
    state.write(tmp_path, told)
    assert state.read(tmp_path) == told


def test_no_state_and_a_broken_one_are_none(tmp_path: Path) -> None:
    assert state.read(tmp_path) is None
    (tmp_path / "state.json").write_text('{"phase": "odd", "parts": {}}')
    assert state.read(tmp_path) is None


def test_one_supervisor_holds_a_folder_and_others_see_it(tmp_path: Path) -> None:
    assert not state.is_held(tmp_path)
    with state.hold(tmp_path) as held:
        assert held
        assert state.is_held(tmp_path)
        with state.hold(tmp_path) as second:
            assert not second
        assert state.is_held(tmp_path)
    assert not state.is_held(tmp_path)
