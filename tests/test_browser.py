"""The report and TensorBoard opened in a real browser (headless Chromium)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from helmholtz.levels import NONE
from helmholtz.report.publish import publish
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic
from tests.test_cloud import free_port

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    quiet = [
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu", *quiet])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published run of six architectures at quality 25, with trials' own curves."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("run")
    store = open_store(str(folder))
    run = synthetic.experiment(also=[{"architectures": list("ABCDEF"), "levels": [NONE, 25]}])
    synthetic.write_run(store, run)
    publish(store, run, synthetic.DATASET)
    for trial in (folder / "tensorboard" / "trials").iterdir():
        writer = tf.summary.create_file_writer(str(trial))
        with writer.as_default():
            for epoch in range(5):
                tf.summary.scalar("accuracy/validation", 0.1 * epoch, step=epoch)
        writer.close()
    return folder


@pytest.fixture(scope="module")
def audio_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published run of audio."""
    folder = tmp_path_factory.mktemp("audio")
    store, run = open_store(str(folder)), synthetic.audio_experiment()
    synthetic.write_run(store, run)
    publish(store, run, synthetic.DATASET)
    return folder


def open_page(browser: Browser, url: str, width: int) -> tuple[Page, list[str]]:
    """The page, and everything that went wrong in it or that it asked of the network."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if request.url.startswith("http") else None)
    page.goto(url)
    return page, trouble


@pytest.mark.parametrize("width", [1280, 768, 390, 360])
def test_the_report_reads_at_every_width(browser: Browser, root: Path, width: int) -> None:
    page, trouble = open_page(browser, (root / "report" / "report.html").as_uri(), width)
    assert trouble == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figures = page.locator("img")
    assert figures.count() == 8
    for number in range(8):
        assert figures.nth(number).evaluate("image => image.complete && image.naturalWidth > 100")
        assert figures.nth(number).get_attribute("alt")
    answer = page.get_by_text("loses less than 1 point of accuracy").first
    assert answer.is_visible()
    assert answer.bounding_box()["y"] < 900  # type: ignore[index]  # the answer is on the first screen
    keep(page, f"report-{width}")
    page.close()


@pytest.mark.parametrize("width", [1280, 375])
def test_the_clips_play(browser: Browser, audio_root: Path, width: int) -> None:
    page, trouble = open_page(browser, (audio_root / "report" / "report.html").as_uri(), width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    players = page.locator("audio")
    assert players.count() == 24
    durations = {
        players.nth(number).get_attribute("aria-label"): players.nth(number).evaluate(
            """async (audio) => {
                audio.muted = true;
                await audio.play();
                return audio.duration;
            }"""
        )
        for number in (0, 7, 23)
    }
    assert durations["Clip 1, cat, lossless"] == pytest.approx(synthetic.SECONDS, abs=0.01)
    assert all(synthetic.SECONDS <= seconds < synthetic.SECONDS + 0.2 for seconds in durations.values())
    assert trouble == []
    players.first.scroll_into_view_if_needed()
    keep(page, f"players-{width}")
    page.close()


def test_tensorboard_shows_curves_figures_and_the_table_of_trials(browser: Browser, root: Path) -> None:
    port = free_port()
    board = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tensorboard.main",
            "--logdir",
            root / "tensorboard",
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/data/plugins_listing")
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{address}/#images")
        page.get_by_text("contact-sheet").first.wait_for(timeout=60_000)
        # TensorBoard ticks no run by itself where there are more than 40.
        page.locator("tf-multi-checkbox paper-checkbox").first.click()
        page.locator("img").first.wait_for(timeout=60_000)
        keep(page, "tensorboard-images")
        page.goto(f"{address}/#hparams")
        page.reload()
        page.get_by_text("test accuracy", exact=False).first.wait_for(timeout=60_000)
        page.get_by_text("A-none-0", exact=False).first.wait_for(timeout=60_000)
        keep(page, "tensorboard-hparams")
        page.goto(f"{address}/#timeseries")
        page.reload()
        page.get_by_text("accuracy/validation").first.wait_for(timeout=60_000)
        keep(page, "tensorboard-timeseries")
        page.close()
    finally:
        board.terminate()
        board.wait()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # our own server
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def keep(page: Page, name: str) -> None:
    """Saves what is seen to HELMHOLTZ_SCREENSHOTS, if that is set, to be looked at."""
    if folder := os.environ.get("HELMHOLTZ_SCREENSHOTS"):
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(folder, f"{name}.png")))
