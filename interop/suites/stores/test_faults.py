"""Faults at storage calls: each point of the matrix (faults.py), or some that are drawn by chance."""

import os
import random
import time

import pytest

from suites.stores.faults import COMMANDS, KINDS

# Every point of the two daily commands in a directory; elsewhere as many as a few minutes allow. The full tier has all.
SAMPLES = {"local": {"refresh": 20, "yank": 20, "prune": 20}, "s3": dict.fromkeys(COMMANDS, 8)}


@pytest.mark.parametrize("command", COMMANDS)
def test_faults_at_storage_calls(bench, command, seed, note):
    began, calls = time.time(), bench.count(command)
    every = [(kind, at) for at in range(1, calls + 1) for kind in KINDS]
    sample = len(every) if os.environ.get("TIER") == "full" else SAMPLES[bench.place.kind].get(command, len(every))
    points = random.Random(f"{seed} {command}").sample(every, min(sample, len(every)))
    failed = []
    for kind, at in points:
        try:
            bench.point(command, kind, at)
        except Exception as error:
            failed.append(f"{command} {kind}:{at}: {error}")
    bench.place.remove(bench.name)
    note(f"faults of {command}, {bench.place.kind}: {len(points)} of {len(every)} points, seed {seed}, {len(failed)} failed; {calls} storage calls; {time.time() - began:.0f} s")
    assert points and not failed, "\n".join(failed)
