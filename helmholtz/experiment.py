"""Experiments: the one thing a user writes, checked in full before anything runs.

The public keys (they stay): `dataset.kind`, `dataset.path`, `dataset.limit`, `codec`, `levels`, `architectures`, `seeds`,
`training.epochs`, `training.batch_size`, `analysis.margin`, `analysis.confidence`. Files, bundled names and overrides are
read by `helmholtz.experiment_file`.
"""

from __future__ import annotations

import typing
from collections import Counter
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from helmholtz.cluster import Cluster, Resources
from helmholtz.levels import NONE, Level, parse_level, sort_key
from helmholtz.section import Section, Whole

T = TypeVar("T")


def _quoted(value: object) -> object:
    if isinstance(value, int):  # YAML takes 4:4:4 for a number to the base of 60
        raise ValueError('it must be in quotes, as "4:4:4"; without them YAML makes a number of it')
    return value


def _unique(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        twice = next(value for value, count in Counter(values).items() if count > 1)
        raise ValueError(f"{twice!r} is listed twice; list each once")
    return values


def _ordered(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    return tuple(sorted(levels, key=sort_key))


Levels = Annotated[
    tuple[Annotated[Level, BeforeValidator(parse_level)], ...],
    Field(min_length=1),
    AfterValidator(_unique),
    AfterValidator(_ordered),
]
Architecture = Literal["A", "B", "C", "D", "E", "F"]
Architectures = Annotated[tuple[Architecture, ...], Field(min_length=1), AfterValidator(_unique)]


Kind = Literal["photographs", "cifar10", "image-folder", "plucked-strings", "guitar-effects", "audio-folder", "idmt"]
AUDIO_KINDS = frozenset({"plucked-strings", "guitar-effects", "audio-folder", "idmt"})
_BUILT_IN = frozenset({"photographs", "plucked-strings"})
_FOLDERS = frozenset({"image-folder", "audio-folder", "guitar-effects"})

# Keys below `dataset` that have a meaning for some kinds only.
_TAKEN_BY: dict[str, frozenset[str]] = {
    "path": frozenset(typing.get_args(Kind)) - _BUILT_IN,
    "group": _FOLDERS,
    "download": frozenset({"cifar10"}),
    "max_pixels": frozenset(typing.get_args(Kind)) - AUDIO_KINDS,
    "notes": frozenset({"plucked-strings"}),
    "effects_seed": frozenset({"plucked-strings", "guitar-effects"}),
    "part": frozenset({"idmt"}),
}

# What the reference trains with, where it isn't what `Training` says: Adadelta as Keras had it, batches of 50, no augmentation.
_AUDIO_TRAINING = {"optimizer": "adadelta", "batch_size": 50, "augment": False, "input_size": None}
_ADADELTA = {"learning_rate": 1.0, "momentum": 0.0, "decay": 0.0}


class Dataset(Section):
    """The labelled records, and how they are split, once, before any compression."""

    kind: Kind
    path: str | None = None  # a folder or URI; photographs and plucked-strings need none
    limit: Whole | None = Field(None, ge=1)  # training records used, balanced over classes; None: all
    classes: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_unique)] | None = None  # None: all
    validation: float = Field(0.1, gt=0, lt=0.9)  # share of the training data that chooses the epoch
    test: float = Field(0.2, gt=0, lt=0.9)  # share cut off for the test, where the source prescribes none
    split_seed: Whole = Field(0, ge=0)
    group: str | None = None  # regular expression on the key; records whose match is equal stay on one side of a split
    max_rejected: float = Field(0.05, ge=0, le=1)  # share of records that may be set aside before the run stops
    max_pixels: Whole = Field(64_000_000, ge=1)  # larger images are set aside, not decoded
    shards: Whole = Field(8, ge=1, le=10_000)  # TFRecord files of the training split; the others in proportion
    download: bool = False  # cifar10: fetch the archive when `path` doesn't hold it
    noise: float = Field(0.0, ge=0, le=1)  # a control: white noise before compression, its deviation as a share of full scale
    permute_labels: bool = False  # a control: labels shuffled within each split, so that nothing can be learned
    notes: Whole = Field(60, ge=3, le=10_000)  # plucked-strings: how many, each in every class
    effects_seed: Whole = Field(0, ge=0)  # plucked-strings and guitar-effects: another number, other effect parameters
    part: Literal["guitar", "bass", "chords"] = "guitar"  # idmt: which of its subsets

    @model_validator(mode="after")
    def _keys_have_a_meaning(self) -> Self:
        if self.kind not in _BUILT_IN and self.path is None:
            raise ValueError(f"kind {self.kind} needs path: the folder or URI that holds the data")
        for key, kinds in _TAKEN_BY.items():
            if self.kind not in kinds and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: kind {self.kind} takes none; remove it (it is for {', '.join(sorted(kinds))})")
        return self


