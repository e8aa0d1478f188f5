"""From one node to many regions: what an order costs, measured here, and how far that reaches, on paper.

How it is measured: one bounded run (three minutes, most of it waiting) of the reference workflow on the local target,
with few orders at random moments through the gateway. CPU-seconds come from /proc of each program, less what it uses
idly; how often something is done, and how long what only one may hold is held, from the platform's own spans of those
orders; the limits from the same servers, in the same run, with the smallest work there is. Then the model: each thing
that work waits for is a station with a demand and servers (`scale/stages.py`), full at the utilisation law's rate, and
an order's way through them is simulated (`scale/queueing.py`, where the sources of the formulae are). docs/scale.md
says what it means; a test holds its tables to the costs that are kept in `scale/costs.json`.

    .venv/bin/python bench/scale_model.py [--costs FILE] [--keep FILE] [--json] [--document docs/scale.md]

`--costs` takes kept costs instead of measuring; `--document` regenerates the marked tables and figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scale import costs, report


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, help="take these unit costs; without it they are measured")
    parser.add_argument("--keep", type=Path, help="write the unit costs to this file")
    parser.add_argument("--json", action="store_true", help="the model's stages and stations as JSON")
    parser.add_argument("--document", type=Path, help="a document in which marked tables and figures are regenerated")
    return parser.parse_args()


def unit_costs(kept: Path | None) -> costs.Costs:
    """Read or measure them."""
    if kept:
        return costs.read(kept)
    from scale.measure import measure  # noqa: PLC0415 - what drives servers is not needed for a table

    return measure(lambda text: print(text, file=sys.stderr, flush=True))


def main() -> None:
    """Print the tables, or JSON."""
    chosen = arguments()
    try:
        taken = unit_costs(chosen.costs)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if chosen.keep:
        costs.write(taken, chosen.keep)
    if chosen.document:
        text = chosen.document.read_text(encoding="utf-8")
        chosen.document.write_text(report.refreshed(text, taken), encoding="utf-8")
    if chosen.json:
        print(json.dumps(report.data(taken), indent=2))
        return
    print(f"unit costs of {report.figures(taken)['taken']()}")
    for name, make in report.figures(taken).items():
        if name.startswith("table "):
            print(make())


if __name__ == "__main__":
    main()
