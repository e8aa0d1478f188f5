"""What is left of a killed platform is ended, and said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepflow.errors import PermanentError
from stepflow.targets.contract import discard
from stepflow.targets.local import remove as removing
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.spec import ObservedState, ProcessStatus, write_observed
from stepflow.targets.local.store import Store


async def test_process_that_cannot_be_ended_is_named_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    write_observed(layout.observed, ObservedState({"hello-1": ProcessStatus("s", "ready", 4711, "then")}))
    monkeypatch.setattr(removing, "MARGIN", 0.1)
    monkeypatch.setattr(removing, "lives", lambda pid, started: (pid, started) == (4711, "then"))
    swept: list[int] = []
    monkeypatch.setattr(removing, "sweep", swept.append)
    monkeypatch.setattr(removing, "send", lambda *_: None)
    with pytest.raises(PermanentError, match="these processes cannot be ended: 4711") as failed:
        await removing.remove(Store(layout), None, discard, data=False)
    assert failed.value.hint == "are they another user's?"
    assert set(swept) == {4711}
