"""A faulty network, on a real S3 server: each HTTP request of a release and of a channel change in turn is answered 500
after it was carried out, refused, cut off, or never answered. The command itself must get over all but the last two, and
after those the same command; at the end there is exactly one more commit.

  lies.py [--sample N] [--seed S]
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import channels, prepare, publish
from places import Bucket

KINDS = ["lie", "refuse", "cut", "hang"]
COMMANDS = {"release": ["release", "1.0.2", "--from", "dist"], "channels": ["channels"]}


class Proxy:
    def __init__(self, upstream, fault="none", delay=0):
        command = [os.environ["PROXY"], upstream.removeprefix("http://"), str(delay), fault]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def close(self):
        """Says how many requests there were."""
        return int(self.process.communicate()[0])


def point(place, directory, base, command, fault):
    """Runs one command through a faulty network; returns how many requests it took."""
    place.copy("base", "lied")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name in ["keys", "dist"]:
        (directory / name).symlink_to(base / name)
    shutil.copy(base / ".publish-state.json", directory)
    channels(directory, "1.0.1")
    proxy = Proxy(place.endpoint, fault)
    (directory / "publish.yaml").write_text(f"name: acme\n{place.config('lied', proxy.url)}  timeout: 2\n")
    result = subprocess.run([os.environ["PUBLISH"], *COMMANDS[command]], cwd=directory, capture_output=True, text=True, timeout=120)
    kind = fault.split(":")[0]
    if kind in ["none", "lie", "refuse"]:
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    requests = proxy.close()
    (directory / "publish.yaml").write_text("name: acme\n" + place.config("lied"))
    publish(directory, *COMMANDS[command])
    publish(directory, "verify")
    # Plain names may be behind: the exit code is not 0 then.
    status = subprocess.run([os.environ["PUBLISH"], "status", "--json"], cwd=directory, capture_output=True, text=True, timeout=120)
    status = json.loads(status.stdout)["status"]
    if kind in ["none", "lie", "refuse"]:
        # Base: init, three releases, a yank, a channel change; and exactly one more.
        assert status["roles"][-1]["version"] == 7, status
    assert ("1.0.2" in [release["version"] for release in status["releases"]]) == (command == "release"), status
    return requests, result.returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    place = Bucket(os.environ["STORES_S3_ENDPOINT"], os.environ["STORES_S3"].removeprefix("s3://"))
    began, failed, gave_up = time.time(), 0, 0
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        base, work = directory / "publisher", directory / "work"
        prepare(place, base)
        counts = {command: point(place, work, base, command, "none")[0] for command in COMMANDS}
        points = [(command, f"{kind}:{at}") for command in COMMANDS for at in range(1, counts[command] + 1) for kind in KINDS]
        everything = len(points)
        if arguments.sample:
            points = random.Random(arguments.seed).sample(points, min(arguments.sample, everything))
        for command, fault in points:
            try:
                gave_up += point(place, work, base, command, fault)[1] != 0
            except Exception as error:
                failed += 1
                print(f"FAILED  {command} {fault}: {error}", flush=True)
        place.remove("base")
        place.remove("lied")
    print(f"lies: {len(points)} of {everything} points, seed {arguments.seed}, {failed} failed, {gave_up} needed the same command again; requests: {counts}; {time.time() - began:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
