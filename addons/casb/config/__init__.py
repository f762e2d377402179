"""The configuration folder: casb.yaml, apps/*.yaml, ranges.yaml to values; located errors."""

from casb.config.notes import Outside
from casb.config.reader import Configuration, Draft, build, draft, is_policy, version_of, version_with
from casb.config.shape import schemas

__all__ = ["Configuration", "Draft", "Outside", "build", "draft", "is_policy", "schemas", "version_of", "version_with"]
