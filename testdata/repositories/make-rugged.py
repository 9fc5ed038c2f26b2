"""Makes the frozen repository beside this file in the shape that the Rugged TUF server gives one. It is an imitation, made
from what its users see: no Rugged can be installed where this project is developed. Root 2 of 3, one online key per role
written by the securesystemslib of that time, key ids computed over `keyid_hash_algorithms` (a field that the metadata does not
have), spec_version 1.0.31, no consistent snapshots, versions alone in snapshot and timestamp, targets spread over bins,
content served from elsewhere.

    pip install 'tuf==2.1.0' 'securesystemslib[crypto,pynacl]==0.26.0'     run once; what it made stays readable for ever
"""

import hashlib
import json
import os
import pathlib
from datetime import datetime

from securesystemslib.interface import generate_and_write_ed25519_keypair, generate_and_write_unencrypted_ed25519_keypair, import_ed25519_privatekey_from_file
from securesystemslib.signer import SSlibSigner
from tuf.api.metadata import DelegatedRole, Delegations, Key, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

out = pathlib.Path(__file__).parent / "rugged"
expires = datetime(2126, 1, 1)
BINS = 16
(out / "metadata").mkdir(parents=True, exist_ok=True)
(out / "keys").mkdir(exist_ok=True)


def key(name, password=None):
    """A key file as Rugged's workers hold it; one is encrypted, which securesystemslib offers too."""
    path = str(out / "keys" / name)
    if password:
        generate_and_write_ed25519_keypair(password, filepath=path)
    else:
        generate_and_write_unencrypted_ed25519_keypair(filepath=path)
    os.chmod(path, 0o600)
    os.remove(f"{path}.pub")
    # 0.26 computes ids without the old field again; Rugged's are with it.
    made = import_ed25519_privatekey_from_file(path, password)
    old = {"keyid_hash_algorithms": ["sha256", "sha512"], "keytype": "ed25519", "keyval": {"public": made["keyval"]["public"]}, "scheme": "ed25519"}
    made["keyid"] = hashlib.sha256(json.dumps(old, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return made


def public(made):
    return Key(made["keyid"], "ed25519", "ed25519", {"public": made["keyval"]["public"]})


def write(name, role, *keys):
    metadata = Metadata(role)
    for made in keys:
        metadata.sign(SSlibSigner(made), append=True)
    (out / "metadata" / name).write_bytes(metadata.to_bytes(JSONSerializer(compact=False)))


people = [key(f"root{number}") for number in range(3)]
online = {"targets": key("targets", "test-only"), "snapshot": key("snapshot"), "timestamp": key("timestamp")}
root = Root(expires=expires, consistent_snapshot=False)
for made in people:
    root.add_key(public(made), "root")
root.roles["root"].threshold = 2
for role, made in online.items():
    root.add_key(public(made), role)
write("1.root.json", root, *people)
write("root.json", root, *people)

files = {f"drupal/module{number}/1.0.{number}": f"package {number}\n".encode() for number in range(24)}
files["files/packages/8/p2/drupal/module0.json"] = b'{"packages": {}}\n'
for name, content in files.items():
    path = out / "served" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
size = 256 // BINS
bins = {f"bin_{number}": Targets(expires=expires) for number in range(BINS)}
for name, content in files.items():
    number = int(hashlib.sha256(name.encode()).hexdigest()[:2], 16) // size
    bins[f"bin_{number}"].targets[name] = TargetFile.from_data(name, content, ["sha256", "sha512"])
keys = {online["targets"]["keyid"]: public(online["targets"])}
share = lambda number: [f"{prefix:02x}" for prefix in range(number * size, (number + 1) * size)]
lister = Targets(expires=expires)
lister.delegations = Delegations(keys, {name: DelegatedRole(name, list(keys), 1, False, path_hash_prefixes=share(number)) for number, name in enumerate(bins)})
top = Targets(expires=expires)
top.delegations = Delegations(keys, {"bins": DelegatedRole("bins", list(keys), 1, False, paths=["*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*", "*/*/*/*/*/*"])})
snapshot = Snapshot(expires=expires)
for name, role in {"targets": top, "bins": lister, **bins}.items():
    write(f"{name}.json", role, online["targets"])
    snapshot.meta[f"{name}.json"] = MetaFile(version=1)
write("snapshot.json", snapshot, online["snapshot"])
write("timestamp.json", Timestamp(expires=expires, snapshot_meta=MetaFile(version=1)), online["timestamp"])
