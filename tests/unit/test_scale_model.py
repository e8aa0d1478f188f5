"""The model behind docs/scale.md: its laws, its simulation against closed forms, the document against the model."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "bench"))

from scale import costs, queueing, report  # noqa: E402 - found in bench/
from scale.queueing import Station  # noqa: E402 - likewise
from scale.stages import LAPTOP, STAGES, TWENTY, stations, way  # noqa: E402 - likewise

KEPT = costs.read(costs.KEPT)
SECONDS = st.floats(0.0001, 1.0)
SERVERS = st.integers(1, 200)
STATIONS = st.lists(st.builds(Station, st.text(), SECONDS, SERVERS), min_size=1, max_size=8)


@given(SECONDS, SERVERS, st.floats(0.01, 1000.0))
def test_utilisation_is_rate_times_demand_over_servers(demand: float, servers: int, rate: float) -> None:
    station = Station("any", demand, servers)
    assert station.utilisation(rate) == pytest.approx(rate * demand / servers)
    assert station.utilisation(station.capacity(0.7)) == pytest.approx(0.7)


@given(STATIONS)
def test_the_bottleneck_has_the_highest_utilisation_and_sets_the_capacity(found: list[Station]) -> None:
    rate = queueing.capacity(found)
    used = [station.utilisation(rate) for station in found]
    assert queueing.bottleneck(found).utilisation(rate) == pytest.approx(max(used))
    assert max(used) == pytest.approx(queueing.PLANNED)


@given(SECONDS, SERVERS, st.floats(0.01, 0.99))
def test_one_more_server_never_makes_anyone_wait_longer(demand: float, servers: int, used: float) -> None:
    narrow, wide = Station("narrow", demand, servers), Station("wide", demand, servers + 1)
    rate = narrow.capacity(used)
    assert queueing.mean_visit(wide, rate) <= queueing.mean_visit(narrow, rate) * (1 + 1e-9)


@given(SECONDS, st.floats(1.0, 50.0))
def test_a_whole_number_of_servers_is_as_wide_as_the_part_it_stands_for(demand: float, servers: float) -> None:
    station = Station("cores", demand, servers)
    assert station.whole.capacity() == pytest.approx(station.capacity())
    assert station.whole.servers == int(station.whole.servers)


def test_erlang_c_gives_the_values_that_are_known_in_closed_form() -> None:
    assert queueing.erlang_c(1, 0.7) == pytest.approx(0.7)  # M/M/1: who finds it busy waits
    assert queueing.erlang_c(2, 1.0) == pytest.approx(1 / 3)  # M/M/2: 2 rho^2 / (1 + rho)
    with pytest.raises(ValueError, match="3 Erlang never fit into 2 servers"):
        queueing.erlang_c(2, 3.0)


def interval(times: list[float], batches: int = 20) -> tuple[float, float]:
    """Mean, and five standard errors of it by batch means: one seed in millions is outside."""
    size = len(times) // batches
    means = [statistics.fmean(times[at * size : (at + 1) * size]) for at in range(batches)]
    return statistics.fmean(means), 5 * statistics.stdev(means) / math.sqrt(batches)


@pytest.mark.parametrize(("servers", "aside"), [(1, 0), (4, 0), (2, 3)])
def test_the_simulation_agrees_with_the_closed_form(servers: int, aside: int) -> None:
    found = [Station("first", 0.05, servers, visits=2, aside=aside), Station("second", 0.03, 1)]
    rate = queueing.capacity(found, 0.6)
    mean, error = interval(queueing.simulate(found, rate, 20_000, seed=7))
    assert mean == pytest.approx(queueing.mean_response(found, rate), abs=error)
    assert error < mean / 5, "an interval that wide would prove nothing"


def test_the_slowest_percent_of_one_queue_is_what_the_exponential_distribution_says() -> None:
    one, used = Station("one", 0.02, 1), 0.5
    times = queueing.simulate([one], one.capacity(used), 40_000, seed=3)
    parts = [queueing.quantile(times[at::20], 0.99) for at in range(20)]  # every 20th: nearly independent
    error = 5 * statistics.stdev(parts) / math.sqrt(20)
    # M/M/1: the time in the system is exponential with mean s / (1 - rho). A part's quantile is a little off by itself.
    assert statistics.fmean(parts) == pytest.approx(math.log(100) * 0.02 / (1 - used), abs=error)


@pytest.mark.parametrize("field", ["cores", "order_copies", "copies", "cells", "limiters"])
def test_more_of_anything_never_lowers_what_fits(field: str) -> None:
    for stage in STAGES:
        # Copies idle, too: there must be room for them.
        room = replace(stage, cores=stage.cores * (10 if field in {"order_copies", "copies"} else 1))
        more = replace(room, **{field: 2 * getattr(stage, field)})
        before, after = (queueing.capacity(stations(KEPT, each)) for each in (room, more))
        assert after >= before * (1 - 1e-9), stage.name


def test_copies_of_the_order_service_do_not_move_the_append_lock() -> None:
    more = replace(TWENTY, order_copies=10 * TWENTY.order_copies, cores=10 * TWENTY.cores)
    assert queueing.bottleneck(stations(KEPT, TWENTY)).name == "append lock"
    assert queueing.capacity(stations(KEPT, more)) == queueing.capacity(stations(KEPT, TWENTY))


def test_a_way_keeps_its_cpu_as_busy_as_the_stage_does() -> None:
    known = {station.name: station for station in stations(KEPT, LAPTOP)}
    cpu = way(KEPT, LAPTOP)[0]
    assert cpu.utilisation(2.0) == pytest.approx(known[cpu.name].utilisation(2.0))


def test_the_figures_of_the_document_are_what_the_model_gives_for_the_kept_costs() -> None:
    text = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    assert len(report.MARKED.findall(text)) > 20
    again = "update it: `python bench/scale_model.py --costs bench/scale/costs.json --document docs/scale.md`"
    assert report.refreshed(text, KEPT) == text, again


def test_a_mark_that_no_one_knows_is_an_error() -> None:
    with pytest.raises(KeyError, match="no such figure"):
        report.refreshed("<!--=no such figure-->1<!--/-->", KEPT)


def test_costs_that_are_none_are_refused_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text('{"taken": {}}')
    with pytest.raises(ValueError, match=r"costs\.json holds no costs: .*cpu_idle"):
        costs.read(tmp_path / "costs.json")


def test_kept_costs_are_read_as_they_were_written(tmp_path: Path) -> None:
    costs.write(KEPT, tmp_path / "costs.json")
    assert costs.read(tmp_path / "costs.json") == KEPT
