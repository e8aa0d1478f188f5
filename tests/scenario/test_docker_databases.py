"""The script that makes a database in a container says the same however often it runs, and tells no password."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from stepflow.targets.docker.container import FILES, Secret
from stepflow.targets.docker.servers import database
from stepflow.targets.local.programs import find
from stepflow.workload import Server

if TYPE_CHECKING:
    from tests.scenario.conftest import Local

pytestmark = pytest.mark.platform


class _Setup:
    """A setup container's command, run on this machine against the local target's server."""

    def __init__(self, local: Local, folder: Path, name: str, password: str) -> None:
        self.port = local.store.desired()["postgres"].ports["postgres"]
        self.folder, self.container = folder, database(name, {})
        texts = {"postgres": (local.layout.secrets / "postgres").read_text(), f"postgres-{name}": password}
        folder.mkdir()
        for file in self.container.files:
            text = "".join(texts[piece.name] if isinstance(piece, Secret) else str(piece) for piece in file.content)
            there = text.replace("host=postgres\nport=5432", f"host=127.0.0.1\nport={self.port}")
            (folder / Path(file.path).name).write_text(self._here(there))

    async def run(self) -> tuple[int | None, str]:
        """Return the exit code and the output."""
        words = [self._here("".join(map(str, word))) for word in self.container.command]
        env = {key: self._here("".join(map(str, text))) for key, text in self.container.env.items()}
        program = Path(find("postgres").path).with_name(words[0])
        process = await asyncio.create_subprocess_exec(
            program,
            *words[1:],
            env={"PATH": os.environ["PATH"], **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    def _here(self, text: str) -> str:
        return text.replace(FILES, str(self.folder))


async def test_databases_are_made_at_once_and_again_and_a_role_enters_its_own_alone(
    local: Local, tmp_path: Path
) -> None:
    await local.apply(servers=(Server("postgres"),))
    setups = [
        _Setup(local, tmp_path / name, name, f'it\'s a \\ "{name}" $1') for name in ("users", "orders", "payments")
    ]
    for _ in "12":
        assert await asyncio.gather(*(setup.run() for setup in setups)) == [(0, "")] * 3
    login = {"host": "127.0.0.1", "port": setups[0].port, "user": "users", "password": 'it\'s a \\ "users" $1'}
    connection = await asyncpg.connect(**login, database="users")
    assert await connection.fetchval("SELECT current_user || '@' || current_database()") == "users@users"
    await connection.execute("CREATE TABLE mine (id int)")
    await connection.close()
    for other in ("orders", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f'permission denied for database "{other}"'):
            await asyncpg.connect(**login, database=other)


async def test_a_password_that_was_changed_holds_after_the_next_run(local: Local, tmp_path: Path) -> None:
    await local.apply(servers=(Server("postgres"),))
    for password in ("first-secret", "second-secret"):
        setup = _Setup(local, tmp_path / password, "users", password)
        assert await setup.run() == (0, "")
    connection = await asyncpg.connect(f"postgresql://users:second-secret@127.0.0.1:{setup.port}/users")
    await connection.close()


async def test_a_script_that_fails_says_why_and_no_one_tells_the_password(local: Local, tmp_path: Path) -> None:
    await local.apply(servers=(Server("postgres"),))
    setup = _Setup(local, tmp_path / "users", "users", "a-secret-of-users")
    script = tmp_path / "users" / "database.sql"
    script.write_text(script.read_text().replace('ALTER ROLE "users"', 'ALTER ROLE "absent-role"'))
    code, said = await setup.run()
    assert code == 3
    assert 'ERROR:  role "absent-role" does not exist' in said
    log = local.layout.log("postgres").read_text()
    assert 'role "absent-role" does not exist' in log
    assert "a-secret-of-users" not in said + log
