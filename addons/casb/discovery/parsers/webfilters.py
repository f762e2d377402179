"""Web filters with positional lines of their own: Barracuda Web Security Gateway, Digital Arts i-FILTER, Olfeo."""

from __future__ import annotations

import re

from casb.discovery.entry import Entry, LineReader, Outcome, address, by_status, named, number, target, traffic
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL
from casb.discovery.times import Clock

# --- Barracuda: "Syslog and the Barracuda Web Security Gateway": epoch, flag, source, destination, content type, source, URL, size,
# BYF, action, reason, then what the policy engine matched; the user in brackets, ANON without one.

_BARRACUDA = re.compile(
    r"(\d{10}(?:\.\d+)?) (\d+) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+|-)(?:\([^)]*\))? (\S+) ([0-9a-fA-F.:]+) (\S+) (\d+) BYF (\w+) (\S+)(.*)\Z"
)
_BRACKETS = re.compile(r"\[([^\]]*)\]")


def _barracuda(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        if " BYF " not in entry.text:
            return None
        match = _BARRACUDA.search(entry.text)
        if match is None:
            return None
        stamp, _, client, dest, _, _, url, size, action, _, rest = match.groups()
        time = clock.epoch(stamp)
        host, shown = target(url)
        if time is None or host is None:
            return entry.skip("no destination" if time else "no time that can be read")
        user = _BRACKETS.search(rest)
        name = named(user[1]) if user else None
        return traffic(
            entry.number, time, "barracuda", None if name in ("ANON", "?:-") else name, address(client), None, host, shown, address(dest), None,
            number(size), None, action.upper() not in ("BLOCKED", "DENIED"),
        )  # fmt: skip

    return read


BARRACUDA = LogParser(
    name="barracuda",
    title="Barracuda Web Security Gateway (web filter)",
    aliases=("BARRACUDA", "BARRACUDA_SYSLOG", "101", "166"),
    sample=(
        "May  6 07:08:09 bwsg http_scan[4711]: 1714979289 1 192.0.2.10 198.51.100.7 text/html 192.0.2.10 https://box.example/up 4711 "
        "BYF ALLOWED CLEAN 2 1 0 1 3 (-) 1 online-storage 0 - 0 box.example online-storage [ldap0:alice] box.example - [-] - 0"
    ),
    start=_barracuda,
    gives=ALL - {"bytes_up"},
    certainty=0.98,
    marks=(" BYF ",),
)

# --- i-FILTER: the FAQ of Digital Arts on access log formats (Ver. 9, 10, @Cloud; D-SPA). `[date]`, status, request and response
# size, reason; the request line in quotes stands before them (older) or behind (newer).

_IFILTER_DATE = re.compile(r"(?:(\S{1,128}) )?\[(\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(?: ?[+-]\d{4})?)\]")
_IFILTER_HEAD = re.compile(r"(?:[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d )?\d+ \d+/\d+/\S* ")
_IFILTER_SIZES = re.compile(r" (\d{3}|0|-) (\d+|-) (\d+|-) ([a-z_\-]+) ")
_IFILTER_REQUEST = re.compile(r'"([A-Z]+) (\S+)(?: HTTP/[\d.]+)?"')


def _ifilter(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        text = entry.text
        head = _IFILTER_HEAD.match(text)
        if head is None:
            return None
        date = _IFILTER_DATE.search(text, head.end(), head.end() + 1000)
        request = _IFILTER_REQUEST.search(text)
        if date is None or request is None:
            return None
        sizes = _IFILTER_SIZES.search(text, date.end())
        time = clock.parse(date[2])
        host, shown = target(request[2])
        if time is None or host is None:
            return entry.skip("no destination" if time else "no time that can be read")
        before = text[head.end() : date.start()].split()
        addresses = [each for each in map(address, before) if each]
        client = addresses[-1] if addresses else None
        dest = address(before[1]) if len(before) >= 4 else address(before[0]) if before else None
        blocked = sizes is not None and "block" in sizes[4]
        return traffic(
            entry.number, time, "i-filter", named(date[1]), client, None, host, shown, dest if dest != client else address(host),
            number(sizes[2]) if sizes else None, number(sizes[3]) if sizes else None, None, not blocked,
        )  # fmt: skip

    return read


IFILTER = LogParser(
    name="i-filter",
    title="Digital Arts i-FILTER",
    aliases=("I_FILTER", "I_FILTER_SYSLOG", "185", "186", "IFILTER", "DIGITAL_ARTS_I_FILTER"),
    sample=(
        "May 06 07:08:09 4872 1000/01/ - 198.51.100.7:443 192.0.2.10 192.0.2.10 - alice [06/May/2024:07:08:09 +0000] 200 815 4711 "
        'pass 63 87 87/127/151 -1 0 1518 0 staff - 0 - "GET https://box.example/up HTTP/1.1" - Mozilla text%2Fhtml A667FEFF'
    ),
    start=_ifilter,
    gives=ALL,
    certainty=0.96,
    marks=("] ",),
)

# --- Olfeo: `client - user [dd/mm/yyyy hh:mm:ss] "request" status - - size category`.

_OLFEO = re.compile(
    r'(\S+) (\S+) (.+?) \[(\d\d)/(\d\d)/(\d{4} \d\d:\d\d:\d\d)\] "([A-Z]+) (\S+)(?: [^"]*)?" (\d{3}|-)(?: (\S+) (\S+) (\d+|-))?(.*)\Z'
)


def _olfeo(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        match = _OLFEO.match(entry.text.strip())
        if match is None:
            return None
        client, _, user, day, month, rest, _, url, status, _, _, size, _ = match.groups()
        time = clock.parse(f"{rest[:4]}-{month}-{day} {rest[5:]}")
        host, shown = target(url)
        if time is None or host is None or address(client) is None:
            return entry.skip("no destination" if time else "no time that can be read")
        return traffic(
            entry.number,
            time,
            "olfeo",
            named(user),
            address(client),
            None,
            host,
            shown,
            None,
            None,
            number(size),
            None,
            by_status(status),
        )

    return read


OLFEO = LogParser(
    name="olfeo",
    title="Olfeo Secure Web Gateway",
    sample='192.0.2.10 - alice [06/05/2024 07:08:09] "GET https://box.example/up HTTP/1.1" 200 - - 4711 Online Storage',
    start=_olfeo,
    gives=ALL - {"bytes_up", "dest_ip"},
    certainty=0.94,
    marks=("] ",),
)

PARSERS = (BARRACUDA, IFILTER, OLFEO)
