"""The desired state of a step: the files, declaration and handoff of its playbook, and their fingerprint. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from pydantic import ValidationError

from stepflow.blame import expect, files
from stepflow.engine.declared import require_possible
from stepflow.engine.disk import Drift
from stepflow.engine.meaning import Meaning, canonical, fingerprint, flat, meaning
from stepflow.engine.outside import Outside
from stepflow.errors import PermanentError
from stepflow.handoff import Handoff, JsonHandoff
from stepflow.large import merged
from stepflow.plan import FileDiff
from stepflow.playbook import Playbook, StepInput
from stepflow.render import digest
from stepflow.targets.contract import Provider
from stepflow.targets.resolved import Resolved, backing_services
from stepflow.workload import PRODUCTION, Declaration, Workload

_PROSE = (".md", ".rst", ".txt")
_NONE: Mapping[str, str] = MappingProxyType({})


class NoPlaybook(Playbook):
    """Stands for the playbook of a step that has none: it hands off the step's own words and does nothing."""

    name = ""
    version = ""
    summary = "Does nothing."

    def declare(self, step: StepInput) -> Declaration:
        """Declare nothing."""
        del step
        return Declaration()


@dataclass(frozen=True, slots=True)
class DesiredStep:
    """What a playbook returns for one step."""

    playbook: Playbook
    input: StepInput
    tree: Mapping[str, bytes]
    declaration: Declaration
    handoff: Handoff
    own: Handoff  # without what its job wrote
    meaning: Meaning
    digests: Mapping[str, str]  # workload -> digest of all that it is made from
    workloads: tuple[Resolved, ...] = ()
    files: FileDiff = field(default_factory=FileDiff)
    edited: Mapping[str, bytes] = field(default_factory=dict)  # files of the tree that stay as the user edited them
    provisional: bool = False  # its playbook cannot be asked before a job has written what it takes
    outdated: str = ""  # why what its job wrote in its last run does not fit its handoff any more
    accepted: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # workload -> its digest, the one that runs

    @property
    def components(self) -> Mapping[str, str]:
        """The parts of its meaning; the step runs again when one of them changes."""
        return self.meaning.components

    @property
    def known_handoffs(self) -> tuple[Handoff, ...]:
        """What the step's own checks see: the handoffs that it takes, in the order of the steps, and its own."""
        return (*(self.input.handoffs[number] for number in sorted(self.input.handoffs)), self.handoff)

    @property
    def replicas(self) -> Mapping[str, int]:
        """The desired number of copies of each workload that has more than one."""
        return {each.name: each.replicas for each in self.declaration.workloads if each.replicas != 1}

    @property
    def servers(self) -> tuple[str, ...]:
        """The kinds of servers that are declared, or that workloads refer to."""
        found = backing_services(self.declaration.servers, self.workloads)
        return tuple(dict.fromkeys(each.kind for each in found))


def desired_step(
    playbook: Playbook,
    step: StepInput,
    drift: Callable[[Mapping[str, str]], Drift],
    sources: Mapping[int, tuple[str, int]],
    written: object = None,
    *,
    provider: Provider,
    options: Mapping[str, str] = _NONE,
    outside: Outside | None = None,
    done: bool = False,
) -> DesiredStep:
    """Return what a playbook desires for a step.

    `drift` compares the digests of what is rendered with what is on disk, `sources` has the playbook's name and the
    key of each step whose handoff is taken, `written` is what the step's job added to its handoff when it last ran,
    and `done` whether that succeeded; `options` are those of the target that `provider` offers, `outside` is what its
    jobs read and create.
    """
    tree = dict(sorted(files(playbook.render(step), "render()").items()))
    declaration = expect(playbook.declare(step), Declaration, "declare()")
    workloads = require_possible(playbook, step, declaration, tree)
    rendered = {path: digest(content) for path, content in tree.items()}
    found = drift(rendered)
    own = handoff = expect(playbook.handoff(step), playbook.gives, "handoff()")
    outdated = ""
    try:
        handoff = with_written(own, written)
    except PermanentError as error:  # a later version of the playbook hands off something else
        outdated = error.message
    if outside and done:
        handoff = with_created(handoff, outside.created(declaration.jobs))
    means = meaning(playbook, step, sources, declaration)
    parts = {**means.components, **(outside.parts(declaration.jobs) if outside else {})}
    parts |= {f"template:{path}": value for path, value in rendered.items()}
    parts |= {f"edited:{path}": value for path, value in found.kept.items()}
    if declaration.deploys:
        parts |= flat_options(provider.meanings(options))
    actual = {**rendered, **found.kept}
    digests = {
        each.name: _workload_digest(each, actual, provider.concerning(options, each)) for each in declaration.workloads
    }
    if declaration.production:
        concerning = provider.concerning(options, declaration.production).values()
        digests[PRODUCTION] = fingerprint((declaration.production, "".join(concerning)))  # as version 0.1.0 did
    means = replace(means, components=parts)
    known = (playbook, step, tree, declaration, handoff, own, means, digests, workloads)
    return DesiredStep(*known, found.diff, found.edited, outdated=outdated)


def with_written(handoff: Handoff, written: object) -> Handoff:
    """Add to a handoff what the step's job wrote. Raises `PermanentError` when it does not fit the handoff's type."""
    if written is None:
        return handoff
    if not isinstance(written, Mapping):
        raise PermanentError(
            f"the job wrote {canonical(written)[:60]} to `$STEPFLOW_HANDOFF`", hint="write one JSON object"
        )
    if isinstance(handoff, JsonHandoff):
        return handoff.model_copy(update={"values": merged(handoff.values, written)})
    try:
        return type(handoff).model_validate({**handoff.model_dump(), **written})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"what the job wrote to `$STEPFLOW_HANDOFF` is not a {type(handoff).__name__}"
        raise PermanentError(f"{what}: `{place}`: {first['msg']}") from error


def with_created(handoff: Handoff, created: Mapping[str, str]) -> Handoff:
    """Add to a handoff the digests of what the step's job created, where its type has a place for them."""
    return handoff.model_copy(update={"creates": {**created}}) if isinstance(handoff, JsonHandoff) else handoff


def flat_options(meanings: Mapping[str, object]) -> dict[str, str]:
    """Return the parts of a fingerprint for what options mean, each value within one for itself."""
    plainly = {key: value for key, value in meanings.items() if isinstance(value, str)}
    nested = {key: value for key, value in meanings.items() if key not in plainly and value != {}}
    return {f"option:{path}": value for path, value in (plainly | flat(nested)).items() if path}


def _one(workload: Workload) -> Workload:
    """Return the workload with one replica: scaling does not change what a copy is."""
    return replace(workload, replicas=1)


def _workload_digest(workload: Workload, files: Mapping[str, str], concerns: Mapping[str, str]) -> str:
    """Digest what a workload is made from; neither its tests nor its prose are."""
    roots = (f"{workload.context}/", "chassis/") if workload.context else ()
    made_from = {
        path: value
        for path, value in files.items()
        if path.startswith(roots) and "/tests/" not in path and not path.endswith(_PROSE)
    }
    return fingerprint([_one(workload), made_from, *([dict(concerns)] if concerns else ())])
