"""A walk's file: what it may say, and what it is told when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from casb.errors import ConfigError, Problems
from casb.lab.steps import Step, Typing, read_steps


def test_a_walk(tmp_path: Path) -> None:
    path = tmp_path / "walk.yaml"
    path.write_text('steps:\n  - goto: /a\n  - click: "text=New"\n  - type: {into: "#t", text: Milk}\n  - wait: 0.5\n')
    steps = read_steps(path)
    assert steps[2] == Step(type=Typing(into="#t", text="Milk"))
    assert [each.label for each in steps] == ["goto /a", "click text=New", "type into #t", "wait 0.5"]


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n  - {goto: /a, click: b}\n",
        "steps:\n  - {}\n",
        "steps:\n  - goto: https://x/\n",
        "steps:\n  - wait: 600\n",
    ],
)
def test_steps_that_cannot_be(tmp_path: Path, text: str) -> None:
    path = tmp_path / "walk.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_steps(path)
    assert caught.value.code == "L003"


def test_unknown_words_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "walk.yaml"
    path.write_text("steps:\n  - clik: x\n")
    with pytest.raises(Problems, match=r"walk.yaml:2:5: C\d+ unknown key 'clik'"):
        read_steps(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="L003"):
        read_steps(tmp_path / "none.yaml")
