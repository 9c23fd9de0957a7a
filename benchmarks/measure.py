"""One action of one peer, in a process of its own: python measure.py PEER ACTION URL PATH SECONDS.

Prints a JSON object: the seconds of the action alone, by the clock and of this process; the number of SQL
statements, where SQLAlchemy counts them; and the peak memory of the process in MiB, including Python modules
(VmHWM, so this needs Linux). An action that takes longer than SECONDS is ended by SIGALRM.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

from peers import peer


def main() -> None:
    """Measure what the arguments say."""
    name, action, url, path, limit = sys.argv[1:]
    module = peer(name)
    act = getattr(module, action)
    statements = module.warm(url)
    signal.alarm(int(limit))
    began, processor = time.perf_counter(), time.process_time()
    act(url, Path(path))
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    signal.alarm(0)
    count = None if statements is None else len(statements)
    print(json.dumps({"seconds": seconds, "processor": processor, "statements": count, "peak_mib": _peak()}))


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
