"""Of two runs one works in a root, and one that died doesn't keep it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from helmholtz import lease
from helmholtz.errors import StorageError
from helmholtz.lease import HeldError, Lease, held, release, take
from helmholtz.storage import Store, machine, open_store
from helmholtz.stored import read_model


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)


def put(store: Store, number: int, run: str, **fields: object) -> None:
    """A lease as another machine would leave it."""
    made = Lease.model_validate({"run": run, "machine": "elsewhere", "process": 1, "beat": time.time(), **fields})
    store.write_bytes(f"lease/{number:06}.json", made.model_dump_json().encode())


def test_one_run_holds_it_through_all_its_processes_and_no_other_gets_in(store: Store) -> None:
    take(store, "one")
    take(store, "one")
    with pytest.raises(HeldError, match=r"another run \(one\) is at work here, last heard of 0 s ago; wait .* lease/000001"):
        take(store, "two")
    release(store, "two")  # not its own to give
    with pytest.raises(HeldError):
        take(store, "two")
    release(store, "one")
    release(store, "one")
    take(store, "two")
    with pytest.raises(HeldError, match="two"):
        take(store, "one")


def test_a_silent_run_loses_it_and_a_silence_shorter_than_that_is_no_reason(store: Store, quick: None) -> None:
    put(store, 7, "pods", beat=time.time() - lease.PATIENCE + 60)
    with pytest.raises(HeldError):
        take(store, "other")
    put(store, 7, "pods", beat=time.time() - lease.PATIENCE - 1)
    take(store, "other")
    assert [*store.list("lease")] == ["lease/000007.json", "lease/000008.json"]


def test_a_run_whose_clock_is_wrong_keeps_it_as_long_as_it_lives(
    store: Store, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock jumps back by a day, as when it is set; those of others don't. It wrote no sign until a day later."""
    right = time.time

    def now() -> float:
        return right() - (86_400 if threading.current_thread().name == "lease" else 0)

    monkeypatch.setattr(lease, "time", SimpleNamespace(time=now, monotonic=time.monotonic, sleep=time.sleep))
    with held(store, "one"):
        put(store, 1, "one", beat=right() - lease.PATIENCE - 1)
        with pytest.raises(HeldError):
            take(store, "two")
    assert take(store, "two") == 2  # for now nothing comes any more


