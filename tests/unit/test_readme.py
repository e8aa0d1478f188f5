"""The playbook of the front page is one: it holds to the contract as it stands there."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from stepflow.playbook import Playbook
from stepflow.testing import PlaybookContract

README = Path(__file__).parents[2] / "README.md"


class TestContract(PlaybookContract):
    """The suite that a plugin's author would run."""

    @pytest.fixture(autouse=True)
    def _import(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Import the code under "Write a playbook" as a module of its own."""
        section = README.read_text(encoding="utf-8").split("## Write a playbook")[1]
        code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
        assert code is not None
        (tmp_path / "greeter.py").write_text(code[1], encoding="utf-8")
        spec = spec_from_file_location("greeter", tmp_path / "greeter.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "greeter", module)
        spec.loader.exec_module(module)
        self.kind: type[Playbook] = module.Greeter

    def playbook(self) -> Playbook:
        return self.kind()

    def test_its_page_says_what_the_step_is_set_to_and_asked_for(self) -> None:
        plain, polite = self.step(frozenset()), self.step(frozenset({"politeness"}))
        assert self.playbook().render(plain) == {"greeter/index.html": b"hello\n"}
        assert self.playbook().render(polite) == {"greeter/index.html": b"hello, with a bow\n"}


@pytest.mark.parametrize("page", [README, *sorted((README.parent / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_every_command_on_a_page_names_a_file_that_the_checkout_has(page: Path) -> None:
    typed = re.findall(
        r"^    .*stepflow\S* (?:run|plan|check|show|graph) (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [file for file in typed if file != "FILE" and not (README.parent / file).is_file()] == []
