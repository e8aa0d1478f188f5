"""The graph as one self-contained page: the picture, and a table of the steps for those who prefer to read."""

from __future__ import annotations

from collections.abc import Iterator

from stepflow.graph.analysis import Graph
from stepflow.graph.svg import as_svg
from stepflow.graph.words import markup
from stepflow.workflow import Edge

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--line:#e1e5eb;--text:#1b2330;--soft:#647084;--accent:#2f6fed}
@media (prefers-color-scheme:dark){:root{--page:#0c0f14;--card:#12161d;--line:#2b3340;--text:#e8ecf2;--soft:#9aa6b8;
--accent:#77a5ff}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--text);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 24px 64px}h1{font-size:26px;line-height:1.25;margin:0 0 6px}
h2{font-size:17px;margin:36px 0 12px}p{margin:0 0 10px;max-width:72ch}.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;overflow:auto}
.card svg{display:block;margin:0 auto;max-width:none}
table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;vertical-align:top;padding:10px 14px}
th{color:var(--soft);font-weight:600;font-size:12.5px;white-space:nowrap}tr+tr td{border-top:1px solid var(--line)}
td.n{font-variant-numeric:tabular-nums;font-weight:700;color:var(--accent)}
code{font:12.5px ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace}ul{margin:0;padding-left:20px}
"""


def as_html(graph: Graph) -> str:
    """Draw the page. It loads nothing, has no script, and every word of the document is escaped."""
    workflow = graph.workflow
    labels = [text.value for text in (workflow.complexity, workflow.duration) if text]
    facts = " \u00b7 ".join([*labels, workflow.file])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{markup(workflow.title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{markup(workflow.title)}</h1>",
        f'<p class="soft">{markup(facts)}</p>',
        *(f"<p>{markup(part)}</p>" for part in workflow.overview.split("\n\n") if part),
        f'<h2>Dependencies</h2><p class="soft">{markup(_summary(graph))}</p>',
        f'<div class="card">{as_svg(graph, heading=False)}</div>',
        '<h2>Steps</h2><div class="card"><table>',
        *_rows(graph),
        "</table></div>",
    ]
    if workflow.outcomes:
        parts.append("<h2>Expected outcomes</h2><ul>")
        parts += [f"<li>{markup(text.value)}</li>" for text in workflow.outcomes]
        parts.append("</ul>")
    return "\n".join([*parts, "</main></body></html>"]) + "\n"


def _summary(graph: Graph) -> str:
    path = " \u2192 ".join(str(number) for number in graph.critical_path)
    return graph.summary() + (f" \u00b7 critical path {path}" if path else "")


def _rows(graph: Graph) -> Iterator[str]:
    shown = any(node.status for node in graph.nodes.values())
    titles = ["", "Step", "Playbook", "Builds", "Relies on", "Wave", *(["Run"] if shown else [])]
    yield f"<tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
    wave_of = {number: wave for wave, numbers in enumerate(graph.waves, 1) for number in numbers}
    incoming = graph.incoming()
    for number, node in graph.nodes.items():
        step = node.step
        cells = [
            f'<td class="n">{number}</td>',
            f"<td>{markup(step.title)}</td>",
            f"<td><code>{markup(step.playbook or '')}</code></td>",
            f"<td>{markup(step.prompt)}</td>",
            f"<td>{'<br>'.join(_why(edge) for edge in incoming[number])}</td>",
            f"<td>{wave_of[number]}</td>",
            *([f"<td>{markup(node.status)}</td>"] if shown else []),
        ]
        yield f"<tr>{''.join(cells)}</tr>"


def _why(edge: Edge) -> str:
    if edge.kind == "collects":
        return f'<span class="soft">collects {edge.source}</span>'
    reason = f' <span class="soft">{markup(edge.reason)}</span>' if edge.reason else ""
    return f"{edge.source}{reason}"
