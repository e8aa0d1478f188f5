"""What a values file may say, and how it is told where something in it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepflow.errors import DocumentError, UsageError
from stepflow.targets.kubernetes.options.values import Values
from stepflow.targets.kubernetes.options.valuesfile import _model, read, values_of

ALL = """\
storage: {class: fast, size: 4Gi}
nats: {nodes: 1, size: 1Gi, external: {secret: our-nats}}
postgres:
  size: 5Gi
  external:
    "": {secret: our-postgres, key: admin}
    orders: {secret: our-postgres, key: orders}
valkey: {size: 1Gi, external: {secret: our-valkey, key: uri}}
entry: {host: shop.example, tls-secret: shop-tls, ingress-class: nginx, issuer: letsencrypt}
egress:
- {workload: notification-service, cidr: 203.0.113.0/24, ports: [25, 587]}
monitoring: prometheus-operator
requests-per-second: 50
"""


def wrong(tmp_path: Path, text: str | bytes) -> list[tuple[str, str, str]]:
    """Read a file that is wrong, and give what was found: place and code, sentence, hint."""
    file = tmp_path / "values.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DocumentError) as error:
        read(str(file))
    count = len(error.value.diagnostics)
    assert error.value.message == f"{count} {'error' if count == 1 else 'errors'} in the values file"
    assert {each.span.file for each in error.value.diagnostics} == {str(file)}
    found = error.value.diagnostics
    return [(f"{each.span.line}:{each.span.column} {each.code}", each.message, each.hint) for each in found]


def test_every_field_is_read_and_recorded_in_one_form(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(ALL)
    said = read(str(file))
    values = values_of({"values": said})
    assert values.storage.storage_class == "fast"
    assert values.postgres.external[""].key == "admin"
    assert values.entry is not None
    assert values.entry.tls_secret == "shop-tls"
    assert values.egress[0].ports == (25, 587)
    assert values.requests_per_second == 50
    file.write_text(values.model_dump_json(by_alias=True))  # JSON is YAML
    assert read(str(file)) == said


def test_what_is_the_default_anyway_is_not_recorded(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    for text in ("", "# nothing\n", "{}\n", "nats: {nodes: 3}\nstorage: {size: 8Gi}\n"):
        file.write_text(text)
        assert read(str(file)) == "", text
    assert values_of({}) == values_of({"values": ""}) == Values()


def test_all_that_is_wrong_is_told_at_once_each_at_its_place(tmp_path: Path) -> None:
    text = (
        "storage:\n  clas: fast\n  ephemeral: maybe\n"
        "nats: {nodes: 2, size: 10GB}\n"
        "postgres:\n  external:\n    orders: {}\n    users: {secret: Foo_Bar}\n"
        "entry: {gateway: x}\n"
        "egress:\n- {workload: a, cidr: 10.0.0.0/40, ports: [80, 99999]}\n"
        "- {workload: b, cidr: 10.0.0.0/8, ports: []}\n"
        "monitoring: yes\nqueue: 1\n"
    )
    assert wrong(tmp_path, text) == [
        ("2:3 SF402", "`storage.clas` is not a field of a values file", "did you mean `class`?"),
        ("3:14 SF403", '`storage.ephemeral` is "maybe", but should be `true` or `false`', ""),
        ("4:15 SF403", "`nats.nodes` is 2, but should be 1, 3 or 5", ""),
        ("4:24 SF403", '`nats.size` is "10GB", but should be a size such as `512Mi` or `20Gi`', ""),
        ("7:13 SF403", "`postgres.external.orders` needs `secret`", ""),
        (
            "8:21 SF403",
            '`postgres.external.users.secret` is "Foo_Bar", but should be a name of a-z, 0-9, `-` and `.`',
            "",
        ),
        ("9:8 SF403", "`entry` needs `host`", ""),
        ("9:18 SF403", '`entry.gateway` is "x", but should be a map: its fields, indented below it', ""),
        ("11:23 SF403", "`egress[0].cidr`: '10.0.0.0/40' does not appear to be an IPv4 or IPv6 network", ""),
        ("11:48 SF403", "`egress[0].ports[1]` is 99999, but should be less than or equal to 65535", ""),
        ("12:42 SF403", "`egress[1].ports` is [], but should be a list with at least one item", ""),
        ("13:13 SF403", "`monitoring` is true, but should be `prometheus-operator`", ""),
        (
            "14:1 SF402",
            "`queue` is not a field of a values file",
            "one of: `storage`, `nats`, `postgres`, `valkey`, `entry`, `egress`, `monitoring`, `requests-per-second`",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "storage: {class: a, ephemeral: true}",
            "`storage`: `class` and `ephemeral: true` exclude each other: what is ephemeral has no volume",
        ),
        (
            "entry: {host: a.b, issuer: c}",
            "`entry`: `issuer` needs `tls-secret`: the Secret that cert-manager writes the certificate into",
        ),
        (
            "entry: {host: a.b, ingress-class: c, gateway: {name: d, namespace: e}}",
            "`entry`: `gateway` and `ingress-class` exclude each other: the Gateway has a certificate of its own",
        ),
    ],
)
def test_fields_that_exclude_or_need_each_other_are_told(tmp_path: Path, text: str, said: str) -> None:
    [(_, message, _)] = wrong(tmp_path, text)
    assert message == said


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (
            "a: [",
            "1:5",
            "this is not YAML: while parsing a flow node expected the node content, but found '<stream end>'",
        ),
        ("a: 1\n--- \nb: 2\n", "2:1", "this is not YAML: expected a single document in the stream but found another"),
        ("nats: {}\nnats: {}\n", "2:1", "`nats` occurs twice, first in line 1"),
        ("a: !!python/object:os.system x", "1:4", "this is not YAML: could not determine a constructor for the tag"),
        ("a: \x07", "1:1", "this is not YAML: unacceptable character #x0007"),
        ("a: 2024-99-99", "1:1", "this is not YAML: month must be in 1..12"),
        ("a: &a\n  - *a\n", "2:5", "aliases are not supported"),
        ("[" * 5000 + "]" * 5000, "1:1", "this is nested too deeply"),
    ],
)
def test_what_yaml_does_not_allow_is_told_where_it_stands(tmp_path: Path, text: str, place: str, said: str) -> None:
    [(where, message, _)] = wrong(tmp_path, text)
    assert where == f"{place} SF401"
    assert message.startswith(said)


def test_value_that_json_does_not_have_is_told_all_the_same(tmp_path: Path) -> None:
    [(_, message, _)] = wrong(tmp_path, "nats: {nodes: {2024-01-01: 3}}")
    assert message == "`nats.nodes` is {}, but should be 1, 3 or 5"


def test_what_is_wrong_in_one_line_is_told_from_left_to_right(tmp_path: Path) -> None:
    text = "storage: {clas: fast, size: lots}\nvalkey: {siz: 1Gi, size: 2}\n"
    assert [place for place, _, _ in wrong(tmp_path, text)] == ["1:11 SF402", "1:29 SF403", "2:10 SF402", "2:26 SF403"]


def test_file_that_is_a_list_is_told_what_it_should_be(tmp_path: Path) -> None:
    assert wrong(tmp_path, "- nats\n") == [
        ("1:1 SF403", 'the file is ["nats"], but should be a map: its fields, indented below it', "")
    ]


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read(str(tmp_path / "none.yaml"))
    assert error.value.message == (
        f"the values file `{tmp_path / 'none.yaml'}` cannot be read: No such file or directory"
    )
    (tmp_path / "latin").write_bytes(b"entry: {host: \xe4}")
    with pytest.raises(UsageError, match="is not UTF-8 text: byte 15"):
        read(str(tmp_path / "latin"))
    (tmp_path / "large").write_bytes(b"#" * 70000)
    with pytest.raises(UsageError, match="is too large for a values file: 70000 bytes"):
        read(str(tmp_path / "large"))


def test_recorded_values_that_no_longer_fit_are_told() -> None:
    with pytest.raises(UsageError) as error:
        values_of({"values": '{"nats":{"nodes":2}}'})
    assert error.value.message == (
        "the recorded values of the run no longer fit: `nats.nodes`: Input should be 1, 3 or 5"
    )


def test_every_field_is_documented_and_the_documented_example_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/kubernetes-target.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "values.yaml").write_text(example)
    assert set(json.loads(read(str(tmp_path / "values.yaml")))) >= {"postgres", "entry", "egress", "monitoring"}
    table = page.split("| field | default |")[1].split("\n\n")[0]
    for name, field in Values.model_fields.items():
        model = _model(field.annotation, Values)
        inner = model.model_fields if name not in {"egress", "monitoring", "requests_per_second"} else {}
        paths = [f"{name}.{each.alias or part}" for part, each in inner.items()] or [field.alias or name]
        assert [path for path in paths if f"`{path}`" not in table] == []
