"""A faulty network, on a real S3 server: each HTTP request of a release and of a channel change in turn is answered 500
after it was carried out, refused, cut off, or never answered. The command itself must get over all but the last two, and
after those the same command; at the end there is exactly one more commit."""

import json
import os
import random
import shutil
import subprocess
import time

import pytest

from places import Bucket
from programs import PUBLISH
from suites.stores.proxy import Proxy
from suites.stores.publisher import channels, prepare, publish

KINDS = ["lie", "refuse", "cut", "hang"]
COMMANDS = {"release": ["release", "1.0.2", "--from", "dist"], "channels": ["channels"]}
# So many points of each command, drawn by chance; the full tier has all.
SAMPLE = 8


def point(place, directory, base, name, command, fault):
    """Runs one command through a faulty network; gives the number of requests and the exit code."""
    lied = f"{name}-lied"
    place.copy(name, lied)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for kept in ["keys", "dist"]:
        (directory / kept).symlink_to(base / kept)
    shutil.copy(base / ".publish-state.json", directory)
    channels(directory, "1.0.1")
    proxy = Proxy(place.endpoint, fault)
    (directory / "publish.yaml").write_text(f"name: acme\n{place.config(lied, proxy.url)}  timeout: 2\n")
    result = subprocess.run([PUBLISH, *COMMANDS[command]], cwd=directory, capture_output=True, text=True, timeout=120)
    kind = fault.split(":")[0]
    if kind in ["none", "lie", "refuse"]:
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    requests = proxy.close()
    (directory / "publish.yaml").write_text("name: acme\n" + place.config(lied))
    publish(directory, *COMMANDS[command])
    publish(directory, "verify")
    # Plain names may be behind: the exit code is not 0 then.
    status = subprocess.run([PUBLISH, "status", "--json"], cwd=directory, capture_output=True, text=True, timeout=120)
    status = json.loads(status.stdout)["status"]
    if kind in ["none", "lie", "refuse"]:
        # Base: init, three releases, a yank, a channel change; and exactly one more.
        assert status["roles"][-1]["version"] == 7, status
    assert ("1.0.2" in [release["version"] for release in status["releases"]]) == (command == "release"), status
    return requests, result.returncode


@pytest.mark.parametrize("command", COMMANDS)
def test_faults_of_http_requests(ceph, directory, command, seed, note):
    place, name, base, work = Bucket(ceph, "network"), command, directory / "publisher", directory / "work"
    prepare(place, base, name)
    began, gave_up, failed = time.time(), 0, []
    requests, _ = point(place, work, base, name, command, "none")
    every = [f"{kind}:{at}" for at in range(1, requests + 1) for kind in KINDS]
    sample = len(every) if os.environ.get("TIER") == "full" else SAMPLE
    points = random.Random(f"{seed} {command}").sample(every, min(sample, len(every)))
    for fault in points:
        try:
            gave_up += point(place, work, base, name, command, fault)[1] != 0
        except Exception as error:
            failed.append(f"{command} {fault}: {error}")
    note(
        f"requests of {command}: {len(points)} of {len(every)} points, seed {seed}, {len(failed)} failed, {gave_up} needed the same command again; "
        f"{requests} requests; {time.time() - began:.0f} s"
    )
    assert points and not failed, "\n".join(failed)