def test_an_old_listing_lets_no_second_run_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two leases have been taken since: the store itself decides who creates the next one."""
    put(store, 1, "one", released=True)
    old, real = [*store.list("lease")], type(store).list
    put(store, 2, "two")
    answers = iter([old, old])
    monkeypatch.setattr(type(store), "list", lambda self, prefix: iter(next(answers, [*real(self, prefix)])))
    with pytest.raises(HeldError, match="two"):
        take(store, "three")


def test_a_sign_from_the_future_does_not_lock_a_root(store: Store, quick: None) -> None:
    put(store, 1, "one", beat=time.time() + 10 * 365 * 86_400)
    assert take(store, "two") == 2


def test_a_run_killed_on_this_machine_leaves_the_root_free_at_once(tmp_path: Path) -> None:
    program = (
        "import os, sys; from helmholtz.lease import take; from helmholtz.storage import open_store;"
        "take(open_store(sys.argv[1]), 'killed'); os.kill(os.getpid(), 9)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but its number is still taken
    store = open_store(str(tmp_path))
    assert read_model(store, "lease/000001.json", Lease).run == "killed"
    take(store, "next")
    process.wait()
    take(store, "next")


def test_a_live_process_keeps_it(tmp_path: Path) -> None:
    program = (
        "import sys; from helmholtz.lease import take; from helmholtz.storage import open_store;"
        "take(open_store(sys.argv[1]), 'alive'); print('taken', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    with pytest.raises(HeldError, match="alive"):
        take(open_store(str(tmp_path)), "next")
    process.communicate("\n")
    take(open_store(str(tmp_path)), "next")


def test_of_many_processes_at_once_one_gets_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from helmholtz.lease import take, HeldError; from helmholtz.storage import open_store\n"
        "store = open_store(sys.argv[1]); print('ready', flush=True); sys.stdin.readline()\n"
        "try: take(store, sys.argv[2]); print('mine', flush=True); sys.stdin.readline()\n"
        "except HeldError: print('held', flush=True)"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), f"run-{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(4)
    ]
    said: list[str] = []
    for word in ("ready", "mine or held"):
        answers = []
        if word != "ready":
            for run in runs:
                assert run.stdin
                run.stdin.write("\n")
                run.stdin.flush()
        for run in runs:
            assert run.stdout
            answers.append(run.stdout.readline().strip())
        said = answers
    assert sorted(said) == ["held", "held", "held", "mine"]
    for run in runs:
        run.communicate("\n")


def test_it_is_kept_alive_while_a_block_works(store: Store, quick: None) -> None:
    with held(store, "one"):
        put(store, 1, "one", beat=time.time() - lease.PATIENCE + 0.2)
        time.sleep(0.4)
        with pytest.raises(HeldError):
            take(store, "two")
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_signs_of_life_of_many_pods_are_few_writes(store: Store) -> None:
    take(store, "one")
    written = (Path(store.uri) / "lease" / "000001.json").stat().st_mtime_ns
    for _ in range(20):
        take(store, "one")
    assert (Path(store.uri) / "lease" / "000001.json").stat().st_mtime_ns == written


def test_a_released_lease_stays_released_though_a_block_still_beats(store: Store, quick: None) -> None:
    with held(store, "one"):
        release(store, "one")
        time.sleep(0.2)
        assert [*store.list("lease")] == ["lease/000001.json"]
        assert read_model(store, "lease/000001.json", Lease).released


@pytest.mark.parametrize("number", [1, 2])  # 1: where a user has deleted the lease of a run that was thought dead
def test_a_run_that_has_lost_the_root_is_interrupted(store: Store, quick: None, number: int) -> None:
    def work() -> None:
        with held(store, "one"):
            put(store, number, "two")
            for _ in range(1000):
                time.sleep(0.01)

    with pytest.raises(HeldError, match="another run has taken this root"):
        work()


def test_an_interruption_by_the_user_stays_one(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), held(store, "one"):
        raise KeyboardInterrupt


def test_a_store_that_does_not_answer_for_a_moment_ends_nothing(
    store: Store, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> Lease:
        raise StorageError("down")

    with held(store, "one"):
        with monkeypatch.context() as patch:
            patch.setattr(lease, "read_model", down)
            time.sleep(0.2)
        time.sleep(0.1)
    take(store, "one")


def test_a_damaged_lease_is_told_with_what_to_do(store: Store) -> None:
    store.write_bytes("lease/000002.json", b"{")
    with pytest.raises(StorageError, match=r"lease/000002\.json: damaged.*delete it"):
        take(store, "one")


def test_what_is_no_lease_is_none(store: Store) -> None:
    store.write_bytes("lease/readme.txt", b"hello")
    take(store, "one")
    assert store.exists("lease/000001.json")


def test_two_runs_one_after_the_other_never_overlap(store: Store) -> None:
    """Many threads as runs: whoever is in writes its name, and finds it there again."""
    seen: list[bool] = []

    def run(name: str) -> None:
        done = False
        while not done:
            try:
                take(store, name)
            except HeldError:
                time.sleep(0.005)
                continue
            store.write_bytes("who", name.encode())
            time.sleep(0.005)
            seen.append(store.read_bytes("who") == name.encode())
            release(store, name)
            done = True

    threads = [threading.Thread(target=run, args=(f"run-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [True] * 6


def test_another_machine_of_the_same_name_is_another(store: Store) -> None:
    """Machines made of one image share their names, and the number of the first namespace of processes is every Linux's."""
    there = re.sub(r"[0-9a-f]{12}$", "0" * 12, machine())
    put(store, 1, "one", machine=there, process=4_000_000)
    with pytest.raises(HeldError):
        take(store, "two")
    put(store, 1, "one", machine=machine(), process=4_000_000)  # of this one, and gone
    assert take(store, "two") == 2
