"""How long a document of many steps takes to read, and how much memory: linear or not.

    python bench/parse.py [STEPS]

Prints, for STEPS (50,000) and twice as many, the seconds of a line scan that only finds headings and fields (a floor),
of mistune alone (which leaves what is inside of the fences alone), and of `stepflow.workflow.parse`; the ratio of each
to the smaller size (2.0 is linear); and the peak of memory a step, of a run of its own under tracemalloc. Each time is
the best of two, CPU time of one process, garbage collection on.
"""

from __future__ import annotations

import gc
import re
import sys
import time
import tracemalloc
from collections.abc import Callable

import mistune

from stepflow.workflow import parse

_LINE = re.compile(r"^(?:#{1,6}\s*Step\s+(\d+)|- (\w+):\s*(.*))$", re.MULTILINE)
_BEST_OF = 2


def document(steps: int) -> str:
    """Make a document in the reference document's dialect: a heading and a fence a step, then a dependency section."""
    parts = ["# A long one\n"]
    for number in range(1, steps + 1):
        flag = "yes" if number % 3 else "no"
        parts.append(
            f"### Step {number}: Service {number}\n```markdown\n## Step {number} ##\n- Playbook: shell\n"
            f"- RelyPreviousStep: {flag}\n- Prompt: Build service {number}\n  with all that belongs to it\n"
            f"- Handoff: service {number}\n```\n"
        )
    parts.append("## Dependency Chain Analysis\n")
    parts += [f"- Step {number} \u2192 Step {number - 1} (it builds on it)\n" for number in range(2, steps + 1)]
    return "\n".join(parts)


def scan(text: str) -> object:
    """Only find what looks like headings and fields."""
    return sum(1 for _ in _LINE.finditer(text))


def best(work: Callable[[str], object], text: str) -> float:
    """Return the shortest of some runs, in seconds."""
    times = []
    for _ in range(_BEST_OF):
        gc.collect()
        start = time.process_time()
        work(text)
        times.append(time.process_time() - start)
    return min(times)


def peak(text: str) -> int:
    """Return the highest memory, in bytes, that a parse takes beside the text."""
    gc.collect()
    tracemalloc.start()
    result = parse(text, "long.md")
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result[0]
    return used


def main() -> None:
    """Measure and print."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    small, large = document(steps), document(2 * steps)
    markdown = mistune.create_markdown(renderer=None)
    works: dict[str, Callable[[str], object]] = {
        "line scan": scan,
        "mistune alone": markdown,
        "stepflow parse": lambda text: parse(text, "long.md"),
    }
    print(f"{'':<16}{steps:>10} steps{2 * steps:>10} steps     ratio   us/step   x scan   x mistune")
    floor: dict[str, float] = {}
    for name, work in works.items():
        one, two = best(work, small), best(work, large)
        floor[name] = two
        times = f"{two / floor['line scan']:>8.1f} {two / floor.get('mistune alone', two):>10.2f}"
        print(f"{name:<16}{one:>14.2f} s{two:>14.2f} s{two / one:>9.2f}{two / steps / 2 * 1e6:>10.1f}{times}")
    one_peak, two_peak = peak(small), peak(large)
    print(f"{'memory':<16}{one_peak / 2**20:>12.0f} MiB{two_peak / 2**20:>12.0f} MiB{two_peak / one_peak:>9.2f}")
    print(
        f"{'a step':<16}{one_peak / steps:>14.0f} B{two_peak / steps / 2:>14.0f} B, text {len(large) / steps / 2:.0f} B"
    )


if __name__ == "__main__":
    main()
