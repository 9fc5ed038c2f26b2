"""Ratios of publish to named baselines; started by `benches/run`."""

import base64
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PUBLISH, TOUGH = os.environ["PUBLISH"], os.environ["TOUGH"]
PAIRS = 7


def timed(command, cwd=None, env=None):
    """Seconds and maximum resident MiB of a command, after a sync."""
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    assert status == 0, errors.decode()
    return seconds, usage.ru_maxrss / 1024


def pairs(ours, baseline):
    """Runs both in turn and gives the medians: our seconds, the baseline's, our largest memory, the baseline's."""
    mine, theirs = [], []
    for round_ in range(PAIRS):
        mine.append(ours(round_))
        theirs.append(baseline(round_))
    median = lambda runs: statistics.median(run[0] for run in runs)
    return median(mine), median(theirs), max(run[1] for run in mine), max(run[1] for run in theirs)


def report(name, goal, result):
    ours, baseline, memory, their_memory = result
    print(f"| {name} | {goal} | {ours:.3f} s | {baseline:.3f} s | {ours / baseline:.3f} | {memory:.0f} MiB | {their_memory:.0f} MiB |", flush=True)


def publish(directory, *arguments):
    subprocess.run([PUBLISH, *arguments], cwd=directory, check=True, capture_output=True)


def fill(directory, count, size):
    directory.mkdir(parents=True)
    for number in range(count):
        with open(directory / f"file-{number:05}", "wb") as file:
            # In pieces: what this process holds in memory would count as its children's.
            for piece in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - piece)))


def initialised(directory, *arguments):
    publish(directory, "init", "--name", "bench", "--no-passphrase", *arguments)


def rounds(work):
    """A copy of the initialised publisher for each round. Nothing is deleted while measuring: for some seconds ext4 searches
    long for inodes that were not just freed, which would count as somebody's time."""

    def ours(round_):
        place = work / f"round-{round_}"
        place.mkdir()
        for name in ["repo", "keys"]:
            shutil.copytree(work / name, place / name)
        shutil.copy(work / "publish.yaml", place)
        return timed([PUBLISH, "release", "1.0.0", "--from", work / "dist", "--quiet"], cwd=place)

    return ours


def large(work):
    # From the page cache, both.
    fill(work / "dist/linux-amd64/bin", 5, 100_000_000)
    initialised(work)

    def baseline(round_):
        return timed(["sh", "-c", f"cp -r dist copy-{round_} && find copy-{round_} -exec sync {{}} +"], cwd=work)

    report("release of 5 artifacts of 100 MB / `cp -r` and fsync of them", "<= 1.5, < 64 MiB", pairs(rounds(work), baseline))


def many(work, algorithm):
    fill(work / "dist/linux-amd64/bin", 1000, 100_000)
    initialised(work, "--openpgp-algorithm", algorithm)
    return rounds(work)


def many_ed25519(work):
    ours = many(work, "ed25519")
    home = work / "gnupg"
    home.mkdir(mode=0o700)
    env = {"GNUPGHOME": str(home)}
    subprocess.run(["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key", "bench", "ed25519", "sign", "0"], env={**os.environ, **env}, check=True, capture_output=True)

    def baseline(round_):
        out = work / f"signatures-{round_}"
        out.mkdir()
        return timed(["sh", "-c", f"for f in dist/linux-amd64/bin/*; do gpg --batch --detach-sign --output {out}/${{f##*/}}.sig $f; done"], cwd=work, env=env)

    report("release of 1 000 artifacts of 100 KB, Ed25519 / `gpg --detach-sign` per file", "<= 0.083", pairs(ours, baseline))
    subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **env}, check=True)


def many_rsa4096(work):
    ours = many(work, "rsa4096")

    def baseline(_):
        os.sync()
        said = subprocess.run(["openssl", "speed", "-seconds", "5", "-multi", str(os.cpu_count()), "rsa4096"], check=True, capture_output=True, text=True).stdout
        rate = float(re.search(r"^rsa 4096 bits\s+\S+\s+\S+\s+([\d.]+)", said, re.M).group(1))
        return 1000 / rate, 0

    report("release of 1 000 artifacts of 100 KB, RSA-4096 / 1 000 signatures at `openssl speed`'s rate on all cores", "about 1", pairs(ours, baseline))


def edit(work):
    """100 000 targets: 49 999 artifacts with their signatures, the certificate and a channel."""
    fill(work / "dist/linux-amd64/bin", 49_999, 16)
    initialised(work)
    (work / "trdl_channels.yaml").write_text('groups:\n- name: "1"\n  channels:\n  - {name: stable, version: 1.0.0}\n')
    publish(work, "release", "1.0.0", "--from", "dist", "--channels")
    fill(work / "next/linux-amd64/bin", 5, 1000)
    fill(work / "ten", 10, 1000)
    # tough reads Ed25519 keys as plain DER.
    (work / "der").mkdir()
    for key in (work / "keys").glob("*.pem"):
        (work / "der" / f"{key.stem}.der").write_bytes(base64.b64decode("".join(key.read_text().splitlines()[1:-1])))
    files = json.loads(subprocess.run([PUBLISH, "status", "--json"], cwd=work, check=True, capture_output=True).stdout)
    assert files["status"]["targets"] == 100_000, files["status"]["targets"]

    def ours(round_):
        return timed([PUBLISH, "release", f"2.0.{round_}", "--from", "next", "--quiet"], cwd=work)

    def baseline(round_):
        return timed([TOUGH, "repo", "repo/1.root.json", "der", "ten", f"out-{round_}"], cwd=work)

    report("release of 5 artifacts into 100 000 targets / the same edit with tough", "<= 0.125, < 150 MiB", pairs(ours, baseline))


BENCHMARKS = {"large": large, "many-ed25519": many_ed25519, "many-rsa4096": many_rsa4096, "edit": edit}


def main():
    print("| publish / baseline | goal | publish | baseline | ratio | memory | baseline's memory |\n|---|---|---|---|---|---|---|", flush=True)
    for name in sys.argv[1:] or BENCHMARKS:
        # Beside the sources: /tmp may be memory, where nothing is durable.
        with tempfile.TemporaryDirectory(dir=Path.cwd() / "target") as work:
            BENCHMARKS[name](Path(work))


main()
