"""What is different through the suffix. Values in, values out.

An application differs from itself: clocks, nonces, counters. It is therefore walked directly twice, and whatever
differs between those two walks is no news.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from casb.lab.browser import Asked
from casb.lab.relay import Told
from casb.lab.walk import Stop, Walked

SECURITY = (
    "content-security-policy",
    "content-security-policy-report-only",
    "strict-transport-security",
    "x-frame-options",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-embedder-policy",
    "cross-origin-resource-policy",
)
_NUMBERS = re.compile(r"\b(?:[0-9a-f]{8,}|\d+(?:\.\d+)*)\b", re.IGNORECASE)
_REASON = re.compile(r"status of (\d+) \([^)]*\)")  # HTTP/2 has no reason phrases
_NONCE = re.compile(r"'nonce-[^']*'")
_OURS = re.compile(r"https://[^\s;]*/\.casb/\S*|'sha(?:256|384|512)-[^']*'")


@dataclass(frozen=True, slots=True, kw_only=True)
class StopDelta:
    """How one stop differs. `pixels` is the share of differing pixels, `noise` that between two direct walks."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    failure: str = ""
    pixels: float = 0.0
    noise: float = 0.0

    @property
    def differs(self) -> bool:
        return bool(self.missing or self.extra or self.failure) or self.pixels > max(0.02, 3 * self.noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderDelta:
    """A security header of a document: what the origin sent and what the browser got, without the suffix."""

    url: str
    name: str
    origin: str
    through: str
    verdict: str  # same, added, changed, missing

    @property
    def weaker(self) -> bool:
        return self.verdict in ("missing", "changed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """All differences, each as lines for people."""

    stops: tuple[StopDelta, ...]
    console: tuple[str, ...]
    failed: tuple[str, ...]
    escaped: tuple[str, ...]
    violations: tuple[str, ...]
    cookies: tuple[str, ...]
    told: tuple[str, ...]
    headers: tuple[HeaderDelta, ...]
    unknown: tuple[tuple[str, int, str], ...]  # hosts outside, how often, for what

    @property
    def differs(self) -> bool:
        """Whether the application is not the same through the suffix. Unknown hosts alone are no difference."""
        lists = (self.console, self.failed, self.escaped, self.violations, self.cookies, self.told)
        return any(lists) or any(each.differs for each in self.stops) or any(each.weaker for each in self.headers)


def compare(
    direct: Walked,
    again: Walked,
    through: Walked,
    *,
    left: Iterable[Asked],
    owns: Callable[[str], bool],
    suffix: str,
    told: Iterable[Told],
    pixels: Iterable[tuple[float, float]],
) -> Delta:
    """Compare the walk through the suffix with two direct ones.

    `left` are the requests that did not go to the suffix, `owns` says whether a host is in the mapping; `pixels` are,
    for each stop, the shares of pixels that differ between direct and through, and between the two direct walks.
    """
    stops = tuple(
        _stop(one, two, three, pair)
        for one, two, three, pair in zip(direct.stops, again.stops, through.stops, pixels, strict=True)
    )
    left = list(left)
    outside = Counter(each.host for each in left if not owns(each.host))
    kinds = {each.host: each.kind for each in left}
    escaped = dict.fromkeys(
        f"{each.method} {each.url.partition('?')[0]} ({each.kind})" for each in left if owns(each.host)
    )
    return Delta(
        stops=stops,
        console=_new(through.console, direct.console, again.console),
        failed=_new(_failed(through), _failed(direct), _failed(again)),
        escaped=tuple(escaped),
        violations=_new(_said(through), _said(direct), _said(again)),
        cookies=_cookies(direct, through, suffix),
        told=tuple(sorted({f"{each.request or 'a body'} to {each.host} carries {each.mark!r}" for each in told})),
        headers=tuple(_headers(direct, through)),
        unknown=tuple((host, count, kinds[host]) for host, count in outside.most_common() if host),
    )


def _stop(one: Stop, two: Stop, three: Stop, pixels: tuple[float, float]) -> StopDelta:
    first, second, third = Counter(one.lines), Counter(two.lines), Counter(three.lines)
    stable, ever = first & second, first | second
    failure = three.failure if three.failure and not one.failure else ""
    if not failure and one.url == two.url != three.url:
        failure = f"ended at {three.url} instead of {one.url}"
    return StopDelta(
        missing=tuple((stable - third).elements())[:200],
        extra=tuple(each for each in (third - ever).elements() if not _volatile(each, one, two))[:200],
        failure=failure,
        pixels=pixels[0],
        noise=pixels[1],
    )


def _volatile(line: str, one: Stop, two: Stop) -> bool:
    """Whether a line is one that changed between the direct walks too, numbers apart."""
    changed = (Counter(one.lines) - Counter(two.lines)) + (Counter(two.lines) - Counter(one.lines))
    return _shape(line) in {_shape(each) for each in changed}


def _new(found: Iterable[str], *before: Iterable[str]) -> tuple[str, ...]:
    known = {_shape(each) for walk in before for each in walk}
    return tuple(dict.fromkeys(each for each in found if _shape(each) not in known))[:200]


def _shape(line: str) -> str:
    """A line without what changes from visit to visit."""
    return _NUMBERS.sub("#", _REASON.sub(r"status \1", line))


def _failed(walked: Walked) -> list[str]:
    return [
        f"{each.method} {each.url.partition('?')[0]} ({each.kind}): {each.failure or each.status}"
        for each in walked.asked
        if (each.failure and "ERR_ABORTED" not in each.failure) or each.status >= 400
    ]


def _said(walked: Walked) -> list[str]:
    return [f"{directive} refused {blocked or 'inline'} ({how})" for directive, blocked, how in walked.violations]


def _cookies(direct: Walked, through: Walked, suffix: str) -> tuple[str, ...]:
    def facts(walked: Walked, tail: str) -> dict[tuple[str, str], str]:
        found = {}
        for each in walked.cookies:
            name, domain = str(each.get("name")), str(each.get("domain", "")).lstrip(".")
            if not name.startswith("__Host-casb_") and not name.startswith("casb_"):
                flags = f"HttpOnly={each.get('httpOnly')} Secure={each.get('secure')} SameSite={each.get('sameSite')}"
                found[name, domain.removesuffix(tail)] = f"{flags} Path={each.get('path')}"
        return found

    before, after = facts(direct, ""), facts(through, f".{suffix}")
    lines = [f"{name} of {host} is missing" for name, host in before.keys() - after.keys()]
    lines += [f"{name} of {host} is new" for name, host in after.keys() - before.keys()]
    lines += [
        f"{key[0]} of {key[1]}: {before[key]} became {after[key]}"
        for key in before.keys() & after.keys()
        if before[key] != after[key]
    ]
    return tuple(sorted(lines))


def _headers(direct: Walked, through: Walked) -> Iterable[HeaderDelta]:
    for url, origin in direct.headers.items():
        got = through.headers.get(url)
        if got is None:
            continue
        for name in SECURITY:
            before, after = origin.get(name, []), got.get(name, [])
            if not before and not after:
                continue
            verdict = "same" if _comparable(before) == _comparable(after) else "changed"
            if not before or not after:
                verdict = "missing" if before else "added"
            yield HeaderDelta(url=url, name=name, origin=" | ".join(before), through=" | ".join(after), verdict=verdict)


def _comparable(values: Iterable[str]) -> list[frozenset[str]]:
    """Policies as sets of directives: nonces apart, and without what lets our own script in."""
    found = []
    for value in values:
        for policy in value.split(","):
            plain = _OURS.sub("", _NONCE.sub("'nonce'", policy))
            parts = (frozenset(part.split()) for part in plain.split(";"))
            found.append(frozenset(" ".join(sorted(part)) for part in parts if part))
    return found
