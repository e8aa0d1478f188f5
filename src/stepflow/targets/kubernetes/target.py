"""The Kubernetes target's face: see `stepflow.targets.contract.Target`."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from difflib import get_close_matches

from stepflow.errors import MachineError, PermanentError, TemporaryError, UsageError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Progress, Site, Snapshot, discard
from stepflow.targets.kubernetes.access.live import KubernetesLive, lead
from stepflow.targets.kubernetes.access.logs import build_log, lines, pods_of
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError
from stepflow.targets.kubernetes.converge.execute import apply
from stepflow.targets.kubernetes.converge.reconcile import plan
from stepflow.targets.kubernetes.converge.remove import removals, remove
from stepflow.targets.kubernetes.converge.where import Stages, Where
from stepflow.targets.kubernetes.loading.images import require_builder
from stepflow.targets.kubernetes.manifests.names import OURS
from stepflow.targets.kubernetes.manifests.network import MESH
from stepflow.targets.kubernetes.options.values import Values
from stepflow.targets.kubernetes.options.valuesfile import values_of
from stepflow.targets.kubernetes.state import binding
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.observed import things
from stepflow.targets.kubernetes.state.secrets import read_back
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import ClusterState, look_everywhere, owner_of
from stepflow.targets.resolution import resolution
from stepflow.targets.resolved import backing_services, resolve
from stepflow.targets.secretfiles import require_given
from stepflow.workload import Declaration, Live

_ADMIN = ""  # the key of the administrator's URL


class KubernetesTarget:
    """Workloads as objects of one namespace of a cluster."""

    name = "kubernetes"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._session: ClusterSession | None = None
        self._client: Client | None = None
        self._lock = threading.Lock()

    async def observe(self) -> Snapshot:
        """Look at everything. Raises `MachineError` when there is a platform and no cluster."""
        session = await self._known()
        if session is None:
            return Snapshot({}, await self._before())
        seen = await session.everything.next()
        where = {"context": session.client.context, "namespace": session.namespace}
        return Snapshot(things(session, seen), seen, where)

    async def _before(self) -> ClusterState | None:
        """Look into the namespace that a platform which was never made is to use: it may be someone's already.

        None where none was asked for, and where no cluster answers: a run will say why.
        """
        who, client = _unborn(self._site), None
        if not self._site.options.get("namespace"):
            return None
        try:
            there = binding.find(self._site, who)
            client = Client(there.context)
            seen = await look_everywhere(client, there.namespace, who.id, {})
            return replace(seen, unlabelled={})  # nothing was made for a platform that is yet to be created
        except (MachineError, TemporaryError, UsageError):
            return None
        finally:
            if client is not None:
                client.close()

    async def require(self) -> None:
        """Raise `MachineError` unless the cluster and what builds images answer.

        Raises `UsageError` when it is not clear which cluster is meant.
        """
        who = KubernetesIdentity.known(self._site)
        client = (
            self._session.client
            if self._session
            else Client(binding.find(self._site, who or _unborn(self._site)).context)
        )
        await client.version()
        if self._session is None:
            client.close()
        await require_builder()

    def require_named(self, declarations: Sequence[Declaration]) -> None:
        """Raise `UsageError` where the values name what no step declares."""
        require_named(values_of(self._site.options), declarations)

    def require_given(self, desired: Desired, snapshot: Snapshot) -> None:
        """Raise `PermanentError` for a secret that only a person knows and that neither this machine nor the cluster
        has.
        """
        seen, where = self._seen(snapshot)
        folder, resolved = where.who.secrets, resolution(desired)
        try:
            require_given(folder, resolved.workloads)
        except PermanentError:
            require_given(folder, resolved.workloads, read_back(seen, Stages(resolved).secrets(seen, where)))

    def reconcile(self, desired: Desired, snapshot: Snapshot) -> tuple[Action, ...]:
        """Compare object by object; what was never made, with the namespace that was asked for, or with nothing."""
        return plan(desired, *self._seen(snapshot))

    def _seen(self, snapshot: Snapshot) -> tuple[ClusterState, Where]:
        """Return the cluster as it was observed, and where the platform is, or would be."""
        seen = snapshot.detail if isinstance(snapshot.detail, ClusterState) else ClusterState({})
        session = self._session
        who = session.identity if session else _unborn(self._site)
        namespace = session.namespace if session else self._site.options.get("namespace") or who.prefix
        return seen, Where(self._site, who, namespace)

    def removals(self, causes: Mapping[str, str], snapshot: Snapshot) -> tuple[Action, ...]:
        """Return the removal of each object."""
        session = self._session
        return removals(causes, snapshot.detail, session.identity.id) if session and snapshot.detail else ()

    async def apply(self, desired: Desired, progress: Callable[[Progress], None]) -> tuple[Action, ...]:
        """Make the declaration true and wait until all of it is ready."""
        session = await self._settled(KubernetesIdentity.of(self._site))
        return await apply(session, desired, progress)

    async def remove(
        self,
        names: Collection[str] | None = None,
        *,
        data: bool = False,
        progress: Callable[[Progress], None] = discard,
    ) -> tuple[str, ...]:
        """Remove; volumes, secrets, images and the namespace stay unless `data`."""
        session = await self._known()
        if session is None:
            return ()
        removed = await remove(session, names, progress, data=data)
        if names is None:
            session.forwarder.close()
        if names is None and data:
            session.client.close()
            self._session = self._client = None  # its id is gone
        return removed

    async def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        """Return the lines; those of several pods are marked with the pod's name. Raises `UsageError`."""
        session = await self._known()
        found = await pods_of(session, name) if session else []
        if session and found:
            async with aclosing(lines(session, name, found, follow=follow, tail=tail)) as given:
                async for line in given:
                    yield line
            return
        file = build_log(session.identity, name) if session else None
        if file is None:
            known = ", ".join(f"`{each}`" for each in sorted(await self._owners(session) if session else ()))
            raise UsageError(f"there is no log of `{name}`", hint=f"there are: {known or 'none'}")
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-tail:] if tail else ():
            yield line

    def live(self) -> Live:
        """Return the view that checks work with."""
        return KubernetesLive(self._site, self._made)

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        """Return nothing: the orchestration playbook renders the manifests."""
        del declarations
        return {}

    @asynccontextmanager
    async def reach(self, wish: int | None = None) -> AsyncIterator[str]:
        """Lead a port of this machine to the platform's page."""
        session = await self._known()
        if session is None:
            raise UsageError(f"`{self._site.platform}` has no page to open", hint="`stepflow resume` starts it")
        try:
            yield await lead(session, things(session, await session.everything.next()), wish)
        finally:
            session.forwarder.close()

    async def _owners(self, session: ClusterSession) -> set[str]:
        pods = await session.client.list("v1", "Pod", session.namespace, f"{OURS}={session.identity.id}")
        return {owner_of(each) for each in pods}

    async def _known(self) -> ClusterSession | None:
        """Return where the platform is, if it was ever made. Raises `UsageError` in another cluster than its own."""
        who = KubernetesIdentity.known(self._site)
        if who is None or binding.recorded(who) is None:
            return None
        return await self._settled(who)

    async def _settled(self, who: KubernetesIdentity) -> ClusterSession:
        """Return where the platform is, once it is sure that this is its cluster; asked once."""
        if self._session is not None:
            return self._session
        found = binding.find(self._site, who)
        if self._client is None:
            self._client = Client(found.context)
        try:
            system = await self._client.get("v1", "Namespace", "kube-system")
        except ClusterRefusedError:  # not to be seen by everyone
            system = None
        binding.settle(who, found, str(system["metadata"]["uid"]) if system else "")
        return self._made() or self._open(who)

    def _made(self) -> ClusterSession | None:
        """Return the one value by which all of a process know of each other; also blocking callers ask for it."""
        who = KubernetesIdentity.known(self._site) if self._session is None else None
        if who is not None and binding.recorded(who) is not None:
            return self._open(who)
        return self._session

    def _open(self, who: KubernetesIdentity) -> ClusterSession:
        with self._lock:
            if self._session is None:
                found = binding.find(self._site, who)
                client = self._client = self._client or Client(found.context)
                self._session = ClusterSession.of(self._site, who, client, found.namespace)
            return self._session


