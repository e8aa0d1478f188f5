"""The objects as a Helm chart: the same data, with expressions where one cluster differs from another.

The objects are made once more with words for what a cluster decides (its namespace, the host name of the entry), so
that it is in the right place wherever an object holds it; other values are put where Kubernetes has them. With its own
values, and the namespace to be made, the chart renders exactly the objects that it was made from.
"""

from __future__ import annotations

from dataclasses import replace

from stepflow.targets.kubernetes.manifests.model import Object
from stepflow.targets.kubernetes.values import Entry, Values

from .chart_values import HELPERS, chart_yaml, schema_json, values_yaml
from .expressions import Expressions
from .manifests import Manifests, every, manifests
from .model import Bundle
from .places import Names, chosen, filled

HOST = ".Values.entry.host"
_OPTIONS = {"Namespace": ".Values.createNamespace"}


def chart_files(bundle: Bundle, found: Manifests) -> dict[str, str]:
    """Give the files of the chart, by their paths in it."""
    words = Expressions([found, bundle.name])
    anywhere = replace(bundle, namespace=words.word(".Release.Namespace"))
    plain = manifests(anywhere)
    entered = manifests(replace(anywhere, values=Values(entry=Entry(host=words.word(HOST)))))
    watched = manifests(replace(anywhere, values=Values(monitoring="prometheus-operator")))
    names = Names.of(words, bundle, anywhere, every(found), every(plain), every(entered))
    templates = {}
    for name in plain:
        with_host = {names.identity(item): item for item in entered[name]}
        documents = [
            _document(words, names, chosen(words, HOST, names, item, with_host[names.identity(item)]))
            for item in plain[name]
        ]
        documents += [_option(words, names, HOST, item) for item in _more(names, plain[name], entered[name])]
        by_operator = '(eq .Values.monitoring "prometheus-operator")'
        documents += [_option(words, names, by_operator, item) for item in _more(names, plain[name], watched[name])]
        templates[f"templates/{name}.yaml"] = "".join(documents)
    return templates | {
        "templates/_helpers.tpl": HELPERS,
        "Chart.yaml": chart_yaml(bundle),
        "values.yaml": values_yaml(bundle, found),
        "values.schema.json": schema_json(),
    }


def _document(words: Expressions, names: Names, item: Object) -> str:
    condition = _OPTIONS.get(item["kind"])
    return _option(words, names, condition, item) if condition else words.render([filled(words, names, item)])


def _option(words: Expressions, names: Names, condition: str, item: Object) -> str:
    return f"{{{{- if {condition} }}}}\n{words.render([filled(words, names, item)])}{{{{- end }}}}\n"


def _more(names: Names, before: list[Object], after: list[Object]) -> list[Object]:
    known = {names.identity(item) for item in before}
    return [item for item in after if names.identity(item) not in known]
