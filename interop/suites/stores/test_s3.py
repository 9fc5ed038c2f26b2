"""Repositories in S3: what clients and operators meet."""

from clients import PythonTuf, Trdl, sha512
from places import public_bucket, s3
from suites.stores.proxy import Proxy


def test_clients_read_the_bucket_itself(ceph, publisher):
    public_bucket(ceph, "clients")
    url = f"{ceph}/clients/acme"
    p = publisher(f"name: acme\nrepo: s3://clients/acme\npublic_url: {url}\nstore:\n  endpoint: {ceph}\n")
    p.daily_work()
    p.publish("verify", url, "--root", "keys/1.root.json", says=["good: 0 errors"])
    root = (p.directory / "keys/1.root.json").read_bytes()
    assert Trdl(p.directory / "trdl").add(url, sha512(root)).version() == "1.0.1+fix1"
    PythonTuf(url, root, p.directory / "python").reads()
    p.publish("store", "check", says=["ok       clients: missing root: 404", "ok       clients: + in names", "etag_quotes: strip", "the store is suitable"])


def test_headers_of_objects(ceph, publisher):
    client = public_bucket(ceph, "headers")
    p = publisher(f"name: acme\nrepo: s3://headers\nstore:\n  endpoint: {ceph}\n")
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


def test_prefixes_with_odd_characters(ceph, publisher):
    client = public_bucket(ceph, "odd")
    prefix = "a b+c~é/(x)"
    p = publisher(f'name: acme\nrepo: "s3://odd/{prefix}"\nstore:\n  endpoint: {ceph}\n')
    p.daily_work()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="odd")["Contents"]]
    assert all(key.startswith(prefix + "/") for key in keys), keys


def test_buckets_without_list_permission(ceph, publisher):
    public_bucket(ceph, "unlisted", readable=["s3:GetObject"])
    url = f"{ceph}/unlisted/acme"
    p = publisher(f"name: acme\nrepo: s3://unlisted/acme\npublic_url: {url}\nstore:\n  endpoint: {ceph}\n")
    p.publish("store", "check", code=6, says=["FAILED   clients: missing root: 403 instead of 404", "s3:ListBucket"])


def test_versioned_and_locked_buckets(ceph, publisher):
    """Ceph 16 does not look at conditions in versioned buckets: the probe finds it, and then the operator must state that there is no other publisher."""
    client = public_bucket(ceph, "locked", ObjectLockEnabledForBucket=True)
    retention = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    client.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration=retention)
    there = f"name: acme\nrepo: s3://locked/acme\nstore:\n  endpoint: {ceph}\n"
    p = publisher(there)
    p.publish("init", "--no-passphrase", code=6, says=["ignores the conditions"])
    p.publish("store", "check", code=6, says=["FAILED   conditions", "warning  versioned bucket"])
    p.config(there + "single_publisher: true\n")
    p.daily_work()


def test_wrong_settings_are_named(ceph, publisher):
    public_bucket(ceph, "settings")
    there = f"name: acme\nrepo: s3://settings/acme\nstore:\n  endpoint: {ceph}\n"
    p = publisher(there)
    p.publish("init", "--no-passphrase", code=4, says=["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"], env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    p.publish("init", "--no-passphrase", code=4, says=["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"], env={"AWS_ACCESS_KEY_ID": "nobody"})
    p.publish("init", "--no-passphrase", "--repo", "s3://no-such-bucket/x", code=7, says=["there is no such bucket", "make it first"])
    p.config(there.replace(ceph, "http://127.0.0.1:9"))
    p.publish("init", "--no-passphrase", code=13, says=["check the network"])
    p.config(there)
    # A clock that is 20 minutes fast.
    p.publish("init", "--no-passphrase", code=4, says=["RequestTimeTooSkewed", "clock"], prefix=["faketime", "-f", "+20m"])
    assert not (p.directory / "keys").exists(), "refused before anything was made"
    # Another publisher's repository and objects are not touched.
    s3(ceph).put_object(Bucket="settings", Key="acme/index.html", Body=b"mine")
    p.publish("init", "--no-passphrase")
    other = publisher(there)
    other.publish("init", "--no-passphrase", code=7, says=["there is already a repository at s3://settings/acme", "nothing was made"])
    assert not (other.directory / "keys").exists(), "refused before anything was made"
    p.publish("prune", "--dry-run", says=["index.html does not belong to a repository"])
    assert s3(ceph).get_object(Bucket="settings", Key="acme/index.html")["Body"].read() == b"mine"


def test_clone_that_ignores_conditions_is_refused(s3rver, publisher):
    p = publisher(f"name: acme\nrepo: s3://ignores/acme\nstore:\n  endpoint: {s3rver}\n")
    keys = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
    p.publish("init", "--no-passphrase", code=6, says=["ignores the conditions", "single_publisher: true"], env=keys)
    assert not (p.directory / "keys").exists()
    p.publish("store", "check", code=6, says=["FAILED   conditions"], env=keys)
    p.config(f"name: acme\nrepo: s3://ignores/acme\nsingle_publisher: true\nstore:\n  endpoint: {s3rver}\n")
    p.publish("init", "--no-passphrase", env=keys)
    p.publish("release", "1.0.0", "--from", "dist", env=keys)
    p.publish("status", says=["nothing enforces it"], env=keys)
    p.publish("verify", env=keys)


def test_proxy_that_strips_conditions_is_noticed(ceph, publisher):
    public_bucket(ceph, "stripped")
    proxy = Proxy(ceph, "strip")
    p = publisher(f"name: acme\nrepo: s3://stripped/acme\nstore:\n  endpoint: {proxy.url}\n")
    # Conditions are part of what is signed: the store detects their removal.
    p.publish("init", "--no-passphrase", code=4, says=["SignatureDoesNotMatch"])
    proxy.close()
    assert "Contents" not in s3(ceph).list_objects_v2(Bucket="stripped")
