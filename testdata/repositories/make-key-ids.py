"""Makes the frozen repositories below key-ids/, which differ in how the ids of their keys are computed. Test keys, from fixed
seeds: running it again makes the same files.

    hashed     over keyid_hash_algorithms too, a field that the keys do not have: as Drupal's published roots (made by Rugged)
    listed     over keyid_hash_algorithms too, and the keys have it: as go-tuf before 2.0 and trdl's server
    mixed      root and targets as `hashed`, snapshot and timestamp as the specification says: what an earlier version of
               this program made of the first kind

    pip install cryptography
"""

import hashlib
import json
import pathlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

HERE = pathlib.Path(__file__).parent / "key-ids"
EXPIRES = "2126-01-01T00:00:00Z"
ALGORITHMS = ["sha256", "sha512"]
ROLES = ["root", "targets", "snapshot", "timestamp"]


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key(kind, role):
    secret = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"publish test key {role}".encode()).digest())
    public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    fields = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
    with_list = {**fields, "keyid_hash_algorithms": ALGORITHMS}
    old = kind != "mixed" or role in ("root", "targets")
    identity = hashlib.sha256(canonical(with_list if old else fields)).hexdigest()
    return secret, identity, with_list if kind == "listed" else fields


for kind in ["hashed", "listed", "mixed"]:
    out = HERE / kind
    (out / "metadata").mkdir(parents=True, exist_ok=True)
    (out / "keys").mkdir(exist_ok=True)
    keys = {role: key(kind, role) for role in ROLES}

    def write(name, role, signed):
        secret, identity, _ = keys[role]
        signed = {"_type": role, "spec_version": "1.0.31", "version": 1, "expires": EXPIRES, **signed}
        file = json.dumps({"signatures": [{"keyid": identity, "sig": secret.sign(canonical(signed)).hex()}], "signed": signed}, indent=1, sort_keys=True)
        (out / "metadata" / name).write_text(file)
        return {"version": 1, "length": len(file), "hashes": {"sha256": hashlib.sha256(file.encode()).hexdigest()}}

    for role, (secret, _, _) in keys.items():
        path = out / "keys" / f"{role}.pem"
        path.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)
    roles = {role: {"keyids": [identity], "threshold": 1} for role, (_, identity, _) in keys.items()}
    root = {"consistent_snapshot": True, "keys": {identity: fields for _, identity, fields in keys.values()}, "roles": roles}
    for name in ["1.root.json", "root.json"]:
        write(name, "root", root)
    targets = write("1.targets.json", "targets", {"targets": {}})
    snapshot = write("1.snapshot.json", "snapshot", {"meta": {"targets.json": targets}})
    write("timestamp.json", "timestamp", {"meta": {"snapshot.json": snapshot}})
