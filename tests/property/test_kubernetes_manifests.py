"""Whatever is declared: objects that every supported API takes, and flows that a reference or a convention names."""

from __future__ import annotations

import json

from connectivity import OUTSIDE, flows, picks, pods
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_cases import objects, release

from stepflow.handoff import DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.workload import Declaration, HttpProbe, Port, Workload
from stepflow_playbooks.orchestration.bundle.validate import problems

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True).filter(
    lambda name: name not in {"nats", "postgres", "valkey", "platform", "production"}
)
PORTS = st.lists(
    st.tuples(st.sampled_from(("grpc", "mesh", "otlp", "smtp")), st.integers(1024, 65535)),
    max_size=3,
    unique_by=(lambda pair: pair[0], lambda pair: pair[1]),
)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
FILE_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
SERVERS = st.sampled_from(
    (ServerFile("nats"), ServerFile("valkey"), ServerFile("postgres", "a_b"), ServerFile("postgres"))
)
VARIABLES = st.from_regex(r"[A-Z][A-Z_]{0,10}(PASSWORD|TOKEN)?", fullmatch=True)


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    ports = {name: (Port(), *(Port(p, n, p.upper()) for p, n in draw(PORTS) if n != Port().number)) for name in names}
    endpoints = [Endpoint(name, port.name, "address") for name in names for port in ports[name]]
    values: st.SearchStrategy[Value] = st.one_of(
        TEXT, st.sampled_from(endpoints), SERVERS, FILE_NAMES.map(SecretFile), FILE_NAMES.map(DataDir)
    )
    return Declaration(
        tuple(
            Workload(
                name,
                ("python", draw(values)),
                HttpProbe("/ready"),
                context=name,
                ports=ports[name],
                env=draw(st.dictionaries(VARIABLES, values, max_size=4)),
                replicas=draw(st.integers(1, 5)),
                migrate=draw(st.sampled_from(((), ("python", "-m", "migrate")))),
            )
            for name in names
        )
    )


def _convention(declaration: Declaration, flow: tuple[str, str, int]) -> bool:
    source, to, port = flow
    gateways = {each.name for each in declaration.workloads if "mesh" in {p.name for p in each.ports}}
    names = {p.name for each in declaration.workloads if each.name == to for p in each.ports if p.number == port}
    return bool(names & {"mesh", "otlp"}) or ("http" in names and source in gateways)


@given(declarations())
@settings(max_examples=25, deadline=None)
def test_any_declaration_gives_objects_that_the_api_takes(declaration: Declaration) -> None:
    found = objects(release(declaration), declaration)
    assert problems([("", item) for item in found], "1.36") == []
    assert json.dumps(found) == json.dumps(objects(release(declaration), declaration))
    for item in found:
        if item["kind"] == "Service":
            picked = [p.name for p in pods(found) if picks({"matchLabels": item["spec"]["selector"]}, p.labels)]
            assert picked == [item["metadata"]["labels"]["app.kubernetes.io/name"]]


@given(declarations())
@settings(max_examples=25, deadline=None)
def test_every_reference_is_a_flow_and_every_other_flow_a_convention(declaration: Declaration) -> None:
    numbers = release(declaration).numbers
    allowed = {flow for flow in flows(objects(release(declaration), declaration)) if flow[0] != OUTSIDE}
    named = {
        (each.name, value.workload, numbers[value.workload][value.port])
        for each in declaration.workloads
        for value in (*each.command, *each.env.values())
        if isinstance(value, Endpoint) and value.workload != each.name
    }
    named |= {(f"{source}.migration", to, port) for source, to, port in named}
    assert {flow for flow in named if not flow[0].endswith(".migration")} <= allowed
    workloads = {each.name for each in declaration.workloads}
    for source, to, port in allowed - named:
        if to in workloads:
            assert _convention(declaration, (source.removesuffix(".migration"), to, port)), (source, to, port)
