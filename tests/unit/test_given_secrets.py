"""A secret that only a person knows is asked for before a run does anything, on every target."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from stepflow.cli import main
from stepflow.errors import PermanentError
from stepflow.handoff import SecretFile
from stepflow.targets import open_target
from stepflow.targets.contract import Asking, Desired, Site, Snapshot
from stepflow.targets.kubernetes.state.snapshot import ClusterState
from stepflow.workload import Declaration, HttpProbe, Workload

MAILER = Workload("mailer", ("python",), HttpProbe("/"), env={"PASSWORD_FILE": SecretFile("smtp", given=True)})
DESIRED = Desired(Declaration((MAILER,)), {"mailer": "1"}, (MAILER,))
SHOP = """\
# Shop

## Step 1: Mail
- Playbook: notification-service
- Prompt: send mail
- SmtpHost: mail.example
- SmtpUser: shop
"""


def asking(name: str, folder: Path) -> Asking:
    target = open_target(name, Site("shop", folder / "state", folder / "out"))
    assert isinstance(target, Asking)
    return target


@pytest.mark.parametrize("name", ["local", "docker", "kubernetes"])
def test_a_target_asks_for_a_secret_until_it_is_there_and_creates_nothing(name: str, tmp_path: Path) -> None:
    target = asking(name, tmp_path)
    with pytest.raises(PermanentError, match="`mailer` needs the secret `smtp`, which only you know") as refused:
        target.require_given(DESIRED, Snapshot({}))
    folder = tmp_path / "state/secrets"
    write = f"write it into `{folder}/smtp` (mode 0600), then type the same again"
    assert refused.value.hint == f"`mkdir -p -m 700 {folder}`, {write}"
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True)
    (folder / "smtp").write_text("what I know", "utf-8")
    target.require_given(DESIRED, Snapshot({}))


def test_a_secret_that_the_cluster_still_has_is_not_asked_for(tmp_path: Path) -> None:
    target = asking("kubernetes", tmp_path)
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret-smtp", "namespace": "shop"},
        "data": {"value": base64.b64encode(b"what I know").decode()},
    }  # fmt: skip
    target.require_given(DESIRED, Snapshot({}, ClusterState({"Secret": [secret]})))


def test_plan_and_run_say_which_secret_is_missing_and_the_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.md").write_text(SHOP, "utf-8")
    assert main(["plan", "shop.md"]) == 0
    missing = "`notification-service` needs the secret `smtp-password`, which only you know"
    folder = tmp_path / ".stepflow/shop/secrets"
    hint = f"`mkdir -p -m 700 {folder}`, write it into `{folder}/smtp-password` (mode 0600), then type the same again"
    assert capsys.readouterr().err == f"hint: a run would not start: {missing}\nhint: {hint}\n"
    assert main(["run", "shop.md"]) == 1
    assert capsys.readouterr().err == f"error: {missing}\nhint: {hint}\n"
    assert not (tmp_path / ".stepflow/shop").exists()
