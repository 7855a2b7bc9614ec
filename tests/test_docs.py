"""The documentation against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from helmholtz.experiment import Experiment
from helmholtz.experiment_file import load_experiment

ROOT = Path(__file__).parents[1]


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            found += keys(info.annotation, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    table = (ROOT / "docs" / "experiments.md").read_text().split("## Keys")[1].split("\n\n`architectures`")[0]
    documented = [
        name for row in table.splitlines() if row.startswith("| `") for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    assert sorted(documented) == sorted(keys(Experiment))


def test_the_readmes_experiment_is_valid(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    path = tmp_path / "mine.yaml"
    path.write_text(block[1])
    assert load_experiment(str(path)).training.input_size == 64


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_and_named_files_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in link:
            assert (ROOT / page).parent.joinpath(link).exists(), link


def test_nothing_is_left_to_be_filled_in() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        assert not re.findall(r"^[A-Z][A-Z_]{5,}$|\bT[O]DO\b", path.read_text(), re.MULTILINE), path.name
