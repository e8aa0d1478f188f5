"""The objects as a Helm chart: the same objects, with slots where clusters differ.

With its own values, and if it also creates the namespace, the chart renders exactly the objects that it was made from.
"""

from __future__ import annotations

from stepflow.targets.kubernetes.bundle import Bundle, Manifests, Object, Slots, quoted, with_host, with_monitoring

from .chart_slots import with_values
from .chart_values import HELPERS, chart_yaml, schema_json, values_yaml
from .yaml_writer import template

SLOTS = Slots(
    namespace=".Release.Namespace",
    host=".Values.entry.host",
    pull=".Values.pullPolicy",
    image=lambda name: f'include "platform.image" (index .Values.images {quoted(name)})',
)
"""What the chart leaves open in the objects that it is made from."""
_CONDITIONS = {"Namespace": ".Values.createNamespace"}
_MONITORED = '(eq .Values.monitoring "prometheus-operator")'


def chart_files(bundle: Bundle, found: Manifests) -> dict[str, str]:
    """Return the files of the chart by their paths in it; `found` are the objects of the bundle with `SLOTS`."""
    entered, watched = with_host(bundle, SLOTS), with_monitoring(bundle, SLOTS)
    templates = {}
    for name, items in found.items():
        documents = [_template(item, _CONDITIONS.get(item["kind"], "")) for item in items]
        documents += [_template(item, SLOTS.host) for item in entered.get(name, ())]
        documents += [_template(item, _MONITORED) for item in watched.get(name, ())]
        templates[f"templates/{name}.yaml"] = "".join(documents)
    return templates | {
        "templates/_helpers.tpl": HELPERS,
        "Chart.yaml": chart_yaml(bundle),
        "values.yaml": values_yaml(bundle, found),
        "values.schema.json": schema_json(),
    }


def _template(item: Object, condition: str) -> str:
    written = template(with_values(item))
    return f"{{{{- if {condition} }}}}\n{written}{{{{- end }}}}\n" if condition else written
