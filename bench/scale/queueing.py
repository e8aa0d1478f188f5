"""Queues on paper: closed forms, and a simulation of discrete events that needs none of their assumptions on routes.

Formulae: utilisation law, U = X D / c, and the bottleneck bound (Denning and Buzen, The Operational Analysis of
Queueing Network Models, ACM Computing Surveys 10(3), 1978); Erlang C and the waiting time of M/M/c (Erlang 1917;
Kleinrock, Queueing Systems I, 1975); the mean of a network as the sum of its stations (Jackson, Jobshop-like Queueing
Systems, 1963). A station with one server that no copy widens is the serial part sigma of Gunther's Universal
Scalability Law (Guerrilla Capacity Planning, 2007): X(N) never passes c / D. The law's kappa, what copies cost each
other, is left out: it cannot be measured on one machine.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

PLANNED = 0.7
"""The utilisation that capacities are given for: at it an M/M/1 queue takes 3.3 times as long as an empty one."""


@dataclass(frozen=True, slots=True)
class Station:
    """Something that work waits for: an order asks for `demand` seconds of it, `servers` of it work at once.

    The demand comes in `visits` on the order's own way and in visits `aside`, which keep it busy but the order does not
    wait for them; all take the same time on average.
    """

    name: str
    demand: float
    servers: float
    visits: int = 1
    aside: int = 0

    @property
    def service(self) -> float:
        """Seconds of one visit."""
        return self.demand / (self.visits + self.aside)

    @property
    def whole(self) -> Station:
        """One as busy and as wide, with a whole number of servers: 1.3 cores are one that is 1.3 times as quick."""
        servers = max(1, math.floor(self.servers))
        return replace(self, servers=servers, demand=self.demand * servers / self.servers)

    def utilisation(self, rate: float) -> float:
        """How much of it is in use at so many orders a second: U = X D / c."""
        return rate * self.demand / self.servers

    def capacity(self, utilisation: float = PLANNED) -> float:
        """Orders a second at which it is used so much; infinite where nothing is asked of it."""
        return utilisation * self.servers / self.demand if self.demand else math.inf


def bottleneck(stations: Sequence[Station]) -> Station:
    """The station that is full first: the one with the highest utilisation, whatever the rate."""
    return max(stations, key=lambda station: station.utilisation(1.0))


def capacity(stations: Sequence[Station], utilisation: float = PLANNED) -> float:
    """Orders a second at which the bottleneck is used so much."""
    return bottleneck(stations).capacity(utilisation)


def erlang_c(servers: int, offered: float) -> float:
    """The probability that a customer of M/M/c waits; `offered` in Erlang, less than `servers`.

    By the recursion of Erlang B, which does not overflow: B(0) = 1, B(k) = a B(k-1) / (k + a B(k-1)).
    """
    if offered >= servers:
        raise ValueError(f"{offered:g} Erlang never fit into {servers} servers")
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - (offered / servers) * (1 - blocked))


def mean_visit(station: Station, rate: float) -> float:
    """Mean seconds of one visit, waiting included (M/M/c); infinite from the utilisation of 1 on."""
    whole = station.whole
    servers, offered = int(whole.servers), rate * whole.demand
    if offered >= servers:
        return math.inf
    return whole.service * (1 + erlang_c(servers, offered) / (servers - offered))


def mean_response(stations: Sequence[Station], rate: float) -> float:
    """Mean seconds of an order through all stations (Jackson)."""
    return sum(station.visits * mean_visit(station, rate) for station in stations)


def route(stations: Sequence[Station]) -> list[int]:
    """The stations that an order visits, one after the other, its visits to each spread over the way."""
    places = [((turn + 0.5) / each.visits, at) for at, each in enumerate(stations) for turn in range(each.visits)]
    return [at for _, at in sorted(places)]


def simulate(stations: Sequence[Station], rate: float, orders: int, seed: int) -> list[float]:
    """Return the seconds of each order, the first tenth left out: they found the queues still empty.

    Orders come at random (Poisson) and are served first come, first served, for exponentially distributed times.
    """
    wide = [station.whole for station in stations]
    aside = [at for at, each in enumerate(wide) for _ in range(each.aside)]
    paths = (route(wide), aside) if aside else (route(wide),)
    chance = random.Random(seed)  # noqa: S311 - a simulation
    begun, now = [], 0.0
    for _ in range(orders):
        now += chance.expovariate(rate)
        begun.append(now)
    ended = _ends(wide, paths, begun, chance)
    return [end - begin for begin, end in zip(begun, ended, strict=True)][orders // 10 :]


def _ends(
    stations: Sequence[Station], paths: Sequence[Sequence[int]], begun: Sequence[float], chance: random.Random
) -> list[float]:
    """When each order came to the end of the first path; it goes all of them at the same time."""
    free = [int(each.servers) for each in stations]
    waiting: list[deque[tuple[int, int, int]]] = [deque() for _ in stations]
    ended = [0.0] * len(begun)
    events = [(when, order, path, -1) for order, when in enumerate(begun) for path in range(len(paths))]
    heapq.heapify(events)  # when, which order, on which path, which visit is over (-1: it has just come)

    def begin(when: float, order: int, path: int, visit: int) -> None:
        at = paths[path][visit]
        free[at] -= 1
        heapq.heappush(events, (when + chance.expovariate(1 / stations[at].service), order, path, visit))

    while events:
        when, order, path, visit = heapq.heappop(events)
        if visit >= 0:
            at = paths[path][visit]
            free[at] += 1
            if waiting[at]:
                begin(when, *waiting[at].popleft())
        following = visit + 1
        if following == len(paths[path]):
            ended[order] = when if path == 0 else ended[order]
        elif free[paths[path][following]]:
            begin(when, order, path, following)
        else:
            waiting[paths[path][following]].append((order, path, following))
    return ended


def quantile(values: Sequence[float], part: float) -> float:
    """The value that this part (0 to 1) of all do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)]
