"""The real sidecar as a process: first run, kill -9 in the middle of a batch, graceful stop."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest

from casb.settings import Secret
from casb.store.records_sqlite import SqliteRecords
from casb.store.shipper import Shipper
from casb.store.spool import Spool, segments
from live_sidecar import Deployment
from sample_records import record


@pytest.mark.e2e
def test_first_run_and_graceful_stop(deployment: Deployment) -> None:
    process = deployment.serve()
    code = (deployment.data / "first-run-code").read_text().strip()
    assert (deployment.data / "first-run-code").stat().st_mode & 0o777 == 0o600
    with httpx.Client(base_url=deployment.url, trust_env=False) as http:
        assert http.get("/readyz").json() == {"ok": True, "missing": [], "notes": []}
        assert http.get("/", headers={"host": "evil.example"}).status_code == 421
        assert '"files.contoso.example": 1' in http.get("/proxy.pac").text
        assert "casb_configuration_valid 1" in http.get("/metrics").text
        assert http.get("/v1/activities").status_code == 401
        assert "/v1/records" in http.get("/v1/openapi.json").json()["paths"]
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert str(deployment.data / "first-run-code") in told
    assert code not in told, "a log file would keep it; only a console is shown the code itself"


@pytest.mark.e2e
def test_kill_9_in_the_middle_of_batches_loses_and_doubles_nothing(deployment: Deployment) -> None:
    process = deployment.serve()
    spool_folder = deployment.data / "spool"
    spool = Spool(spool_folder, "worker-1", segment_bytes=200_000)
    shipper = Shipper(spool_folder, deployment.url, Secret(deployment.token), poll=0.01, longest_pause=0.2)
    count, done = 6000, threading.Event()
    begin = datetime.now(UTC) - timedelta(hours=3)  # younger than the retention time

    def write() -> None:
        for number in range(count):
            spool.append(orjson.dumps(record(number, begin + timedelta(seconds=number))))
            if number % 100 == 0:
                time.sleep(0.01)
        spool.close()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    shipper.start()
    chance = random.Random(7)  # noqa: S311 - when to strike
    kills = 0
    while not done.is_set() or kills < 3:
        time.sleep(chance.uniform(0.05, 0.3))
        process.kill()
        process.communicate()
        kills += 1
        process = deployment.serve()
    writer.join()
    deadline = time.monotonic() + 60
    while segments(spool_folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    shipper.stop()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert kills >= 3
    assert segments(spool_folder) == []
    with contextlib.closing(SqliteRecords.open(deployment.data / "casb.db", read_only=True)) as log:
        kept = [each["id"] for each in log.stream({})]
        assert kept == [record(number)["id"] for number in reversed(range(count))]
        assert log.total() == count
        assert len(list(log.stream({"text": "contoso"}))) == count


@pytest.mark.e2e
def test_what_keeps_it_from_starting_is_told(deployment: Deployment) -> None:
    (deployment.folder / "casb.yaml").write_text("version: 1\nsufix: casb.example\n")
    status, _, told = deployment.run("serve", "--config", str(deployment.folder))
    assert status == 1
    assert "casb.yaml:2:1" in told


@pytest.mark.e2e
def test_an_address_in_use(deployment: Deployment) -> None:
    deployment.serve()
    status, _, told = deployment.run("serve", "--config", str(deployment.folder))
    assert (status, "C090" in told) == (1, True)


@pytest.mark.e2e
def test_a_broken_policy_does_not_stop_the_log(deployment: Deployment) -> None:
    (deployment.folder / "payroll.yaml").write_text("version: 1\npolicies: [{id: x, action: blok}]\n")
    deployment.serve()
    with httpx.Client(base_url=deployment.url, trust_env=False) as http:
        ready = http.get("/readyz")
        assert (ready.status_code, len(ready.json()["notes"])) == (200, 1)
        assert "casb_configuration_valid 0" in http.get("/metrics").text
