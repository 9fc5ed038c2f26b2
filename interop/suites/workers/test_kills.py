"""Commits go on while workers, standby, monitor, callers and the broker are killed at random."""

import hashlib
import json
import random
import subprocess
import threading
import time

from programs import PUBLISH
from suites.workers.killer import Killer
from suites.workers.team import until
from suites.workers.watcher import Watcher


def nothing_is_lost(t, commits, seed, note, callers=6):
    chance = random.Random(seed)
    services = {"targets": ["worker", "targets"], "standby": ["worker", "targets"], "snapshot": ["worker", "snapshot"], "timestamp": ["worker", "timestamp"], "monitor": ["monitor"]}
    for name, arguments in services.items():
        t.hosts[name].start(*arguments)
    acknowledged, killed, numbers, lock = {}, [0], iter(range(commits)), threading.Lock()
    watcher, killer = Watcher(t, acknowledged), Killer(t, services, seed)
    watcher.start(), killer.start()

    def call(caller):
        home = t.ci.home / f"caller-{caller}"
        home.mkdir()
        for name in ["keys", "publish.yaml"]:
            (home / name).symlink_to(t.ci.home / name)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            content = f"package {number} {seed}".encode()
            path = home / f"packages/p{number}.zip"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            if number % 4 == 0:
                # One in four comes without a credential.
                t.upload(f"{number}", {f"p{number}.zip": content})
                until(lambda: not [name for name in t.dropped() if name.endswith(f"_{number}")], f"upload {number} is published", 120)
                acknowledged[f"packages/p{number}.zip"] = {"hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
                continue
            for _ in range(40):
                process = subprocess.Popen([PUBLISH, "add-targets", path.relative_to(home)], cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if chance.random() < 0.2:
                    time.sleep(chance.random() * 0.6)
                    process.kill()
                    killed[0] += 1
                    process.communicate()
                    continue
                said, _ = process.communicate(timeout=200)
                if process.returncode == 0:
                    acknowledged[f"packages/p{number}.zip"] = {"hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
                    break
                assert process.returncode == 13, said
            else:
                watcher.faults.append(f"package {number} was never published")

    threads = [threading.Thread(target=call, args=[caller]) for caller in range(callers)]
    start = time.monotonic()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    seconds = time.monotonic() - start
    killer.done.set()
    killer.join()
    watcher.done.set()
    watcher.join()
    until(lambda: all(queue["waiting"] == 0 for queue in json.loads(t.ci.publish("queue", "--json"))["queue"]["queues"]), "the queues are empty")
    assert t.dropped() == [], "no directory is stuck"
    fresh, _ = t.client("fresh")
    fresh.reads(acknowledged)
    assert "good: 0 errors" in t.ci.publish("verify")
    note(f"{t.place.kind}: {len(acknowledged)} of {commits} commits in {seconds:.0f} s, callers killed {killed[0]} times, {killer.kills}, {watcher.reads} reads, seed {seed}")
    assert len(acknowledged) == commits and not watcher.faults, watcher.faults[:5]
    assert all(killer.kills.values()), killer.kills


def test_nothing_is_lost_on_a_directory_while_everything_is_killed(team, seed, note):
    nothing_is_lost(team("local"), 200, seed, note)


def test_nothing_is_lost_on_s3_while_everything_is_killed(team, seed, note):
    nothing_is_lost(team("s3"), 200, seed, note)
