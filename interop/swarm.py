"""Many publishers at once: each publishes its releases to one repository and is killed at random on the way, while real
clients read all the time. No acknowledged release may be lost, no read may break, no version may go back.

  swarm.py local|s3 [--publishers 8] [--releases 10] [--kills 0.2] [--seed S]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from faults import place_of, publish
from clients import Gateway, PythonTuf, Trdl


def publisher(number, place, directory, base, arguments, told):
    chance = random.Random(f"{arguments.seed}-{number}")
    work = directory / f"publisher-{number}"
    work.mkdir()
    (work / "keys").symlink_to(base / "keys")
    (work / "publish.yaml").write_text("name: acme\n" + place.config("swarm"))
    tool = work / "dist/any-any/bin/tool"
    tool.parent.mkdir(parents=True)
    for release in range(arguments.releases):
        version = f"{number}.{release}.0"
        tool.write_text(f"#!/bin/sh\necho {version}\n")
        for _ in range(60):
            command = [os.environ["PUBLISH"], "release", version, "--from", "dist", "--json"]
            process = subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if chance.random() < arguments.kills:
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store", choices=["local", "s3"])
    parser.add_argument("--publishers", type=int, default=8)
    parser.add_argument("--releases", type=int, default=10)
    parser.add_argument("--kills", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    told = {"kills": 0, "rebases": 0, "published": [], "refused": []}
    broken, reads, versions = [], 0, [0]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        directory = Path(directory)
        place = place_of(arguments, directory)
        place.remove("swarm")
        base = directory / "base"
        base.mkdir()
        (base / "publish.yaml").write_text("name: acme\n" + place.config("swarm"))
        publish(base, "init", "--no-passphrase")
        tool = base / "dist/any-any/bin/tool"
        tool.parent.mkdir(parents=True)
        tool.write_text("#!/bin/sh\necho first\n")
        (base / "trdl_channels.yaml").write_text('groups:\n- name: "0"\n  channels:\n  - {name: stable, version: 0.1.0}\n')
        publish(base, "release", "0.1.0", "--from", "dist", "--channels")
        gateway = Gateway(place)
        gateway.name = "swarm"
        root = (base / "keys/1.root.json").read_bytes()
        python, trdl = PythonTuf(gateway.url, root, directory / "python"), Trdl(directory / "trdl").add(gateway.url, root)
        began = time.time()
        threads = [
            threading.Thread(target=publisher, args=(number, place, directory, base, arguments, told))
            for number in range(1, arguments.publishers + 1)
        ]
        [thread.start() for thread in threads]
        while any(thread.is_alive() for thread in threads):
            try:
                versions.append(python.reads())
                if reads % 10 == 0:
                    assert trdl.version() == "0.1.0"
                    PythonTuf(gateway.url, root, tempfile.mkdtemp(dir=directory)).reads()
            except Exception as error:
                broken.append(repr(error))
            reads += 1
        took = time.time() - began
        targets = gateway.targets()
        lost = [version for version in told["published"] if f"releases/{version}/any-any/bin/tool" not in targets]
        PythonTuf(gateway.url, root, directory / "last").reads(targets)
        publish(base, "verify")
        place.remove("swarm")
    wanted = arguments.publishers * arguments.releases
    backwards = sum(later < earlier for earlier, later in zip(versions, versions[1:]))
    for line in told["refused"][:5] + broken[:5]:
        print(line)
    print(
        f"swarm on {arguments.store}: {len(told['published'])} of {wanted} releases by {arguments.publishers} publishers, {told['kills']} kills, "
        f"{told['rebases']} rebases, {len(told['refused'])} gave up, {len(lost)} lost; {reads} reads, {len(broken)} broken, {backwards} backwards; "
        f"seed {arguments.seed}; {took:.0f} s"
    )
    sys.exit(1 if lost or broken or backwards or len(told["published"]) != wanted else 0)


main()
