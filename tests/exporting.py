"""Short ways to say what an export is asked for, and what it leaves."""

from __future__ import annotations

from pathlib import Path

from helmholtz.export import Exported, export
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, level_folder
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic

DOCUMENTS = {"README.md", "read.py", "report.html", "manifest.json"}
LEFT = DOCUMENTS | {"export.json"}  # beside the shards


def export_to(run: Path, to: Path, level: Level | None = None) -> Exported:
    return export(open_store(str(run)), open_store(str(to)), level)


def of_level(run: Path, level: Level) -> tuple[Path, LevelManifest]:
    folder = run / level_folder(synthetic.DATASET, "jpeg-420", level)
    return folder, LevelManifest.model_validate_json((folder / "manifest.json").read_bytes())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
