"""The API on a port of this machine, and what every cluster has from the beginning."""

from __future__ import annotations

import yaml
from aiohttp import web

from onenode.api import Api
from onenode.objects import Objects

CONTEXT = "stepflow-tests"


async def serve(api: Api) -> tuple[web.AppRunner, int]:
    """Serve on loopback; gives what ends it, and the port."""
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, int(runner.addresses[0][1])


def kubeconfig(port: int) -> str:
    """Write how the API is reached."""
    return yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "admin", "user": {"token": "admin"}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin"}}],
    })  # fmt: skip


def furnish(objects: Objects) -> None:
    """Make what every cluster has."""
    for name in ("default", "kube-system"):
        objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "cluster")
    objects.create({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "stepflow-tests/folders",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    }, "cluster")  # fmt: skip
