"""A team continues after a restored backup, and with another key."""

import hashlib
import json
import os
import shutil
import signal
import subprocess

import pytest

from programs import PUBLISH
from suites.workers.team import until
from suites.workers.watcher import Reading


@pytest.mark.parametrize("remembered", [True, False])
def test_restored_backup_continues_above_what_clients_have_seen(team, remembered):
    """As docs/recovery.md describes for workers: they refuse the old copy, and continue above the versions that they or the operator know."""
    t = team()
    t.start()
    repo, backup = t.directory / "repo", t.directory / "backup"
    t.package(1)
    t.ci.publish("add-targets", "packages")
    shutil.copytree(repo, backup)
    for number in range(2, 5):
        t.package(number)
        t.ci.publish("add-targets", "packages")
    python, gateway = t.client()
    seen = python.reads(gateway.targets())
    shutil.rmtree(repo)
    shutil.copytree(backup, repo)
    t.ci.fails(9, "older state than this publisher has seen", "add-targets", "packages")
    (t.ci.home / ".publish-state.json").unlink()
    # Whoever forgot what it saw is stopped by the workers, each of which remembers.
    t.ci.fails(9, "older state than this publisher has seen", "refresh", "--all")
    t.stop()
    if not remembered:
        for role in t.ROLES:
            (t.hosts[role].home / ".publish-state.json").unlink()
    for role in t.ROLES:
        t.hosts[role].processes.clear(), (t.hosts[role].home / "log").unlink()
        t.hosts[role].start("worker", role, *(["--accept-rollback"] if remembered else ["--versions-above", "700"]))
        until(lambda: t.hosts[role].events("ready"), f"the {role} worker is ready")
    t.ci.fails(6, "they choose the versions", "refresh", "--all", "--versions-above", "700", "--confirm", "700")
    t.ci.publish("refresh", "--all", "--accept-rollback")
    now = python.reads(gateway.targets())
    assert now > (seen if remembered else 700), (seen, now)
    # No number that clients may hold is used for something else.
    lowest = min(role["version"] for role in json.loads(t.ci.publish("status", "--json"))["status"]["roles"][1:])
    assert lowest > (100 if remembered else 700), lowest
    # What the backup lacks comes again, by workers as they are every day.
    t.stop()
    for role in t.ROLES:
        t.hosts[role].processes.clear(), (t.hosts[role].home / "log").unlink()
    t.start()
    t.ci.publish("add-targets", "packages")
    python.reads(gateway.targets())
    assert "good: 0 errors" in t.ci.publish("verify")


@pytest.mark.parametrize("bins", [0, 4])
def test_targets_key_is_rotated_as_documented(team, bins):
    """docs/rotation.md, "With workers", step by step, with and without bins; clients read throughout."""
    t = team()
    admin, worker = t.directory / "admin", t.hosts["targets"]

    def publish(*arguments, code=0, words=""):
        done = subprocess.run([PUBLISH, *map(str, arguments)], cwd=admin, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == code and words in done.stderr + done.stdout, f"{arguments} exited with code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def root(*edit, code=0, words=""):
        publish("root", "edit", *edit)
        publish("root", "sign", "--yes")
        publish("root", "commit", code=code, words=words)

    def restart(keys):
        for process in worker.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        worker.processes.clear(), (worker.home / "log").unlink()
        config = (worker.home / "publish.yaml").read_text().split("keys:\n")[0]
        (worker.home / "publish.yaml").write_text(f"{config}keys:\n  targets: {keys}\n")
        t.start("targets")

    def package(number):
        path = t.package(number)
        t.ci.publish("add-targets", "packages")
        wanted[f"packages/p{number}.zip"] = {"hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}

    wanted = {}
    t.start()
    package(1), package(2)
    if bins:
        t.ci.publish("bins", "--count", bins, "--not-for-trdl", "--confirm", bins)
    with Reading(t, wanted):
        old = json.loads(worker.publish("key", "show", "keys/targets.pem", "--json"))["key_id"]
        # 1: the new key, at the worker.
        worker.publish("key", "new", "keys/targets-2.pem", "--no-passphrase")
        (admin / "targets-2.pub").write_text(worker.publish("key", "export", "keys/targets-2.pem"))
        # 2: the root that adds it, where no online key is.
        root("--add-key", "targets=targets-2.pub")
        package(3)
        # Step 4 before step 3 is refused; the draft is put away.
        root("--remove-key", f"targets={old}", code=5, words="with root 3, clients would refuse the published targets")
        (admin / "root-draft.json").unlink()
        # 3: both keys at the worker, then everything signed by both.
        restart("[file:keys/targets.pem, file:keys/targets-2.pem]")
        t.hosts["monitor"].publish("refresh", "--all")
        package(4)
        # 4: the root that drops the old key.
        root("--remove-key", f"targets={old}")
        package(5)
        # 5: the new key only; the bins forget the old one.
        restart("file:keys/targets-2.pem")
        (worker.home / "keys/targets.pem").unlink()
        package(6)
        t.hosts["monitor"].publish("refresh")
        package(7)
        assert "nothing is due" in t.hosts["monitor"].publish("refresh")
        if bins:
            version = lambda path: int(path.name.split(".")[0])
            newest = lambda role: max((t.directory / "repo").glob(f"[0-9]*.{role}.json"), key=version)
            for role in ["targets", "bins"]:
                assert old not in newest(role).read_text(), f"{role} still names the old key"
        assert "good: 0 errors" in t.ci.publish("verify")
