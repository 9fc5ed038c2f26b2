"""Large artifacts: the memory that they take, and how a killed upload continues."""

import json
import os
import subprocess
import time
from pathlib import Path

from places import public_bucket
from programs import PUBLISH


def peak_memory(command, directory):
    """Runs a command that must succeed and returns its peak memory, in MiB."""
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                peak = int(line.split()[1]) // 1024
        time.sleep(0.02)
    assert process.returncode == 0
    return peak


def test_large_artifacts_take_bounded_memory_and_are_resumed(ceph, publisher):
    client = public_bucket(ceph, "large")
    p = publisher(f"name: acme\nrepo: s3://large/acme\nstore:\n  endpoint: {ceph}\n")
    p.publish("init", "--no-passphrase")
    block = os.urandom(1 << 20)
    # The first is staged long before the others.
    for file, size in enumerate([20, 440, 440]):
        p.write(f"dist/any-any/share/{file}", bytes([file]) + block * size)
    process = subprocess.Popen([PUBLISH, "release", "1.0.0", "--from", "dist"], cwd=p.directory, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.time() + 120
    staged = lambda: [entry["Key"] for entry in client.list_objects_v2(Bucket="large", Prefix="acme/targets/").get("Contents", []) if entry["Size"] > 1000]
    uploads = lambda: client.list_multipart_uploads(Bucket="large").get("Uploads", [])
    # One is staged and another on its way.
    while not (staged() and uploads()) and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert staged() and uploads(), (staged(), uploads())
    before = {key: client.head_object(Bucket="large", Key=key)["LastModified"] for key in staged()}
    peak = peak_memory([PUBLISH, "release", "1.0.0", "--from", "dist"], p.directory)
    for key, modified in before.items():
        assert client.head_object(Bucket="large", Key=key)["LastModified"] == modified, f"{key} was sent again"
    # Twelve parts of 8 MiB in flight, and what requests and threads take; the files have 900 MiB.
    assert peak < 300, f"{peak} MiB"
    p.publish("verify")
    # What the killed run left in the store is no object; prune finds it once it is older than the grace.
    sweep = json.loads(p.publish("prune", "--confirm", "acme", "--json"))
    assert sweep["result"]["swept"] == 0, sweep
    assert uploads(), "too young to go"
    subprocess.run([os.environ["FAULTY"], "none", str(40 * 24), "publish.yaml", "prune"], cwd=p.directory, check=True, stdout=subprocess.DEVNULL)
    assert not uploads()
    p.publish("verify")
