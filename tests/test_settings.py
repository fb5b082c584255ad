"""Settings of a training run: typed, ranged, every one of them in one file."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from model.errors import TandemError
from quant.settings import (
    TrainSettings,
    check_rates,
    read_settings,
    settings_differences,
    settings_from_dict,
    settings_text,
    settings_to_dict,
)


def settings_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_the_file_of_all_settings_shows_the_defaults(root: Path) -> None:
    path = root / "designs" / "train_default.toml"
    assert path.read_text() == settings_text(TrainSettings())
    assert read_settings(path) == TrainSettings()


def test_every_setting_says_what_it_does() -> None:
    for section in fields(TrainSettings):
        part = getattr(TrainSettings(), section.name)
        for item in fields(part):
            assert item.metadata["text"] or item.metadata["choices"], (section.name, item.name)
            if type(item.default) in (int, float):
                assert item.metadata["low"] <= item.default <= item.metadata["high"], item.name


def test_settings_survive_text_and_dictionary() -> None:
    settings = TrainSettings()
    stage = replace(settings.float, rates=(0.1, 1.0), learning_rate=2.5e-05, epochs=3)
    settings = replace(settings, float=stage)
    assert settings_from_dict(settings_to_dict(settings), "x") == settings
    assert settings_differences(TrainSettings(), settings) == [
        "float.epochs was 40, now 3",
        "float.learning_rate was 0.001, now 2.5e-05",
        "float.rates was [], now [0.1, 1.0]",
    ]


def test_a_file_needs_only_what_differs(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "[float]\nlearning_rate = 1\nrates = [0, 1]\n[run]\nseed = 7\n")
    settings = read_settings(path)
    assert settings.float.learning_rate == 1.0
    assert settings.float.rates == (0.0, 1.0)
    assert settings.run.seed == 7
    assert settings.qat == TrainSettings().qat


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[float]\nlearnin_rate = 1", "float.learnin_rate = 1: unknown key, did you mean"),
        ("[flaot]\n", "flaot = {}: unknown key, did you mean float"),
        ("[float]\nepochs = -1", "float.epochs = -1: must be a whole number from 0 to 100000"),
        ("[float]\nepochs = true", "float.epochs = True: must be a whole number"),
        ("[float]\nlearning_rate = nan", "float.learning_rate = nan: must be a number"),
        ("[float]\nlearning_rate = inf", "float.learning_rate = inf: must be a number"),
        ("[qat]\noptimiser = 'adam'", 'qat.optimiser = "adam": must be one of adamw, sgd'),
        ("[float]\nrates = [1, 'a']", "float.rates = [1, 'a']: must be a list of numbers"),
        ("[float]\nrates = 3", "float.rates = 3: must be a list of numbers"),
        ("[data]\ncache = 1", "data.cache = 1: must be true or false"),
        ("[start]\nweights = 1", "start.weights = 1: must be a string"),
        ("[data]\nscale_low = 2\nscale_high = 1.5", "data.scale_low = 2.0: must not be above"),
        ("float = 3", "float = 3: must be a table"),
        ("[float", "is not valid TOML"),
    ],
)
def test_mistakes_are_told_with_key_value_and_rule(tmp_path: Path, text: str, told: str) -> None:
    path = settings_file(tmp_path, text)
    with pytest.raises(TandemError) as caught:
        read_settings(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rates_have_one_number_a_bundle_and_the_head() -> None:
    stage = TrainSettings().float
    assert check_rates(stage, "float", 3) == (1.0, 1.0, 1.0)
    with pytest.raises(TandemError, match=r"float\.rates has 2 numbers, the design has 2 bundles"):
        check_rates(replace(stage, rates=(1.0, 2.0)), "float", 3)