def require_named(values: Values, declarations: Sequence[Declaration]) -> None:
    """Raise `UsageError` for a workload, a database or an entry of the values that no step of the document declares: a
    mistyped name would silently change nothing. Raises `PermanentError` as `resolve` does.
    """
    workloads = [resolve(workload) for each in declarations for workload in each.workloads]
    names = {each.name for each in workloads}
    for each in values.egress:
        _require("egress", "workload", each.workload, names)
    servers = backing_services((server for each in declarations for server in each.servers), workloads)
    databases = {each.database for each in servers if each.kind == "postgres"}
    for name in values.postgres.external:
        _require("postgres.external", "database", name, databases | {_ADMIN})
    if values.entry and not any(MESH in each.ports for each in workloads):
        hint = "leave `entry` out, or add a step with the playbook `service-discovery`"
        raise UsageError("the values have an `entry`, and no step of the document declares a gateway", hint=hint)


def _require(field: str, what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        there = ", ".join(f"`{each}`" for each in sorted(known) if each) or "none"
        problem = f"`{field}` of the values names the {what} `{name}`, which no step of the document declares"
        raise UsageError(problem, hint=f"did you mean `{near[0]}`?" if near else f"there are: {there}")


def _unborn(site: Site) -> KubernetesIdentity:
    """Return an identity for a platform that is yet to be created: nothing is recorded of it."""
    return KubernetesIdentity(site.platform, "000000", site.state.resolve())
