"""Hands spooled records to the sidecar: in order, in batches, until it has accepted every one of them.

Runs in the supervisor, in a thread of its own; never on the path of an exchange. A batch may be sent twice (after a
crash, after an answer that was lost): the sidecar ignores an id it has, so each record arrives once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from casb.settings import Secret
from casb.store.spool import DRAFT, segments

logger = logging.getLogger(__name__)

OFFSETS = "offsets.json"
REJECTED = "rejected"
LOCK = "shipper.lock"
TOLD = 4  # attempts in a row after which the log says that records wait: a sidecar that starts takes fewer
STALE_DRAFT = 60.0  # seconds after which an unnamed segment is taken for a dead writer's


@dataclass(slots=True, kw_only=True)
class ShipperState:
    """What the shipper is doing, for metrics and the portal. Counters run from its start."""

    pending_bytes: int = 0
    pending_segments: int = 0
    lag: float = 0.0  # seconds since everything had last been handed over; 0 when it is
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    torn: int = 0  # last lines cut off by a power loss; kept in the rejected file
    failures: int = 0  # attempts in a row that found the sidecar away
    error: str = ""  # why the last attempt failed


@dataclass(slots=True)
class Batch:
    """Lines and, for each segment they came from, where it is read up to."""

    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    offsets: dict[str, int] = field(default_factory=dict)


class Away(Exception):
    """The sidecar cannot take anything now; try again later."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the lines of a batch; `rejected` maps the index of a line to the reason."""

    accepted: int
    duplicates: int
    rejected: Mapping[int, str]


