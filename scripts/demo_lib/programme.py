"""The order of the scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from demo_lib import story, story_admin, story_modes
from demo_lib.browser import Browsers
from demo_lib.stack import Stack


def play(stack: Stack, browsers: Browsers, pictures: Path | None, say: Callable[[str], None]) -> None:
    """The whole story. Raises `StoryFailed` at the first scene that is not as promised."""
    stage = story.Stage(stack, browsers, pictures, say)
    story.managed_user(stage)
    activity = story.unmanaged_user(stage)
    story.risky_network(stage)
    story_modes.forward(stage)
    story_modes.host_preserving(stage)
    recorded = story_admin.keep_recording(stage)
    story_admin.explanation(stage, activity)
    story_admin.replay(stage, recorded)
    story_admin.policy_changes(stage, activity)
    story_admin.killed(stage)
