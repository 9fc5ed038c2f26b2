"""Measures package pipelines against named baselines; started by `benches/packages`."""

import contextlib
import functools
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tuf.ngclient import Updater

PUBLISH, LOAD, BROKER = os.environ["PUBLISH"], os.environ["LOAD"], os.environ["BROKER"]
PAIRS = 7
ROLES = ["targets", "snapshot", "timestamp"]


def timed(command, cwd):
    os.sync()
    start = time.monotonic()
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - start


def publish(directory, *arguments):
    done = subprocess.run([PUBLISH, *arguments], cwd=directory, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def report(name, goal, ours, baseline, ratio, unit="s"):
    print(f"| {name} | {goal} | {ours:.3g} {unit} | {baseline:.3g} {unit} | {ratio:.3g} |", flush=True)


def initialised(directory, more=""):
    directory.mkdir(parents=True, exist_ok=True)
    publish(directory, "init", "--name", "bench", "--no-passphrase")
    with open(directory / "publish.yaml", "a") as config:
        config.write(more)


def fill(directory, count, size):
    directory.mkdir(parents=True)
    for number in range(count):
        (directory / f"p{number:05}.zip").write_bytes(os.urandom(size))


def add(work):
    """Interleaved pairs, both from the page cache, both durable at the end by one flush of the file system."""
    fill(work / "pool", 1000, 50_000)
    ours, baseline = [], []
    for round_ in range(PAIRS):
        home = work / f"round-{round_}"
        initialised(home)
        ours.append(timed([PUBLISH, "add-targets", work / "pool", "--base", work / "pool", "--prefix", "packages", "--quiet"], home))
        baseline.append(timed(["sh", "-c", f"cp -r pool copy-{round_} && sha256sum copy-{round_}/* >sums-{round_} && sync -f sums-{round_}"], work))
    mine, theirs = statistics.median(ours), statistics.median(baseline)
    report("add-targets of 1 000 packages of 50 KB, one commit / `cp -r`, `sha256sum` and one flush", "<= 1.5", mine, theirs, mine / theirs)


@contextlib.contextmanager
def workers(work):
    """A repository whose roles are signed by three processes; yields the caller's home."""
    initialised(work / "admin")
    homes = {name: work / name for name in [*ROLES, "ci"]}
    keys = {}
    for name, home in homes.items():
        (home / "keys").mkdir(parents=True)
        keys[name] = json.loads(publish(home, "key", "new", "keys/identity.pem", "--no-passphrase", "--json"))["public"]
        (home / "keys/1.root.json").write_bytes((work / "admin/keys/1.root.json").read_bytes())
        if name != "ci":
            (work / f"admin/keys/{name}.pem").rename(home / f"keys/{name}.pem")
    senders = {"ci": {"key": keys["ci"], "prefixes": ["packages/"], "may": ["publish"]}, "targets": {"key": keys["targets"], "may": ["refresh"]}}
    for name, home in homes.items():
        config = {"name": name, "state": str(work / "shared"), "senders": senders}
        (home / "publish.yaml").write_text(f"repo: {work / 'admin/repo'}\nbroker: {BROKER}\nworkers: {json.dumps(config)}\n")
    processes = []
    try:
        for name in ROLES:
            process = subprocess.Popen([PUBLISH, "worker", name, "--json"], cwd=homes[name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
            processes.append(process)
            while '"ready"' not in (line := process.stdout.readline()):
                assert line, f"the {name} worker ended"
            threading.Thread(target=process.stdout.read, daemon=True).start()
        yield homes["ci"]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def requests(work):
    with workers(work) as home:

        def seconds(*arguments):
            done = subprocess.run([LOAD, "callers", *arguments], cwd=home, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return float(done.stdout)

        seconds("5", "1", "warm")
        alone, together = [], []
        for round_ in range(3):
            alone.append(30 / seconds("30", "1", f"alone{round_}"))
            together.append(100 / seconds("100", "100", f"together{round_}"))
        mine, theirs = statistics.median(together), statistics.median(alone)
        report("100 requests at once of one package each, through workers / one at a time", ">= 20 a second", mine, theirs, mine / theirs, "a second")


class Counting(http.server.SimpleHTTPRequestHandler):
    sent = 0

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        body = source.read()
        Counting.sent += len(body)
        outputfile.write(body)


def bins(work):
    """A million targets, all served elsewhere: what is measured is metadata."""
    initialised(work, "plain_names: elsewhere\n")
    subprocess.run([LOAD, "fill", "1000000"], cwd=work, check=True)

    def add_ten(name):
        fill(work / name, 10, 100)
        return timed([PUBLISH, "add-targets", name, "--quiet"], work)

    flat = statistics.median(add_ten(f"flat{round_}") for round_ in range(3))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Counting, directory=str(work / "repo")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = (work / "keys/1.root.json").read_bytes()
    for count in [256, 512, 1024, 2048, 4096]:
        changed = timed([PUBLISH, "bins", "--count", str(count), "--not-for-trdl", "--confirm", str(count)], work)
        mine = statistics.median(add_ten(f"bins{count}-{round_}") for round_ in range(5))
        sizes = []
        for target in ["packages/p0000000.zip", "packages/p0500000.zip", "packages/p0999999.zip"]:
            with tempfile.TemporaryDirectory() as cache:
                Counting.sent = 0
                updater = Updater(metadata_dir=cache, metadata_base_url=f"http://127.0.0.1:{server.server_port}/", bootstrap=root)
                updater.refresh()
                assert updater.get_targetinfo(target) is not None
                sizes.append(Counting.sent)
        report(f"1 000 000 targets, {count} bins: add 10 / add 10 to one flat file; fresh python-tuf fetches {max(sizes) / 1000:.0f} KB; the change of the number took {changed:.1f} s", "<= 0.05, < 500 KB at 1 024", mine, flat, mine / flat)


def drop_box(work):
    initialised(work, "monitor: {drop_box: box, prefix: packages}\n")
    (work / "box").mkdir()
    for number in range(1000):
        fill(work / f"box/tuf_ready_{number:04}", 1, 50_000)
        (work / f"box/tuf_ready_{number:04}/p00000.zip").rename(work / f"box/tuf_ready_{number:04}/p{number}.zip")
    version = lambda: json.loads((work / "repo/timestamp.json").read_bytes())["signed"]["version"]
    before = version()
    seconds = timed([PUBLISH, "monitor", "--once"], work)
    assert not [path for path in (work / "box").iterdir() if not path.name.startswith(".")]
    commits = version() - before
    report(f"drop box: 1 000 directories ready at once, {commits} commit(s) / Rugged's one directory per scan of 5 s (computed)", "<= 3 commits", seconds, 5000, seconds / 5000)


BENCHMARKS = {"add": add, "requests": requests, "bins": bins, "drop-box": drop_box}


def main():
    print("| publish / baseline | goal | publish | baseline | ratio |\n|---|---|---|---|---|", flush=True)
    for name in sys.argv[1:] or BENCHMARKS:
        with tempfile.TemporaryDirectory(dir=Path.cwd() / "target") as work:
            BENCHMARKS[name](Path(work))


main()
