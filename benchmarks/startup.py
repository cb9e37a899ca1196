"""How long the package and the command take to be there: `make bench NAME=startup`.

Each figure is the median of fresh processes, started in turns with a bare interpreter that is the baseline.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks._rows import Row, report

PROCESSES = 30
IMPORT_SECONDS = 0.3  # the aim
STARTED = {
    "bare interpreter": ["-c", "pass"],
    "import molt_market": ["-c", "import molt_market"],
    "molt --help": ["-m", "molt_market.cli", "--help"],
    "from molt_market import OrderBook": ["-c", "from molt_market import OrderBook"],
    "from molt_market import MoltClient": ["-c", "from molt_market import MoltClient"],
}
GOALS = {"import molt_market": IMPORT_SECONDS}


def seconds(arguments: list[str]) -> float:
    """Return how long a process of this interpreter takes from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    return time.perf_counter() - start


def main() -> None:
    """Measure, print and write down."""
    times = {name: [seconds(arguments)][:0] for name, arguments in STARTED.items()}  # the first one warms
    for _ in range(PROCESSES):
        for name, arguments in STARTED.items():
            times[name].append(seconds(arguments))
    bare = statistics.median(times["bare interpreter"])
    rows = [
        Row.ceiling(
            name,
            statistics.median(found),
            unit="s",
            metric="p50",
            goal=GOALS.get(name),
            baseline=None if name == "bare interpreter" else bare,
            n=PROCESSES,
        )
        for name, found in times.items()
    ]
    report("startup", rows)


if __name__ == "__main__":
    main()
