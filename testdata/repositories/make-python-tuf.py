"""Makes the frozen repository beside this file with python-tuf 7.0.1: keys of three types, delegations by pattern and by
hash prefix, no consistent snapshots. Run once; what it made stays readable for ever."""

import hashlib
import pathlib
from datetime import datetime, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

out = pathlib.Path(__file__).parent / "python-tuf"
expires = datetime(2126, 1, 1, tzinfo=timezone.utc)
keys = {"root": CryptoSigner.generate_ecdsa(), "targets": CryptoSigner.generate_rsa(), "snapshot": CryptoSigner.generate_ed25519(), "timestamp": CryptoSigner.generate_ed25519()}
extra = CryptoSigner.generate_ed25519()


def target(name, content):
    path = out / "targets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return TargetFile.from_data(name, content, ["sha256", "sha512"])


root = Root(expires=expires, consistent_snapshot=False)
for role, signer in keys.items():
    root.add_key(signer.public_key, role)
root.add_key(extra.public_key, "root")
root.roles["root"].threshold = 2
top = Targets(expires=expires, targets={"plain.txt": target("plain.txt", b"top\n")})
delegated = CryptoSigner.generate_ed25519()
prefix = hashlib.sha256(b"hashed/b.txt").hexdigest()[:2]
top.delegations = Delegations(
    {delegated.public_key.keyid: delegated.public_key},
    {
        "pattern": DelegatedRole("pattern", [delegated.public_key.keyid], 1, False, paths=["dir/*.txt"]),
        "hashed": DelegatedRole("hashed", [delegated.public_key.keyid], 1, False, path_hash_prefixes=[prefix]),
    },
)
roles = {
    "targets": top,
    "pattern": Targets(expires=expires, targets={"dir/a.txt": target("dir/a.txt", b"pattern\n")}),
    "hashed": Targets(expires=expires, targets={"hashed/b.txt": target("hashed/b.txt", b"hashed\n")}),
}
out.mkdir(exist_ok=True)
snapshot = Snapshot(expires=expires)
for name, role in roles.items():
    metadata = Metadata(role)
    metadata.sign(keys["targets"] if name == "targets" else delegated)
    data = metadata.to_bytes()
    (out / f"{name}.json").write_bytes(data)
    snapshot.meta[f"{name}.json"] = MetaFile.from_data(1, data, ["sha256"])
metadata = Metadata(snapshot)
metadata.sign(keys["snapshot"])
data = metadata.to_bytes()
(out / "snapshot.json").write_bytes(data)
metadata = Metadata(Timestamp(expires=expires, snapshot_meta=MetaFile.from_data(1, data, ["sha256"])))
metadata.sign(keys["timestamp"])
(out / "timestamp.json").write_bytes(metadata.to_bytes())
metadata = Metadata(root)
metadata.sign(keys["root"])
metadata.sign(extra, append=True)
for name in ["1.root.json", "root.json"]:
    (out / name).write_bytes(metadata.to_bytes())
