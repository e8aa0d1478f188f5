"""Places the steps of a graph in layers: few crossings, chains straight, long edges in lanes of their own.

Sugiyama's method in its simplest form: layers are the waves, an edge that spans several layers gets a point in each,
layers are ordered by the mean position of their neighbours, and positions are the least-squares fit to these means
that keeps the distances (pool adjacent violators).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from stepflow.graph.analysis import Graph

_SWEEPS = 8
_MOST_POINTS = 20_000  # beyond it, long edges are drawn straight


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a layer, of a step or (`step` is None) of an edge that passes."""

    key: tuple[int, int, int]  # (step, 0, 0), or (source, target, layer)
    step: int | None


@dataclass(slots=True)
class GraphLayout:
    """Horizontal positions of the points, in units of pixels, smallest 0; and the route of each edge."""

    layers: list[list[Point]]
    x: dict[tuple[int, int, int], float] = field(default_factory=dict)
    routes: dict[tuple[int, int], list[tuple[int, int, int]]] = field(default_factory=dict)


def place(graph: Graph, *, step_width: float, edge_width: float) -> GraphLayout:
    """Place the steps, and the `relies` edges between them; `collects` edges are drawn apart."""
    layer_of = {number: index for index, wave in enumerate(graph.waves) for number in wave}
    layout = GraphLayout([[Point((number, 0, 0), number) for number in wave] for wave in graph.waves])
    pairs = [(edge.source, edge.target) for edge in graph.edges if edge.kind == "relies"]
    points = sum(layer_of[target] - layer_of[source] - 1 for source, target in pairs)
    for source, target in pairs:
        between = range(layer_of[source] + 1, layer_of[target]) if points <= _MOST_POINTS else range(0)
        passing = [Point((source, target, layer), None) for layer in between]
        for layer, point in zip(between, passing, strict=True):
            layout.layers[layer].append(point)
        layout.routes[source, target] = [(source, 0, 0), *(point.key for point in passing), (target, 0, 0)]
    above, below = _neighbours(layout)
    _order(layout, above, below)
    _spread(layout, above, below, {True: step_width, False: edge_width})
    return layout


Neighbours = Mapping[tuple[int, int, int], Sequence[tuple[int, int, int]]]


def _neighbours(layout: GraphLayout) -> tuple[Neighbours, Neighbours]:
    above: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    below: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    for route in layout.routes.values():
        for upper, lower in pairwise(route):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    return above, below


def _order(layout: GraphLayout, above: Neighbours, below: Neighbours) -> None:
    position = {point.key: float(index) for layer in layout.layers for index, point in enumerate(layer)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layout.layers if down else reversed(layout.layers):
            side = above if down else below
            mean = {point.key: _mean(position, side.get(point.key, ()), position[point.key]) for point in layer}
            layer.sort(key=lambda point, mean=mean: mean[point.key])  # type: ignore[misc]
            position.update({point.key: float(index) for index, point in enumerate(layer)})


def _mean(position: Mapping[tuple[int, int, int], float], near: Sequence[tuple[int, int, int]], own: float) -> float:
    return sum(position[key] for key in near) / len(near) if near else own


def _spread(layout: GraphLayout, above: Neighbours, below: Neighbours, widths: Mapping[bool, float]) -> None:
    x = layout.x
    for layer in layout.layers:
        at = 0.0
        for point in layer:
            x[point.key] = at + widths[point.step is not None] / 2
            at += widths[point.step is not None]
    for sweep in range(_SWEEPS * 2):
        down = sweep % 2 == 0
        for layer in layout.layers if down else reversed(layout.layers):
            side = above if down else below
            wanted = [_mean(x, side.get(point.key, ()), x[point.key]) for point in layer]
            # A point of an edge pulls harder than a step, so that long edges become straight.
            pulls = [(1.0 if point.step is not None else 4.0) if side.get(point.key) else 0.05 for point in layer]
            halves = [widths[point.step is not None] / 2 for point in layer]
            for point, at in zip(layer, fit(wanted, pulls, halves), strict=True):
                x[point.key] = at
    left = min(
        (x[point.key] - widths[point.step is not None] / 2 for layer in layout.layers for point in layer), default=0
    )
    for key in x:
        x[key] -= left


def fit(wanted: Sequence[float], pulls: Sequence[float], halves: Sequence[float]) -> list[float]:
    """Return the positions nearest to the desired ones (weighted squares) that keep neighbours' half widths apart."""
    offsets = [0.0]
    for left, right in pairwise(halves):
        offsets.append(offsets[-1] + left + right)
    blocks: list[tuple[float, float, int]] = []  # mean of the desired positions, sum of the pulls, members
    for want, pull, offset in zip(wanted, pulls, offsets, strict=False):
        mean, weight, members = want - offset, pull, 1
        while blocks and blocks[-1][0] > mean:
            other, other_weight, other_members = blocks.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, members = weight + other_weight, members + other_members
        blocks.append((mean, weight, members))
    means = [mean for mean, _, members in blocks for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]
