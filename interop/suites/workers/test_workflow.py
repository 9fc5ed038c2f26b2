"""What a team does every day."""

import hashlib
import json
import os
import signal
import subprocess

import pytest

from programs import PUBLISH
from suites.workers.team import until


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_basic_workflow_signs_in_order(team, kind):
    t = team(kind)
    t.start()
    for name, host in t.hosts.items():
        held = sorted(path.name for path in (host.home / "keys").glob("*.pem"))
        assert held == sorted({"identity.pem", *({f"{name}.pem"} if name in t.ROLES else {"targets.pem"} if name == "standby" else set())}), (name, held)
    t.package(1), t.package(2)
    done = t.ci.run("add-targets", "packages", "--sign")
    steps = [line for line in done.stderr.splitlines() if "signed (" in line or "visible" in line]
    assert steps == ["targets signed (version 2)", "snapshot signed (version 2)", "timestamp signed (version 2)", "visible to clients"], done
    tool = t.ci.home / "dist/any-any/bin/tool"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\n")
    (t.ci.home / "trdl_channels.yaml").write_text('groups:\n- name: "1"\n  channels:\n  - {name: stable, version: 1.0.0}\n')
    t.ci.publish("release", "1.0.0", "--from", "dist", "--channels")
    assert "nothing to do" in t.ci.publish("add-targets", "packages", "--sign")
    t.ci.publish("bins", "--count", "4", "--not-for-trdl", "--confirm", "4")
    t.package(2, "second edition")
    t.ci.publish("add-targets", "packages")
    t.ci.publish("remove-targets", "packages/p1.zip", "--confirm", "1")
    t.ci.fails(5, "channels point at it", "yank", "1.0.0")
    assert "good: 0 errors" in t.ci.publish("verify")
    python, gateway = t.client()
    python.reads(gateway.targets())
    python.reads({"packages/p2.zip": {"hashes": {"sha256": hashlib.sha256(b"second edition").hexdigest()}}})
    # Roles that are due are signed again, from a host that holds no key.
    assert "nothing is due" in t.hosts["monitor"].publish("refresh")
    # A service that is stopped finishes its work and exits with 0.
    for role in t.ROLES:
        process = t.hosts[role].processes[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0 and t.hosts[role].events("stopped"), role


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_monitor_publishes_uploads_without_credentials(team, kind):
    t = team(kind)
    t.start()
    t.hosts["monitor"].start("monitor")
    until(lambda: t.hosts["monitor"].events("ready"), "the monitor is ready")
    assert not list((t.hosts["monitor"].home / "keys").glob("[!i]*.pem")), "the monitor holds no key of a role"
    t.upload("100", {"p1.zip": b"package 1", "p1.json": b"{}"})
    t.upload("101", {"p2.zip": b"package 2"})
    t.upload("102", {"bad%name": b"x"})
    until(lambda: t.dropped() == ["tuf_failed_102", "tuf_failed_102.txt"], "all but one are published")
    python, gateway = t.client()
    assert sorted(gateway.targets()) == ["packages/p1.json", "packages/p1.zip", "packages/p2.zip"]
    python.reads(gateway.targets())
    # A worker's refusal is about the upload: its policy knows this sender by other names only.
    t.configure("monitor")
    config = (t.hosts["monitor"].home / "publish.yaml").read_text()
    (t.hosts["monitor"].home / "publish.yaml").write_text(config.replace('"prefix": "packages"', '"prefix": "elsewhere"'))
    t.hosts["monitor"].processes[-1].send_signal(signal.SIGHUP)
    until(lambda: t.hosts["monitor"].events("reloaded"), "it has read its config")
    t.upload("103", {"p3.zip": b"package 3"})
    until(lambda: "tuf_failed_103.txt" in t.dropped(), "the refused upload is set aside")
    assert "this sender has no right to change target elsewhere/p3.zip" in (t.directory / "box/tuf_failed_103.txt").read_text()


def test_due_roles_are_refreshed_through_the_workers(team):
    t = team()
    t.start()
    # Everything but the clock is real: the workers and the caller run five hours, then 30 days later.
    for ahead, roles in [("+5h", ["timestamp"]), ("+30d", ["targets", "snapshot", "timestamp"])]:
        for role in t.ROLES:
            os.killpg(t.hosts[role].processes.pop().pid, signal.SIGKILL)
            (t.hosts[role].home / "log").unlink()
            log = open(t.hosts[role].home / "log", "a")
            t.hosts[role].processes.append(subprocess.Popen(["faketime", "-f", ahead, PUBLISH, "worker", role, "--json"], cwd=t.hosts[role].home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True))
        done = subprocess.run(["faketime", "-f", ahead, PUBLISH, "refresh", "--json"], cwd=t.hosts["monitor"].home, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done
        assert [due["role"] for due in json.loads(done.stdout)["plan"]["due"]] == roles, done.stdout


def test_standby_takes_over_and_dead_caller_finds_its_answer(team):
    t = team()
    t.start()
    t.hosts["standby"].start("worker", "targets")
    until(lambda: t.hosts["standby"].events("ready"), "the standby is ready")
    t.package(1)
    t.ci.publish("add-targets", "packages")
    assert not t.hosts["standby"].events("done")
    t.hosts["targets"].processes[0].kill()
    t.package(2)
    t.ci.publish("add-targets", "packages")
    assert t.hosts["standby"].events("done")
    # Nobody serves: the caller waits, dies, and its request is carried out when a worker comes.
    t.hosts["standby"].processes[0].kill()
    t.package(3)
    caller = t.ci.start("add-targets", "packages")
    until(lambda: '"waiting": 1' in t.ci.publish("queue", "--json").replace('"waiting":1', '"waiting": 1'), "the request waits")
    caller.kill()
    t.start("targets")
    until(lambda: t.hosts["targets"].events("done")[1:], "it is carried out")
    assert "nothing to do" in t.ci.publish("add-targets", "packages")
    # Paused, nothing new starts; what was asked for before is done after.
    t.hosts["ci"].publish("pause", "--reason", "backup")
    t.package(4)
    t.ci.fails(5, "publishing is paused since", "add-targets", "packages")
    paused = t.ci.run("status")
    assert paused.returncode == 11 and paused.stdout.startswith("paused since"), paused.stdout
    t.ci.publish("resume")
    t.ci.publish("add-targets", "packages")
