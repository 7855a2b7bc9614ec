"""Checks a whole run root again: data, shards, results and report. Reads everything and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from helmholtz.codecs import open_codec
from helmholtz.experiment import Dataset
from helmholtz.manifest import LevelManifest
from helmholtz.stages import Plan, find_refinement, latest_plan
from helmholtz.storage import Store
from helmholtz.stored import read_model
from helmholtz.trials import Trial, trials
from helmholtz.verify.documents import check_documents
from helmholtz.verify.findings import Findings
from helmholtz.verify.levels import check_level, read_levels, strangers
from helmholtz.verify.outcomes import check_report, check_result
from helmholtz.verify.records import check_dataset

OURS = re.compile(
    r"experiment\.json"
    r"|plans/[0-9a-f]{16}(-refinement)?\.json"
    r"|data/[0-9a-f]{16}/(dataset\.json|test-groups\.json|rejected\.jsonl|records/[^/]+\.jsonl)"
    r"|data/[0-9a-f]{16}/[^/]+/[^/]+/(manifest\.json|parts/[^/]+\.json|[^/]+\.tfrecord)"
    r"|trials/[^/]+/[^/]+"
    r"|(attempts|lease|runs|logs|report|tensorboard)/.+"
)
LEFT = re.compile(r"\.tmp/.+")  # of processes under way or killed: removed by the next run

OnChecked = Callable[[int, int], None]
"""Called with the bytes of shards that were read, and those of all."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what is wrong."""

    uri: str
    checked: Mapping[str, int]  # data sets, records, levels, shards, results, reports
    trials: int  # that the plans in this root ask for
    missing: int  # of these, without a result
    problems: tuple[str, ...]  # one sentence each: where, what, what to do
    unlisted: int  # further problems, of which only the number is kept
    foreign: tuple[str, ...]  # keys that are nobody's here
    unfinished: tuple[str, ...]  # shards without a manifest, and files on their way: of a run under way or stopped


def verify(store: Store, on_checked: OnChecked | None = None) -> Verified:
    """Checks everything in the run root `store`.

    Raises StorageError if there is no run, or the root can't be listed.
    """
    latest_plan(store)
    found = Findings()
    keys = list(store.list(""))
    plans = _plans(store, keys, found)
    options = {plan.dataset: plan.experiment.dataset for plan in plans}
    manifests = _check_data(store, keys, options, found, on_checked or (lambda *_: None))
    expected = _expected(store, plans, found)
    check_documents(store, keys, found)
    there = sorted({key.split("/")[1] for key in keys if re.fullmatch(r"trials/[^/]+/result\.json", key)})
    for trial_id in there:
        check_result(store, trial_id, expected, manifests, found)
    check_report(store, found)
    return Verified(
        uri=store.uri,
        checked=dict(found.checked),
        trials=len(expected),
        missing=len(expected.keys() - set(there)),
        problems=tuple(found.problems),
        unlisted=found.total - len(found.problems),
        foreign=tuple(key for key in keys if not OURS.fullmatch(key) and not LEFT.fullmatch(key)),
        unfinished=tuple(strangers(keys, manifests)) + tuple(key for key in keys if LEFT.fullmatch(key)),
    )


def _plans(store: Store, keys: list[str], found: Findings) -> list[Plan]:
    """Those in the root; the latest stands at its top, too, should its own be gone."""
    plans = [latest_plan(store)]
    if plans[0].key not in keys:
        found.add(plans[0].key, "the plan of experiment.json is gone", "run again")
    for key in keys:
        if re.fullmatch(r"plans/[0-9a-f]{16}\.json", key):
            with found.catching():
                plan = read_model(store, key, Plan)
                if plan.key == key:
                    plans.append(plan)
                else:
                    found.add(key, f"it is the plan of {plan.key}", "delete it and run again")
    return plans


def _check_data(
    store: Store, keys: list[str], options: Mapping[str, Dataset], found: Findings, on_checked: OnChecked
) -> list[LevelManifest]:
    sets = sorted({match[1] for key in keys if (match := re.match(r"data/([0-9a-f]{16})/", key))})
    listed = {name: check_dataset(store, name, options.get(name), found) for name in sets}
    folders: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        if match := re.fullmatch(r"data/([0-9a-f]{16})/([^/]+)/([^/]+)/manifest\.json", key):
            folders.setdefault((match[1], match[2]), []).append(match[3])
    manifests = [m for (name, codec), levels in folders.items() for m in read_levels(store, name, codec, levels, found)]
    total, read = sum(shard.nbytes for m in manifests for shard in m.shards()), 0

    def on_read(nbytes: int) -> None:
        nonlocal read
        read += nbytes
        on_checked(read, total)

    for manifest in manifests:
        check_level(store, manifest, listed[manifest.dataset], found, on_read)
    return manifests


def _expected(store: Store, plans: list[Plan], found: Findings) -> dict[str, Trial]:
    """Every trial that the plans ask for, by id, with those of refinement so far."""
    expected: dict[str, Trial] = {}
    for plan in plans:
        with found.catching():
            refinement = find_refinement(store, plan)
            experiment = refinement.extend(plan.experiment) if refinement else plan.experiment
            expected |= {trial.id: trial for trial in trials(experiment, plan.dataset, open_codec(experiment).identity)}
    return expected
