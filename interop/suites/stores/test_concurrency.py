"""Several publishers of one repository, and one that is interrupted."""

import json
import os
import subprocess
import time

import pytest

from places import public_bucket, s3
from programs import PUBLISH
from suites.stores.publisher import channels


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_machines_share_their_memory(publisher, request, kind):
    """What one machine has published, a fresh one knows, and two at once lose nothing."""
    if kind == "s3":
        endpoint, repo, state = request.getfixturevalue("ceph"), "s3://shared/acme", "s3://shared/private"
        s3(endpoint).create_bucket(Bucket="shared")
    else:
        endpoint, repo, state = request.getfixturevalue("azurite"), "az://publishers/shared/acme", "az://publishers/shared/private"
    config = f"name: acme\nrepo: {repo}\nstate: {state}\nstore:\n  endpoint: {endpoint}\n"
    p = publisher(config)
    p.publish("init", "--no-passphrase")

    def fresh():
        machine = publisher(config)
        subprocess.run(["cp", "-a", p.directory / "keys", machine.directory], check=True)
        return machine

    p.publish("release", "1.0.0", "--from", "dist")
    for number in range(5):
        machines = [fresh() for _ in range(3)]
        for at, machine in enumerate(machines):
            machine.write("dist/any-any/bin/tool", f"{number} {at}".encode())
        runs = [
            subprocess.Popen([PUBLISH, "release", f"1.{number + 1}.{at}", "--from", "dist"], cwd=machine.directory, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)
            for at, machine in enumerate(machines)
        ]
        for run in runs:
            errors = run.communicate(timeout=300)[1]
            assert run.returncode == 0 and "warning" not in errors, errors
    last = fresh()
    last.publish("status")
    assert not any((machine.directory / ".publish-state.json").exists() for machine in [p, last, *machines])
    # Another machine says that it has seen more: that is what the memory is for.
    if kind == "s3":
        client, name = s3(endpoint), "private/publish-state.json"
        document = json.loads(client.get_object(Bucket="shared", Key=name)["Body"].read())
        published = json.loads(client.get_object(Bucket="shared", Key="acme/timestamp.json")["Body"].read())["signed"]["version"]
        (seen,) = document["repositories"]
        assert seen["versions"]["timestamp"] == published, (seen, published)
        seen["versions"]["timestamp"] += 1
        client.put_object(Bucket="shared", Key=name, Body=json.dumps(document).encode())
        fresh().publish("release", "9.0.0", "--from", "dist", code=9, says=["older state than this publisher has seen (s3://shared/private/publish-state.json)"])
    p.config(f"name: acme\nrepo: {repo}\nstate: {repo}/state\nstore:\n  endpoint: {endpoint}\n")
    p.publish("status", code=6, says=["which is inside the repository"])


def test_many_publishers_at_once(ceph, publisher):
    """The same outcomes as in a directory: both are published, or one is refused."""
    public_bucket(ceph, "rivals")
    there = lambda number: f"name: acme\nrepo: s3://rivals/{number}\nstore:\n  endpoint: {ceph}\n  conditions: enforced\n"
    for number in range(4):
        p = publisher(there(number))
        p.publish("init", "--no-passphrase")
        p.publish("release", "1.0.0", "--from", "dist")
        p.write("other/any-any/bin/tool", b"#!/bin/sh\necho other\n")
        channels(p.directory, "1.0.0")
        rivals = [["release", "1.0.1", "--from", "dist"], ["release", "1.0.2", "--from", "dist"], ["channels"]]
        same = [["release", "2.0.0", "--from", "dist"], ["release", "2.0.0", "--from", "other"]]
        start = lambda command: subprocess.Popen([PUBLISH, *command], cwd=p.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ended = [(process.communicate()[0], process.returncode) for process in [start(command) for command in rivals + same]]
        assert [code for _, code in ended[:3]] == [0, 0, 0], ended
        assert sorted(code for _, code in ended[3:]) == [0, 5], ended
        told = next(words for words, code in ended[3:] if code == 5)
        assert "releases/2.0.0/any-any" in told, told
        said = p.publish("status")
        assert all(version in said for version in ["1.0.1", "1.0.2", "2.0.0", "0/stable"]), said
        p.publish("verify", says=["good: 0 errors"])


def test_ctrl_c_at_any_time(ceph, publisher):
    public_bucket(ceph, "interrupted")
    p = publisher(f"name: acme\nrepo: s3://interrupted/acme\nstore:\n  endpoint: {ceph}\n")
    p.publish("init", "--no-passphrase")
    p.write("dist/any-any/share/large", os.urandom(1 << 20) * 60)
    codes = set()
    for round in range(12):
        # No space for temporary files is needed, either.
        process = subprocess.Popen(
            [PUBLISH, "release", f"1.0.{round}", "--from", "dist"], cwd=p.directory, env={**os.environ, "TMPDIR": "/nonexistent"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        time.sleep(0.05 + round * 0.12)
        process.send_signal(2)
        _, told = process.communicate(timeout=30)
        codes.add(process.returncode)
        assert process.returncode == 0 or (process.returncode == 130 and "the published repository is valid" in told), told
        p.publish("verify")
        p.publish("release", f"1.0.{round}", "--from", "dist")
        p.publish("verify")
    assert 130 in codes, codes
