"""Clients follow new roots."""

import json
import os
import random
import time

from clients import sha512
from programs import NEW, OLD


def test_clients_follow_many_roots(project):
    """Rotations of online keys, two roots each; users who came on any day follow at every step. Five of them, and fifty in
    the full tier."""
    rotations = 50 if os.environ.get("TIER") == "full" else 5
    chance = random.Random(int(os.environ.get("SEED", time.time())))
    p = project()
    p.point("0", OLD)
    p.release(OLD, "--channels")
    trdl, python, go = p.trdl("held"), p.python("held"), p.go("held")
    roles = ["timestamp", "snapshot", "targets"]
    for number in range(rotations):
        p.publish("rotate", roles[number % 3], "--now", "--no-passphrase")
        for client in chance.sample([lambda: trdl.installs(OLD, "0", "stable"), lambda: python.read("channels/0/stable"), lambda: go.reads("channels/0/stable")], 1):
            client()
    newest = 1 + 2 * rotations
    assert (p.directory / f"repo/{newest}.root.json").exists() and not (p.directory / f"repo/{newest + 1}.root.json").exists()
    trdl.installs(OLD, "0", "stable"), python.read("channels/0/stable"), go.reads("channels/0/stable")
    for version in [1, newest - 1, *chance.sample(range(2, newest - 1), min(10, newest - 3))]:
        root = (p.directory / f"repo/{version}.root.json").read_bytes()
        user = p.trdl(f"pinned-{version}", version, sha512(root))
        user.installs(OLD, "0", "stable")
        assert p.python(f"pinned-{version}", root).read("channels/0/stable") == f"{OLD}\n".encode()
    assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)


def test_clients_forget_versions_that_an_attacker_raised(project):
    """Those who saw the attack, those who did not, and those who come later follow the root that takes versions back."""
    p = project()
    p.point("0", OLD)
    p.release(OLD, "--channels")
    good = {role["role"]: role["version"] for role in json.loads(p.publish("status", "--json"))["status"]["roles"]}
    unaware, fooled = ((p.trdl(name), p.python(name), p.go(name)) for name in ["unaware", "fooled"])

    def see(clients, version):
        trdl, python, go = clients
        trdl.installs(version, "0", "stable")
        assert python.read("channels/0/stable") == f"{version}\n".encode()
        go.reads("channels/0/stable")

    see(unaware, OLD)
    # The attacker, with the highest numbers that the trdl client reads.
    p.publish("refresh", "--all", "--versions-above", "9007199254740980", "--confirm", "9007199254740980")
    p.point("0", NEW)
    p.release(NEW, "--channels")
    see(fooled, NEW)
    roles = ["timestamp", "snapshot", "targets"]
    config = (p.directory / "publish.yaml").read_text()
    for role in roles:
        old = json.loads(p.publish("key", "show", f"keys/{role}.pem", "--json"))["key_id"]
        p.publish("key", "new", f"keys/{role}-2.pem", "--no-passphrase")
        p.publish("root", "edit", "--add-key", f"{role}=keys/{role}-2.pem", "--remove-key", f"{role}={old}")
        config = config.replace(f"keys/{role}.pem", f"keys/{role}-2.pem")
    (p.directory / "publish.yaml").write_text(config)
    p.publish("root", "sign", "--yes")
    highest = max(good[role] for role in roles)
    p.publish("root", "commit", "--replace-now", "--back-to", good["snapshot"], "--reset-versions", highest, "--confirm", "2")
    now = {role["role"]: role["version"] for role in json.loads(p.publish("status", "--json"))["status"]["roles"]}
    assert now == {"root": 2, **{role: highest + 1 for role in roles}}, now
    fresh = p.trdl("fresh"), p.python("fresh"), p.go("fresh")
    for clients in [unaware, fooled, fresh]:
        see(clients, OLD)
    p.release(NEW, "--channels")
    for clients in [unaware, fooled, fresh]:
        see(clients, NEW)
    assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)