class Jpeg(Section):
    """Settings of the JPEG codec beside the level."""

    subsampling: Annotated[Literal["4:2:0", "4:2:2", "4:4:4"], BeforeValidator(_quoted)] = (
        "4:2:0"  # of the chrominance planes; Pillow's default
    )


class Mp3(Section):
    """Settings of the MP3 codec beside the level."""

    reference_bitrate: Whole = Field(128, ge=8, le=320)  # kbit/s at which Q is 0
    # Every clip is cut, or padded with silence, to so many seconds. Shorter ones leave nothing behind the networks' pooling.
    seconds: float = Field(2.0, ge=0.6, le=600)


class Combination(Section):
    """More trials: every architecture of this list at every level of this list."""

    architectures: Architectures
    levels: Levels


class Training(Section):
    """The training budget and its optimiser: the reference's (SGD, Nesterov 0.9, decay 1e-6 an update).

    These are the defaults for images; an experiment with audio fills in those of the reference's audio half.
    """

    epochs: Whole = Field(30, ge=1, le=100_000)
    batch_size: Whole = Field(128, ge=1, le=1_000_000)
    optimizer: Literal["sgd", "adadelta"] = "sgd"
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)  # Nesterov's; of sgd
    decay: float = Field(1e-6, ge=0)  # learning rate is divided by 1 + decay * updates
    augment: bool = True  # images: shifts of +-10% on both axes and horizontal flips
    input_size: Whole | None = Field(32, ge=8, le=1024)  # images: pixels that decoded ones are resized to, on both sides
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    mismatch: bool = False  # test every network at all other levels of `levels`, too

    @model_validator(mode="after")
    def _momentum_is_sgds(self) -> Self:
        if self.optimizer != "sgd" and self.momentum:
            raise ValueError(f"momentum: optimizer {self.optimizer} has none; remove it, or use optimizer sgd")
        return self


class Refine(Section):
    """How finely to look, after the sweep, between the last level that passes and the first that doesn't."""

    rounds: Whole = Field(0, ge=0, le=7)  # seven halvings of JPEG's 100 qualities leave nothing between
    levels: Whole = Field(4, ge=1, le=25)  # trained in each round; 1 is bisection


class Analysis(Section):
    """What counts as no loss, and how sure to be of it."""

    margin: float = Field(0.01, gt=0, lt=0.5)  # tolerated loss of accuracy, as a fraction: 0.01 is one point
    confidence: float = Field(0.95, gt=0.5, lt=1)


class Beam(Section):
    """Where the compression runs."""

    runner: Literal["local", "multi-processing", "flink", "dataflow"] = "local"
    workers: Whole | None = Field(None, ge=1)  # processes of multi-processing; None: one a processor
    options: tuple[str, ...] = ()  # further Beam pipeline options, e.g. "--region=europe-west4"


class Prices(Section):
    """What time and space cost. For the report alone: nothing that is trained or written depends on it."""

    per_hour: float | None = Field(None, ge=0, le=1e9)  # of the machine that trains one trial
    per_gb_month: float | None = Field(None, ge=0, le=1e9)  # of storage; 1 GB is 10**9 bytes
    currency: str = Field("USD", min_length=1, max_length=12)


