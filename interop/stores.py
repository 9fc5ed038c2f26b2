"""Scenarios on real stores, through the binary: S3 on Ceph, Azure Blob on Azurite, and an S3 clone that ignores conditions."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import boto3
import scenarios
from botocore.config import Config
from faults import PUBLISH, channels
from lies import Proxy
from clients import Gateway, PythonTuf, Trdl

CEPH, AZURITE, IGNORING = os.environ["STORES_S3_ENDPOINT"], os.environ["STORES_AZURE_ENDPOINT"], os.environ["STORES_IGNORING"]
EVERYBODY = ["s3:GetObject", "s3:ListBucket"]


def s3(endpoint=CEPH, key="testkey", secret="testsecret"):
    settings = Config(s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=settings, aws_access_key_id=key, aws_secret_access_key=secret)


def bucket(name, readable=EVERYBODY, **more):
    client = s3()
    client.create_bucket(Bucket=name, **more)
    resources = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": readable, "Resource": resources}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return client


class Publisher:
    """A publisher's directory with a build; `config` is its publish.yaml."""

    def __init__(self, directory, config):
        self.directory = Path(directory)
        self.write("dist/any-any/bin/tool", b"#!/bin/sh\necho tool\n")
        self.write("publish.yaml", config.encode())

    def write(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def config(self, text):
        self.write("publish.yaml", text.encode())

    def publish(self, *arguments, code=0, says=(), env=None, prefix=()):
        result = subprocess.run(
            [*prefix, PUBLISH, *arguments], cwd=self.directory, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == code, f"{arguments} ended with {result.returncode}, not {code}\n{result.stdout}\n{result.stderr}"
        for words in says:
            assert words in result.stdout + result.stderr, f"`{words}` is not in\n{result.stdout}\n{result.stderr}"
        for secret in ["testsecret", os.environ["AZURE_STORAGE_ACCOUNT_KEY"]]:
            assert secret not in result.stdout + result.stderr, "a secret was printed"
        return result.stdout

    def daily_work(self):
        self.publish("init", "--no-passphrase")
        self.publish("release", "1.0.0", "--from", "dist")
        channels(self.directory, "1.0.0")
        self.publish("channels")
        self.publish("release", "1.0.1+fix1", "--from", "dist")
        channels(self.directory, "1.0.1+fix1")
        self.publish("channels")
        self.publish("yank", "1.0.0", "--confirm", "1.0.0")
        self.publish("refresh")
        self.publish("prune", "--confirm", "acme")
        self.publish("verify", says=["good: 0 errors"])


def on(config):
    """A scenario's publisher in a directory that is removed afterwards."""
    directory = tempfile.TemporaryDirectory()
    publisher = Publisher(directory.name, config)
    publisher.keep = directory
    return publisher


def clients_read_the_bucket_itself():
    bucket("clients")
    url = f"{CEPH}/clients/acme"
    p = on(f"name: acme\nrepo: s3://clients/acme\npublic_url: {url}\nstore:\n  endpoint: {CEPH}\n")
    p.daily_work()
    p.publish("verify", url, "--root", "keys/1.root.json", says=["good: 0 errors"])
    root = (p.directory / "keys/1.root.json").read_bytes()
    assert Trdl(p.directory / "trdl").add(url, root).version() == "1.0.1+fix1"
    PythonTuf(url, root, p.directory / "python").reads()
    p.publish("store", "check", says=["ok       clients: missing root: 404", "ok       clients: + in names", "etag_quotes: strip", "the store is suitable"])


def headers_say_what_may_be_kept():
    client = bucket("headers")
    p = on(f"name: acme\nrepo: s3://headers\nstore:\n  endpoint: {CEPH}\n")
    p.daily_work()
    kept = "public, max-age=31536000, immutable"
    seen = set()
    for entry in client.list_objects_v2(Bucket="headers")["Contents"]:
        name, head = entry["Key"], client.head_object(Bucket="headers", Key=entry["Key"])
        last = name.rsplit("/", 1)[-1].split(".")[0]
        changing = not (last.isdigit() and "/" not in name or len(last) == 64 or name.startswith("targets/releases/"))
        assert head["CacheControl"] == ("no-cache" if changing else kept), (name, head["CacheControl"])
        kinds = {"json": "application/json", "asc": "application/pgp-keys", "sig": "application/pgp-signature"}
        expected = "text/plain; charset=utf-8" if "/channels/" in name else kinds.get(name.rsplit(".", 1)[-1], "application/octet-stream")
        assert head["ContentType"] == expected, (name, head["ContentType"])
        seen.add((changing, head["ContentType"]))
    assert len(seen) >= 8, seen


def azure_blob_storage():
    p = on(f"name: acme\nrepo: az://scenarios/some/prefix\nstore:\n  endpoint: {AZURITE}\n")
    p.write("dist/any-any/share/large", os.urandom(1 << 20) * 30)
    p.daily_work()
    p.publish("store", "check", says=["ok       conditions", "ok       race", "ok       large objects", "the store is suitable"])


def machines_share_their_memory():
    """On S3 and on Azure: what one machine has published, a fresh one knows, and two at once lose nothing."""
    s3().create_bucket(Bucket="shared")
    for repo, state, endpoint in [("s3://shared/acme", "s3://shared/private", CEPH), ("az://scenarios/shared/acme", "az://scenarios/shared/private", AZURITE)]:
        config = f"name: acme\nrepo: {repo}\nstate: {state}\nstore:\n  endpoint: {endpoint}\n"
        p = on(config)
        p.publish("init", "--no-passphrase")

        def fresh():
            machine = on(config)
            subprocess.run(["cp", "-a", p.directory / "keys", machine.directory], check=True)
            return machine

        p.publish("release", "1.0.0", "--from", "dist")
        for number in range(5):
            machines = [fresh() for _ in range(3)]
            for at, machine in enumerate(machines):
                machine.write("dist/any-any/bin/tool", f"{number} {at}".encode())
            runs = [
                subprocess.Popen([PUBLISH, "release", f"1.{number + 1}.{at}", "--from", "dist"], cwd=machine.directory, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)
                for at, machine in enumerate(machines)
            ]
            for run in runs:
                errors = run.communicate(timeout=300)[1]
                assert run.returncode == 0 and "warning" not in errors, errors
        last = fresh()
        last.publish("status")
        assert not any((machine.directory / ".publish-state.json").exists() for machine in [p, last, *machines])
        # Another machine says that it has seen more: that is what the memory is for.
        if endpoint == CEPH:
            client, name = s3(), "private/publish-state.json"
            document = json.loads(client.get_object(Bucket="shared", Key=name)["Body"].read())
            published = json.loads(client.get_object(Bucket="shared", Key="acme/timestamp.json")["Body"].read())["signed"]["version"]
            (seen,) = document["repositories"]
            assert seen["versions"]["timestamp"] == published, (seen, published)
            seen["versions"]["timestamp"] += 1
            client.put_object(Bucket="shared", Key=name, Body=json.dumps(document).encode())
            fresh().publish("release", "9.0.0", "--from", "dist", code=9, says=["older state than this publisher has seen (s3://shared/private/publish-state.json)"])
        p.config(f"name: acme\nrepo: {repo}\nstate: {repo}/state\nstore:\n  endpoint: {endpoint}\n")
        p.publish("status", code=6, says=["which is inside the repository"])


def a_clone_that_ignores_conditions_is_refused():
    p = on(f"name: acme\nrepo: s3://ignores/acme\nstore:\n  endpoint: {IGNORING}\n")
    keys = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
    p.publish("init", "--no-passphrase", code=6, says=["ignores the conditions", "single_publisher: true"], env=keys)
    assert not (p.directory / "keys").exists()
    p.publish("store", "check", code=6, says=["FAILED   conditions"], env=keys)
    p.config(f"name: acme\nrepo: s3://ignores/acme\nsingle_publisher: true\nstore:\n  endpoint: {IGNORING}\n")
    p.publish("init", "--no-passphrase", env=keys)
    p.publish("release", "1.0.0", "--from", "dist", env=keys)
    p.publish("status", says=["nothing enforces it"], env=keys)
    p.publish("verify", env=keys)


def a_proxy_that_strips_conditions_is_noticed():
    bucket("stripped")
    proxy = Proxy(CEPH, "strip")
    p = on(f"name: acme\nrepo: s3://stripped/acme\nstore:\n  endpoint: {proxy.url}\n")
    # Conditions are part of what is signed: the store detects their removal.
    p.publish("init", "--no-passphrase", code=4, says=["SignatureDoesNotMatch"])
    proxy.close()
    assert "Contents" not in s3().list_objects_v2(Bucket="stripped")


def wrong_settings_are_told():
    bucket("settings")
    there = f"name: acme\nrepo: s3://settings/acme\nstore:\n  endpoint: {CEPH}\n"
    p = on(there)
    p.publish("init", "--no-passphrase", code=4, says=["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"], env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    p.publish("init", "--no-passphrase", code=4, says=["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"], env={"AWS_ACCESS_KEY_ID": "nobody"})
    p.publish("init", "--no-passphrase", "--repo", "s3://no-such-bucket/x", code=7, says=["there is no such bucket", "make it first"])
    p.config(there.replace(CEPH, "http://127.0.0.1:9"))
    p.publish("init", "--no-passphrase", code=13, says=["check the network"])
    p.config(there)
    # A clock that is 20 minutes fast.
    p.publish("init", "--no-passphrase", code=4, says=["RequestTimeTooSkewed", "clock"], prefix=["faketime", "-f", "+20m"])
    assert not (p.directory / "keys").exists(), "refused before anything was made"
    # Another publisher's repository and objects are not touched.
    s3().put_object(Bucket="settings", Key="acme/index.html", Body=b"mine")
    p.publish("init", "--no-passphrase")
    other = on(there)
    other.publish("init", "--no-passphrase", code=7, says=["there is already a repository at s3://settings/acme", "nothing was made"])
    assert not (other.directory / "keys").exists(), "refused before anything was made"
    p.publish("prune", "--dry-run", says=["index.html does not belong to a repository"])
    assert s3().get_object(Bucket="settings", Key="acme/index.html")["Body"].read() == b"mine"


def clients_without_list_permission_are_distinguished():
    bucket("unlisted", readable=["s3:GetObject"])
    url = f"{CEPH}/unlisted/acme"
    p = on(f"name: acme\nrepo: s3://unlisted/acme\npublic_url: {url}\nstore:\n  endpoint: {CEPH}\n")
    p.publish("store", "check", code=6, says=["FAILED   clients: missing root: 403 instead of 404", "s3:ListBucket"])


def versioned_and_locked_buckets():
    """Ceph 16 does not look at conditions in versioned buckets: the probe finds it, and then the operator must state that there is no other publisher."""
    client = bucket("locked", ObjectLockEnabledForBucket=True)
    retention = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    client.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration=retention)
    there = f"name: acme\nrepo: s3://locked/acme\nstore:\n  endpoint: {CEPH}\n"
    p = on(there)
    p.publish("init", "--no-passphrase", code=6, says=["ignores the conditions"])
    p.publish("store", "check", code=6, says=["FAILED   conditions", "warning  versioned bucket"])
    p.config(there + "single_publisher: true\n")
    p.daily_work()


def many_publishers_at_once():
    """The same outcomes as in a directory: both are published, or one is refused."""
    bucket("rivals")
    there = lambda number: f"name: acme\nrepo: s3://rivals/{number}\nstore:\n  endpoint: {CEPH}\n  conditions: enforced\n"
    for number in range(4):
        p = on(there(number))
        p.publish("init", "--no-passphrase")
        p.publish("release", "1.0.0", "--from", "dist")
        p.write("other/any-any/bin/tool", b"#!/bin/sh\necho other\n")
        channels(p.directory, "1.0.0")
        rivals = [["release", "1.0.1", "--from", "dist"], ["release", "1.0.2", "--from", "dist"], ["channels"]]
        same = [["release", "2.0.0", "--from", "dist"], ["release", "2.0.0", "--from", "other"]]
        start = lambda command: subprocess.Popen([PUBLISH, *command], cwd=p.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ended = [(process.communicate()[0], process.returncode) for process in [start(command) for command in rivals + same]]
        assert [code for _, code in ended[:3]] == [0, 0, 0], ended
        assert sorted(code for _, code in ended[3:]) == [0, 5], ended
        told = next(words for words, code in ended[3:] if code == 5)
        assert "releases/2.0.0/any-any" in told, told
        said = p.publish("status")
        assert all(version in said for version in ["1.0.1", "1.0.2", "2.0.0", "0/stable"]), said
        p.publish("verify", says=["good: 0 errors"])


def ctrl_c_at_any_time():
    bucket("interrupted")
    p = on(f"name: acme\nrepo: s3://interrupted/acme\nstore:\n  endpoint: {CEPH}\n")
    p.publish("init", "--no-passphrase")
    p.write("dist/any-any/share/large", os.urandom(1 << 20) * 60)
    codes = set()
    for round in range(12):
        # No space for temporary files is needed, either.
        process = subprocess.Popen(
            [PUBLISH, "release", f"1.0.{round}", "--from", "dist"], cwd=p.directory, env={**os.environ, "TMPDIR": "/nonexistent"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        time.sleep(0.05 + round * 0.12)
        process.send_signal(2)
        _, told = process.communicate(timeout=30)
        codes.add(process.returncode)
        assert process.returncode == 0 or (process.returncode == 130 and "the published repository is valid" in told), told
        p.publish("verify")
        p.publish("release", f"1.0.{round}", "--from", "dist")
        p.publish("verify")
    assert 130 in codes, codes


def a_directory_without_links_or_case():
    """A real file system that has neither: exFAT, in a file, through FUSE."""
    with tempfile.TemporaryDirectory() as directory:
        image, mount = Path(directory, "image"), Path(directory, "mount")
        mount.mkdir()
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
        device = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True).stdout.strip()
        try:
            subprocess.run(["mount.exfat-fuse", device, str(mount)], check=True, capture_output=True)
            (mount / "Case").touch()
            assert (mount / "case").exists(), "not the file system that was wanted"
            p = on(f"name: acme\nrepo: {mount}/repo\n")
            p.daily_work()
            p.publish("release", "1.0.0-RC1", "--from", "dist")
            p.publish("release", "1.0.0-rc1", "--from", "dist", code=5, says=["only in case"])
            p.publish("store", "check", says=["ok       race", "the store is suitable"])
        finally:
            subprocess.run(["umount", str(mount)], check=False)
            subprocess.run(["losetup", "--detach", device], check=False)


def prefixes_with_odd_characters():
    client = bucket("odd")
    prefix = "a b+c~é/(x)"
    p = on(f'name: acme\nrepo: "s3://odd/{prefix}"\nstore:\n  endpoint: {CEPH}\n')
    p.daily_work()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="odd")["Contents"]]
    assert all(key.startswith(prefix + "/") for key in keys), keys


def large_artifacts_take_bounded_memory_and_are_resumed():
    client = bucket("large")
    p = on(f"name: acme\nrepo: s3://large/acme\nstore:\n  endpoint: {CEPH}\n")
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


SCENARIOS = [
    clients_read_the_bucket_itself,
    headers_say_what_may_be_kept,
    azure_blob_storage,
    machines_share_their_memory,
    a_clone_that_ignores_conditions_is_refused,
    a_proxy_that_strips_conditions_is_noticed,
    wrong_settings_are_told,
    clients_without_list_permission_are_distinguished,
    versioned_and_locked_buckets,
    prefixes_with_odd_characters,
    many_publishers_at_once,
    ctrl_c_at_any_time,
    a_directory_without_links_or_case,
    large_artifacts_take_bounded_memory_and_are_resumed,
]


def make_containers():
    """Two containers in Azurite, with the emulator's own published account, and the bucket of the conformance suite."""
    import base64
    import hashlib
    import hmac
    import urllib.error
    import urllib.request

    s3().create_bucket(Bucket=os.environ["STORES_S3"].removeprefix("s3://"))
    account, key = os.environ["AZURE_STORAGE_ACCOUNT_NAME"], base64.b64decode(os.environ["AZURE_STORAGE_ACCOUNT_KEY"])
    for name in ["conformance", "scenarios"]:
        now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        headers = f"x-ms-date:{now}\nx-ms-version:2021-08-06"
        text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n/{account}/{account}/{name}\nrestype:container"
        signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
        request = urllib.request.Request(f"{AZURITE}/{name}?restype=container", method="PUT", data=b"")
        for header, value in [("x-ms-date", now), ("x-ms-version", "2021-08-06"), ("Authorization", f"SharedKey {account}:{signature}"), ("Content-Length", "0")]:
            request.add_header(header, value)
        request.add_header("Content-Type", "")
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            assert error.code == 409, error


if __name__ == "__main__":
    make_containers()
    scenarios.run("stores", SCENARIOS)