def _receipt(answer: Mapping[str, Any], count: int) -> Receipt:
    """The answer, when it accounts for every line that was sent; else raises `Away` and all are sent again."""
    try:
        receipt = Receipt(
            int(answer["accepted"]),
            int(answer["duplicates"]),
            {int(each["index"]): str(each["error"]) for each in answer["rejected"]},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Away("the answer is no receipt") from error
    known = all(0 <= index < count for index in receipt.rejected)
    if not known or receipt.accepted + receipt.duplicates + len(receipt.rejected) != count:
        raise Away("the receipt does not add up")
    return receipt


class Shipper:
    """Ships the segments of `folder` to `url` (the sidecar's address, without a path).

    `status` is asked for extra facts (versions in force, workers) which are sent along as the proxy's heartbeat.
    `verify` is a PEM path that alone is trusted for an https sidecar.
    """

    def __init__(
        self,
        folder: Path | str,
        url: str,
        token: Secret,
        *,
        name: str = "proxy",
        status: Callable[[], Mapping[str, Any]] = dict,
        verify: str | None = None,
        batch_records: int = 500,
        batch_bytes: int = 1_000_000,
        poll: float = 0.2,
        heartbeat: float = 5.0,
        longest_pause: float = 30.0,
    ) -> None:
        self._folder = Path(folder)
        self._url = url.rstrip("/")
        self._name = name
        self._status = status
        self._batch_records = batch_records
        self._batch_bytes = batch_bytes
        self._poll = poll
        self._heartbeat = heartbeat
        self._longest_pause = longest_pause
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._caught_up = time.monotonic()
        self._beat = 0.0
        self._offsets: dict[str, int] = {}
        self._http = requests.Session()
        self._http.trust_env = False  # no proxy, no netrc from the environment
        self._http.headers["Authorization"] = f"Bearer {token.reveal()}"
        if verify:
            self._http.verify = verify
        self.state = ShipperState()

    def start(self) -> None:
        """Begin shipping in a daemon thread."""
        self._thread = threading.Thread(target=self.run, name="shipper", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 10.0) -> None:
        """Try to hand over what is there, once more, then end. What remains is shipped after the next start."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience)

    def run(self) -> None:
        """Ship until `stop`. One shipper per folder: a second one waits for the first to end."""
        with contextlib.closing(self._http), self._only_one() as mine:
            if mine:
                self._offsets = self._read_offsets()
                self._sweep_drafts()
            while mine:
                last = self._stop.is_set()
                pause = self.step()
                if last:
                    return
                self._stop.wait(pause)

    def step(self) -> float:
        """Ship all there is; seconds to pause before the next step. Never raises."""
        try:
            while batch := self._collect():
                self._deliver(batch.lines)
                self._offsets.update(batch.offsets)
                self._write_offsets()
            self._clean_up()
            self._measure()
            self._beat_heart()
        except Away as reason:
            return self._wait_longer(str(reason))
        except OSError as error:  # our own disk
            return self._wait_longer(f"spool: {error.strerror}")
        except Exception as error:  # a bug of ours: the thread must live on, the records wait
            logger.exception("shipping failed")
            return self._wait_longer(type(error).__name__)
        if self.state.failures >= TOLD:
            logger.warning("sidecar is back url=%s after=%d", self._url, self.state.failures)
        self.state.failures = 0
        self.state.error = ""
        return self._poll

    def _wait_longer(self, reason: str) -> float:
        with contextlib.suppress(OSError):
            self._measure()
        self.state.failures += 1
        if self.state.failures == TOLD:
            logger.warning("records wait in the spool reason=%r url=%s", reason, self._url)
        self.state.error = reason
        return min(self._longest_pause, self._poll * float(2 ** min(self.state.failures, 16)))

    def _collect(self) -> Batch | None:
        """The next lines of all segments, oldest segment first; None when there are none."""
        batch = Batch()
        for path in segments(self._folder):
            offset = self._offsets.get(path.name, 0)
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    full = len(batch.lines) >= self._batch_records or batch.size + len(line) > self._batch_bytes
                    if batch.lines and full:
                        return batch
                    offset += len(line)
                    batch.lines.append(line)
                    batch.size += len(line)
                    batch.offsets[path.name] = offset
        return batch if batch.lines else None

    def _deliver(self, lines: list[bytes]) -> None:
        """Returns when each line was accepted or put aside; raises `Away`."""
        answer = self._call("/v1/records", b"".join(lines), "application/x-ndjson")
        if answer["ok"]:
            receipt = _receipt(answer, len(lines))
            self.state.accepted += receipt.accepted
            self.state.duplicates += receipt.duplicates
            for index, reason in receipt.rejected.items():
                self._put_aside(lines[index], reason)
        elif len(lines) == 1:
            self._put_aside(lines[0], str(answer.get("error", "")))
        else:  # the whole batch was refused: find the one that spoils it
            half = len(lines) // 2
            self._deliver(lines[:half])
            self._deliver(lines[half:])

    def _call(self, path: str, body: bytes, media_type: str) -> dict[str, Any]:
        """The sidecar's answer, `ok` or not. Raises `Away` for everything that says nothing about the content.

        Only our own sidecar's word that the content is wrong may cost a record its place in the queue. A wrong token,
        a wrong host, somebody else's server: the records wait until an admin has mended it.
        """
        try:
            response = self._http.post(
                self._url + path,
                data=body,
                headers={"Content-Type": media_type},
                timeout=(3, 30),
                allow_redirects=False,
            )
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise Away(type(error).__name__) from error
        ours = isinstance(answer, dict) and isinstance(answer.get("ok"), bool)
        if not ours or response.status_code not in (200, 400, 413, 422):
            raise Away(f"status {response.status_code}")
        return dict(answer)

    def _put_aside(self, line: bytes, reason: str) -> None:
        """Never lost, never in the way: an admin finds it with its reason beside the spool."""
        self.state.rejected += 1
        logger.error("record rejected by the sidecar reason=%r", reason)
        entry = json.dumps({"reason": reason, "record": line.decode("utf-8", "backslashreplace").rstrip("\n")})
        folder = self._folder / REJECTED
        folder.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(folder / "rejected.ndjson", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "ab", buffering=0) as file:
            file.write(entry.encode() + b"\n")
            os.fsync(file.fileno())

    def _clean_up(self) -> None:
        """Remove what has been handed over and is not being written any more."""
        live = set()
        for path in segments(self._folder):
            if not self._finished(path):
                live.add(path.name)
        if self._offsets.keys() - live:
            self._offsets = {name: offset for name, offset in self._offsets.items() if name in live}
            self._write_offsets()

    def _finished(self, path: Path) -> bool:
        """True when the segment is gone: its writer is done and all of it was handed over."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        with os.fdopen(fd, "rb", buffering=0) as file:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            file.seek(self._offsets.get(path.name, 0))
            rest = file.read()
            if b"\n" in rest:
                return False
            if rest:
                self.state.torn += 1
                self._put_aside(rest, "torn: the last line of a segment without its end")
            path.unlink(missing_ok=True)
        return True

    def _measure(self) -> None:
        pending = count = 0
        for path in segments(self._folder):
            with contextlib.suppress(FileNotFoundError):
                rest = path.stat().st_size - self._offsets.get(path.name, 0)
                pending += rest
                count += rest > 0
        now = time.monotonic()
        if not pending:
            self._caught_up = now
        self.state.pending_bytes = pending
        self.state.pending_segments = count
        self.state.lag = now - self._caught_up

    def _beat_heart(self) -> None:
        now = time.monotonic()
        if now - self._beat < self._heartbeat:
            return
        state = self.state
        facts = {
            **self._status(),
            "name": self._name,
            "spool": {
                "pending_bytes": state.pending_bytes,
                "lag": round(state.lag, 3),
                "rejected": state.rejected,
                "torn": state.torn,
            },
        }
        self._call("/v1/proxy-status", json.dumps(facts).encode(), "application/json")
        self._beat = now

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[bool]:
        """True once this process alone ships the folder; False when stopped while waiting for that."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._stop.wait(1.0):
                        yield False
                        return
            yield True
        finally:
            os.close(fd)

    def _read_offsets(self) -> dict[str, int]:
        """Where to go on. A file that cannot be read costs nothing: what is sent again is ignored."""
        try:
            offsets = json.loads((self._folder / OFFSETS).read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(offsets, dict):
            return {}
        return {path.name: offsets[path.name] for path in segments(self._folder) if _fits(path, offsets.get(path.name))}

    def _write_offsets(self) -> None:
        draft = self._folder / f".{OFFSETS}"
        with draft.open("wb") as file:
            file.write(json.dumps(self._offsets).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / OFFSETS)

    def _sweep_drafts(self) -> None:
        """Empty segments of writers that died between making and naming them."""
        for draft in self._folder.glob(f"*{DRAFT}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > STALE_DRAFT:
                    draft.unlink()


def _fits(path: Path, offset: object) -> bool:
    """Whether an offset can be one of ours: right after a line that is in the segment."""
    if not isinstance(offset, int) or offset <= 0:
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(offset - 1)
        return file.read(1) == b"\n"
    return False
