"""Many publishers at once: each publishes its releases to one repository and is killed at random on the way, while real
clients read all the time. No acknowledged release may be lost, no read may break, no version may go back."""

import json
import random
import subprocess
import tempfile
import threading
import time

from clients import PythonTuf, Trdl, sha512
from programs import PUBLISH
from suites.stores.publisher import channels, publish
from web import Gateway

PUBLISHERS, RELEASES, KILLS = 8, 10, 0.2


def publisher_that_is_killed(number, place, directory, base, seed, told):
    chance = random.Random(f"{seed}-{number}")
    work = directory / f"publisher-{number}"
    work.mkdir()
    (work / "keys").symlink_to(base / "keys")
    (work / "publish.yaml").write_text("name: acme\n" + place.config("swarm"))
    tool = work / "dist/any-any/bin/tool"
    tool.parent.mkdir(parents=True)
    for release in range(RELEASES):
        version = f"{number}.{release}.0"
        tool.write_text(f"#!/bin/sh\necho {version}\n")
        for _ in range(60):
            command = [PUBLISH, "release", version, "--from", "dist", "--json"]
            process = subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if chance.random() < KILLS:
                time.sleep(chance.random() * 1.2)
                process.kill()
                told["kills"] += process.wait() != 0
                continue
            out, _ = process.communicate()
            if process.returncode == 0:
                told["rebases"] += json.loads(out)["result"]["rebases"]
                told["published"].append(version)
                break
            told["refused"].append(out.strip())
        else:
            told["refused"].append(f"{version} was never published")
            return


def test_swarm_of_publishers_that_are_killed(place, memory, seed, note):
    told = {"kills": 0, "rebases": 0, "published": [], "refused": []}
    broken, reads, versions = [], 0, [0]
    base = memory / "base"
    base.mkdir()
    (base / "publish.yaml").write_text("name: acme\n" + place.config("swarm"))
    publish(base, "init", "--no-passphrase")
    tool = base / "dist/any-any/bin/tool"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho first\n")
    channels(base, "0.1.0")
    publish(base, "release", "0.1.0", "--from", "dist", "--channels")
    gateway, root = Gateway(place, "swarm"), (base / "keys/1.root.json").read_bytes()
    python, trdl = PythonTuf(gateway.url, root, memory / "python"), Trdl(memory / "trdl").add(gateway.url, sha512(root))
    began = time.time()
    threads = [threading.Thread(target=publisher_that_is_killed, args=(number, place, memory, base, seed, told)) for number in range(1, PUBLISHERS + 1)]
    [thread.start() for thread in threads]
    while any(thread.is_alive() for thread in threads):
        try:
            versions.append(python.reads())
            if reads % 10 == 0:
                assert trdl.version() == "0.1.0"
                PythonTuf(gateway.url, root, tempfile.mkdtemp(dir=memory)).reads()
        except Exception as error:
            broken.append(repr(error))
        reads += 1
    took = time.time() - began
    targets = gateway.targets()
    lost = [version for version in told["published"] if f"releases/{version}/any-any/bin/tool" not in targets]
    PythonTuf(gateway.url, root, memory / "last").reads(targets)
    publish(base, "verify")
    backwards = sum(later < earlier for earlier, later in zip(versions, versions[1:]))
    note(
        f"swarm, {place.kind}: {len(told['published'])} of {PUBLISHERS * RELEASES} releases by {PUBLISHERS} publishers, {told['kills']} kills, "
        f"{told['rebases']} rebases, {len(told['refused'])} gave up, {len(lost)} lost; {reads} reads, {len(broken)} broken, {backwards} backwards; "
        f"seed {seed}; {took:.0f} s"
    )
    assert not lost and not broken and not backwards, (lost, broken[:5], versions)
    assert len(told["published"]) == PUBLISHERS * RELEASES, told["refused"][:5]
