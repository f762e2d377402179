"""Values as cells that no spreadsheet takes for a formula (OWASP: CSV injection).

File names, user agents, hosts and user names are chosen by strangers; a leading quote makes a spreadsheet show them as
text.
"""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full width counts too


def cell(value: object) -> str:
    """A value as a cell. Lists become texts with commas, None is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)
    text = text.replace("\0", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
