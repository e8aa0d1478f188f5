"""What runs to its end: making a database, and bringing one to what a version of its workload needs."""

from __future__ import annotations

import json
from dataclasses import replace

from stepflow.targets.databases import SERVICE, database_script
from stepflow.targets.resolved import Resolved

from . import objects
from .container import View
from .model import Component, Object, Release
from .names import CONFIGS, SECRETS, database_owner, dns_label, hashed, metadata
from .network import roles
from .pod import Pod, template
from .postgres import ADMIN, PASSWORD_FILE, SERVICE_FILE, role_secret
from .slot import content_name

_SCRIPT_FILE = "database.sql"
_LONGEST = 900  # seconds
_KEPT = 24 * 3600  # seconds after its end
_TRIES = 8  # 10, 20, 40 ... seconds apart: where all is applied at once, the server's image may still be on its way


def database_objects(release: Release, database: str) -> list[Object]:
    """Return the Job that makes a database and its role, and what it needs; the Job is last.

    It says the same however often it runs, also on a volume that is not new. Nothing for a database of the user's own.
    Raises `PermanentError` for what cannot be a database's name.
    """
    if release.external("postgres", database):
        return []
    owner = dns_label(database_owner(database).replace("_", "-"))
    component = Component(owner, "database", flows="postgres")
    secrets = {ADMIN: (SERVICE_FILE,), role_secret(database): (PASSWORD_FILE,)}
    script = database_script(database, f"{SECRETS}/{role_secret(database)}/{PASSWORD_FILE}")
    config = objects.config_map(release, component, {_SCRIPT_FILE: script})
    volumes, mounts = objects.secret_volumes(secrets)
    volume, mount = objects.config_volume(config)
    psql: Object = {
        "name": "psql",
        "image": release.image("postgres"),
        "command": ["psql", "--no-psqlrc", "--quiet", f"--file={CONFIGS}/{_SCRIPT_FILE}", f"service={SERVICE}"],
        "env": [{"name": "PGSERVICEFILE", "value": f"{SECRETS}/{ADMIN}/{SERVICE_FILE}"}],
    }
    pod = Pod(
        component=component,
        container=psql,
        size="job",
        volumes=[*volumes, volume],
        mounts=[*mounts, mount],
        restart="OnFailure",
    )
    return [objects.service_account(release, component), config, _job(release, pod)]


def migration_objects(release: Release, resolved: Resolved) -> list[Object]:
    """Return the Job that migrates a workload's database, after its files.

    Another image or command is another Job. It runs as the workload, and may reach what the workload may: the
    workload's other objects, but for the controller, must be there before. Nothing where nothing is to migrate.
    """
    name, command = resolved.name, resolved.workload.migrate
    if not command:
        return []
    # With a dot, which no workload has in its name: its Service must not select these pods.
    component = Component(f"{name}.migration", "migration", owner=name, flows=name)
    view = View(release, resolved)
    files, env = view.files(component), view.environment()
    pod = Pod(
        component=component,
        container=view.container(command, env.variables),
        size="job",
        volumes=files.volumes,
        mounts=files.mounts,
        roles=roles(resolved),
        account=name,
        annotations=env.annotations,
        restart="OnFailure",
    )
    return [*files.config_maps, _job(release, pod)]


def _job(release: Release, pod: Pod) -> Object:
    """Return a Job named after its pod's content: other content runs again."""
    made = template(release, pod)
    name = content_name(hashed(pod.component.name.replace(".", "-"), json.dumps(made, sort_keys=True)), made)
    component = replace(pod.component, instance=name)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(release, component, name),
        "spec": {
            "backoffLimit": _TRIES,
            "activeDeadlineSeconds": _LONGEST,
            "ttlSecondsAfterFinished": _KEPT,
            "completions": 1,
            "parallelism": 1,
            "template": made,
        },
    }
