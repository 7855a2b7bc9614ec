"""Runs all benchmarks one after the other and writes their table.

About half an hour on two cores, and 7 GB of disk; leave the machine alone.

    python benchmarks/bench.py --write docs/performance.md --json build/bench.json

The table goes between the two marks in the document.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SCRIPTS = ("compress.py", "audio.py", "memory.py", "reading.py", "train.py", "whole_run.py")
MARKS = "<!-- bench -->", "<!-- /bench -->"


def main() -> None:
    """Prints the table as it grows. Ends with status 1 if a script fails, not if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the table into this Markdown file")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="the same as data (%(default)s)")
    parser.add_argument("--only", action="append", choices=SCRIPTS, help="this script alone; may be given again")
    parser.add_argument("--pytorch", metavar="PYTHON", default=sys.executable, help="an interpreter that has PyTorch")
    told = parser.parse_args()
    started, rows = time.monotonic(), []
    print("\n".join(HEAD), flush=True)
    for script in told.only or SCRIPTS:
        for line in _lines(script, *(("--pytorch", told.pytorch) if script == "train.py" else ())):
            rows.append(line)
            print(_row(line), flush=True)
    found = {"machine": machine(), "minutes": round((time.monotonic() - started) / 60, 1), "rows": rows}
    told.json.parent.mkdir(parents=True, exist_ok=True)
    told.json.write_text(json.dumps(found, indent=1))
    if told.write:
        text = told.write.read_text()
        before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
        table = "\n".join([f"{found['machine']}; {found['minutes']} minutes.", "", *HEAD, *map(_row, rows)])
        told.write.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}")


HEAD = ("| what | n | median | min to max | target | verdict |", "| --- | --- | --- | --- | --- | --- |")


def _lines(script: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [line for line in found if "target" in line]


def _row(line: dict[str, Any]) -> str:
    numbers = f"{line['n']} | {line['median']:g} | {line['min']:g} to {line['max']:g}"
    return f"| {line['what']} | {numbers} | {line['target']} | {line['verdict']} |"


def machine() -> str:
    """What it was measured on."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    today = datetime.datetime.now(datetime.UTC).date()
    return f"{cores} cores of {names[0] if names else platform.machine()}, Python {platform.python_version()}, {today}"


if __name__ == "__main__":
    main()
