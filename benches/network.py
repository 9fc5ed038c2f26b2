"""Ratios of publish to plain uploads over a slow network; started by `benches/network`."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from places import Bucket

PUBLISH, PROXY, UPLOADER = os.environ["PUBLISH"], os.environ["PROXY"], os.environ["UPLOADER"]
CEPH, BUCKET, DELAY, PAIRS = os.environ["CEPH"], "bench", 20, 5


class Proxy:
    def __init__(self):
        command = [PROXY, CEPH.removeprefix("http://"), str(DELAY), "none"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def close(self):
        self.process.communicate()


def timed(command, cwd, url):
    start = time.monotonic()
    subprocess.run([str(part) for part in command], cwd=cwd, env={**os.environ, "AWS_ENDPOINT_URL": url}, check=True, capture_output=True)
    return time.monotonic() - start


def fill(directory, count, size):
    directory.mkdir(parents=True)
    for number in range(count):
        (directory / f"file-{number:05}").write_bytes(os.urandom(size))


def measure(name, goal, work, mode, files, pairs=PAIRS):
    """Publishes and uploads in turn, each time into a fresh prefix."""
    place = Bucket(CEPH, BUCKET)
    proxy = Proxy()
    ours, baseline = [], []
    for round_ in range(pairs):
        directory = work / f"publisher-{round_}"
        directory.mkdir()
        (directory / "publish.yaml").write_text("name: bench\n" + place.config(f"ours-{round_}", proxy.url) + "  etag_quotes: strip\n")
        subprocess.run([PUBLISH, "init", "--no-passphrase"], cwd=directory, check=True, capture_output=True)
        before = set(place.keys(f"ours-{round_}"))
        ours.append(timed([PUBLISH, "release", "1.0.0", "--from", work / "dist", "--quiet"], directory, proxy.url))
        # What the publish put, as files; plain names of artifacts are copies there and here.
        puts = work / "puts"
        if files == "same puts" and not puts.exists():
            for key in set(place.keys(f"ours-{round_}")) - before | {f"ours-{round_}/timestamp.json", f"ours-{round_}/plain.json"}:
                name_ = key.split("/", 1)[1]
                if name_.startswith("targets/releases/") and len(name_.rsplit("/", 1)[1].split(".")[0]) != 64:
                    continue
                (puts / name_).parent.mkdir(parents=True, exist_ok=True)
                (puts / name_).write_bytes(place.read(f"ours-{round_}", name_))
        source = puts if files == "same puts" else work / "dist"
        baseline.append(timed([UPLOADER, mode, BUCKET, f"theirs-{round_}", source], work, proxy.url))
        for prefix in [f"ours-{round_}", f"theirs-{round_}"]:
            place.remove(prefix)
    proxy.close()
    mine, theirs = statistics.median(ours), statistics.median(baseline)
    print(f"| {name} | {goal} | {mine:.2f} s | {theirs:.2f} s | {mine / theirs:.3f} |", flush=True)


def many(work):
    fill(work / "dist/linux-amd64/bin", 200, 100_000)
    measure("200 artifacts of 100 KB / a sequential uploader doing the same puts and copies", "<= 0.125", work, "sequential", "same puts")


def large(work):
    fill(work / "dist/linux-amd64/bin", 5, 100_000_000)
    measure("5 artifacts of 100 MB / a parallel multipart put of the same bytes", "<= 1.3", work, "parallel", "the build", pairs=3)


BENCHMARKS = {"many": many, "large": large}


def main():
    print(f"| publish to S3, {DELAY} ms added to each request / baseline | goal | publish | baseline | ratio |\n|---|---|---|---|---|", flush=True)
    for name in sys.argv[1:] or BENCHMARKS:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as work:
            BENCHMARKS[name](Path(work))


main()
