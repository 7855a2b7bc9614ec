"""Results, manifests and prices of any numbers through the whole analysis: the report holds finite ones, and all trials."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from helmholtz.codecs import open_codec
from helmholtz.experiment import Experiment
from helmholtz.report.publish import analyse
from helmholtz.report.stored_report import read_report
from helmholtz.storage import open_store
from helmholtz.trials import trials
from tests import synthetic_run
from tests.fuzz.engine import empty_folder
from tests.fuzz.target import Refused, Target
from tests.fuzz.trees import mutate_numbers

PRICES = {"per_hour": 1.5, "per_gb_month": 0.02, "currency": "EUR"}
RUN = synthetic_run.experiment(levels=["none", 10], seeds=2, prices=PRICES, analysis={"margin": 0.02, "confidence": 0.95})
DATASET = synthetic_run.DATASET


@functools.cache
def case() -> bytes:
    with empty_folder() as folder:
        synthetic_run.write_run(open_store(str(folder)), RUN)
        files = {p.relative_to(folder).as_posix(): json.loads(p.read_bytes()) for p in sorted(folder.rglob("*.json"))}
    options = {"prices": PRICES, "analysis": RUN.analysis.model_dump()}
    return json.dumps({"files": files, "options": options}).encode()


def corpus() -> list[bytes]:
    lacking = json.loads(case())
    del lacking["files"][next(name for name in lacking["files"] if name.endswith("result.json"))]
    return [case(), json.dumps(lacking).encode()]


def check(data: bytes, folder: Path) -> str:
    try:
        tree: Any = json.loads(data)
        experiment = Experiment.model_validate(RUN.model_dump() | {k: tree["options"][k] for k in ("prices", "analysis")})
        known = json.loads(case())["files"].keys()
        contents = {name: json.dumps(content) for name, content in tree["files"].items() if name in known}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise Refused("the case is no root, or no options") from error
    for name, content in contents.items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    store = open_store(str(folder / "root"))
    analyse(store, experiment, DATASET)
    written = json.loads((folder / "root" / "report" / "report.json").read_bytes(), parse_constant=_refuse)
    report = read_report(store)
    expected = trials(experiment, DATASET, open_codec(experiment).identity)
    counts = report.trials
    assert counts.complete + len(counts.diverged) + len(counts.missing) == counts.expected == len(expected), "trials got lost"
    assert written["recommendation"]["sentence"], "no answer"
    assert len(written["recommendation"]["sentence"]) < 2_000, "an answer that is no sentence"
    text = (folder / "root" / "report" / "curves.csv").read_text().lower()
    assert not {"nan", "inf", "-inf"} & set(text.replace("\n", ",").split(",")), "a number in curves.csv that is none"
    return f"{counts.complete} complete"


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} in report.json")


TARGET = Target(corpus, check, mutate_numbers, where=("root",), speed=0.08)
