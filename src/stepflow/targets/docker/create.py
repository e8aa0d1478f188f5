"""Creates one container and its files in it, in volumes that exist; not started yet."""

from __future__ import annotations

from operator import methodcaller

from stepflow.errors import PermanentError, TemporaryError
from stepflow.targets.docker import archive
from stepflow.targets.docker.container import FILES, Secret
from stepflow.targets.docker.filled import Filled, Machine
from stepflow.targets.docker.reconcile import foreign
from stepflow.targets.docker.session import EngineSession
from stepflow.targets.docker_api.errors import GONE, TAKEN, EngineRefusedError
from stepflow.targets.secretfiles import secret_text


async def create(session: EngineSession, filled: Filled, number: int) -> str:
    """Create a copy and return its id. The engine does not restart it until it was ready once.

    Raises `PermanentError` when its name is taken by a container that is not stepflow's, `TemporaryError` when its
    image vanished.
    """
    container, engine, identity = filled.container, session.engine, session.identity
    if filled.image is None:
        raise TemporaryError(f"the image of `{container.name}` vanished", delay=0.0)
    creation = filled.creation(number, identity, Machine.of(await engine.info()))
    name = identity.container(filled.instance(number))
    try:
        created: str = (await engine.ask(lambda api: api.create_container_from_config(creation, name)))["Id"]
    except EngineRefusedError as error:
        raise await _not_created(session, name, error) from error
    await _fill(session, filled, created)
    return created


async def _fill(session: EngineSession, filled: Filled, created: str) -> None:
    """Write a container's files and folders into its volumes."""
    container, engine = filled.container, session.engine
    user, _, group = container.user.partition(":")
    names = {piece.name for file in container.files for piece in file.content if isinstance(piece, Secret)}
    texts = {name: secret_text(session.identity.secrets, name) for name in names}
    files = {file.path.removeprefix(f"{FILES}/"): filled.text(file.content, texts) or "" for file in container.files}
    if files:
        packed = archive.files(files, int(group or user))
        await engine.ask(lambda api: api.put_archive(created, FILES, packed))
    for volume in container.volumes:
        if volume.folder:
            folder = archive.folder(volume.folder, int(user), int(group or user))
            await engine.ask(methodcaller("put_archive", created, volume.path, folder))


async def _not_created(session: EngineSession, name: str, error: EngineRefusedError) -> PermanentError | TemporaryError:
    if error.status == GONE:
        return TemporaryError(f"what `{name}` is created from vanished: {error.text}", delay=0.5)
    if error.status != TAKEN:
        return error
    there = await session.engine.ask(lambda api: api.inspect_container(name))
    if session.identity.owns(there["Config"]["Labels"]):
        return TemporaryError(f"the container `{name}` was created by another process at the same time", delay=0.5)
    return foreign("container", name)