class Experiment(Section):
    """A whole experiment. `levels` always contains `none`, the reference of every comparison."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = "experiment"
    description: str = ""
    dataset: Dataset
    codec: Literal["jpeg", "mp3"] = "jpeg"  # mp3 for a data set of audio
    jpeg: Jpeg = Jpeg()
    mp3: Mp3 = Mp3()
    levels: Levels
    architectures: Architectures = ("A",)
    also: tuple[Combination, ...] = ()
    seeds: Whole = Field(3, ge=1, le=100)  # trials of each combination, seeds 0, 1, 2, ...
    training: Training = Training()
    refine: Refine = Refine()
    analysis: Analysis = Analysis()
    prices: Prices = Prices()
    beam: Beam = Beam()
    resources: Resources = Resources()  # of a train task, on a cluster
    cluster: Cluster = Cluster()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_reference(cls, tree: Any) -> Any:
        """Defaults that depend on other keys, so that a resolved experiment says all that it does."""
        if not isinstance(tree, dict) or not isinstance(tree.get("dataset"), dict):
            return tree
        training = tree.get("training", {})
        audio = tree["dataset"].get("kind") in tuple(AUDIO_KINDS)  # which asks for no hash: so far it may be anything
        if audio and isinstance(training, dict):
            training = _AUDIO_TRAINING | training
        if isinstance(training, dict) and training.get("optimizer") == "adadelta":
            training = _ADADELTA | training
        return {"codec": "mp3" if audio else "jpeg", **tree, "training": training}

    @model_validator(mode="after")
    def _codec_is_the_mediums(self) -> Self:
        medium, codec = ("audio", "mp3") if self.dataset.kind in AUDIO_KINDS else ("images", "jpeg")
        if self.codec != codec:
            raise ValueError(f"codec: {self.codec} is not for {medium}, which dataset.kind {self.dataset.kind} is; use {codec}")
        for name, default in (("jpeg", Jpeg()), ("mp3", Mp3())):
            if self.codec != name and getattr(self, name) != default:
                raise ValueError(f"{name}: codec is {self.codec}; remove these settings")
        if medium == "audio" and self.training.augment:
            raise ValueError("training.augment: there is none for audio; remove it")
        if (self.training.input_size is None) != (medium == "audio"):
            raise ValueError(
                "training.input_size: spectrograms aren't resized; remove it"
                if medium == "audio"
                else "training.input_size: images need one, a number of pixels"
            )
        return self

    @model_validator(mode="after")
    def _levels_are_the_codecs(self) -> Self:
        from helmholtz.codecs import open_codec

        codec = open_codec(self)
        named = [("levels", self.levels), *((f"also[{n}].levels", more.levels) for n, more in enumerate(self.also))]
        for key, levels in named:
            for level in levels:
                try:
                    codec.check(level)
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from error
        if NONE not in self.levels:
            raise ValueError("levels: must contain none, as every other level is compared with it")
        if self.refine.rounds and self.seeds < 2:
            raise ValueError("refine.rounds: with 1 seed no level can be tested, so there is nothing to refine; use more seeds")
        return self

    @property
    def all_levels(self) -> tuple[Level, ...]:
        """Every level that any trial needs, least compressed first."""
        return _ordered(tuple({*self.levels, *(level for more in self.also for level in more.levels)}))

    @property
    def combinations(self) -> tuple[tuple[str, Level], ...]:
        """Every (architecture, level) once, in the order they are trained: by level, then architecture."""
        cells = {(a, level) for level in self.levels for a in self.architectures}
        cells |= {(a, level) for more in self.also for level in more.levels for a in more.architectures}
        return tuple(sorted(cells, key=lambda cell: (sort_key(cell[1]), cell[0])))

    def with_levels(self, architecture: str, levels: tuple[int, ...]) -> Experiment:
        """The same experiment with `architecture` trained at further levels, too."""
        further = Combination(architectures=(architecture,), levels=levels)
        return self.model_copy(update={"also": (*self.also, further)})

    def to_json(self) -> str:
        """The resolved experiment as canonical JSON; `Experiment.model_validate_json` reads it back."""
        import json

        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def as_tree(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain dictionaries and lists, in the order of its definition, for YAML or display."""
    return experiment.model_dump(mode="json")
