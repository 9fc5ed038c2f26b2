"""Signatures of artifacts, checked by gpg and gpgv with nothing but what is published."""

import urllib.parse

import pytest

from programs import OLD, run

GPG_KEYS = {
    "rsa": "Key-Type: RSA\nKey-Length: 3072\nKey-Usage: sign,cert\n",
    "ed25519": "Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign,cert\n",
    "nistp256": "Key-Type: ECDSA\nKey-Curve: nistp256\nKey-Usage: sign,cert\n",
    "nistp384": "Key-Type: ECDSA\nKey-Curve: nistp384\nKey-Usage: sign,cert\n",
    "subkey": "Key-Type: RSA\nKey-Length: 3072\nKey-Usage: cert\nSubkey-Type: EDDSA\nSubkey-Curve: ed25519\nSubkey-Usage: sign\n",
    "stub": "Key-Type: RSA\nKey-Length: 3072\nKey-Usage: cert\nSubkey-Type: RSA\nSubkey-Length: 3072\nSubkey-Usage: sign\n",
}


def verify_with_gpg(p, version):
    """As release notes instruct users: curl the artifact, its signature and the certificate, then gpg and gpgv."""
    home = p.directory / "gnupg"
    home.mkdir(mode=0o700, exist_ok=True)
    env = {"GNUPGHOME": str(home)}
    fetch = lambda url, to: run("curl", "--silent", "--show-error", "--fail", "--output", to, url)
    fetch(p.certificate, home / "release.asc")
    run("gpg", "--batch", "--import", home / "release.asc", env=env)
    run("gpg", "--batch", "--yes", "--dearmor", "--output", home / "release.gpg", home / "release.asc", env=env)
    checked = 0
    for name in p.targets():
        if not name.startswith(f"releases/{version}/"):
            continue
        artifact, signature = home / "artifact", home / "artifact.sig"
        fetch(f"{p.url}/targets/{urllib.parse.quote(name)}", artifact)
        fetch(f"{p.url}/targets/{urllib.parse.quote(name.replace('releases/', 'signatures/', 1))}.sig", signature)
        run("gpg", "--batch", "--verify", signature, artifact, env=env)
        run("gpgv", "--keyring", home / "release.gpg", signature, artifact, env=env)
        checked += 1
    assert checked == 6, checked
    artifact.write_bytes(artifact.read_bytes() + b"x")
    run("gpg", "--batch", "--verify", signature, artifact, env=env, fails=True)


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa4096"])
def test_gpg_and_gpgv_verify_keys_of_publish(project, algorithm):
    p = project("--openpgp-algorithm", algorithm)
    p.release(OLD)
    verify_with_gpg(p, OLD)


@pytest.mark.parametrize("kind", GPG_KEYS)
def test_keys_exported_by_gpg_sign(directory, project, kind):
    passphrase, key, env = f"test only {kind}", directory / "key.asc", {"GNUPGHOME": str(directory)}
    (directory / "recipe").write_text(f"{GPG_KEYS[kind]}Name-Real: {kind}\nExpire-Date: 0\nPassphrase: {passphrase}\n%commit\n")
    run("gpg", "--batch", "--generate-key", directory / "recipe", env=env)
    export = "--export-secret-subkeys" if kind == "stub" else "--export-secret-keys"
    key.touch(mode=0o600)
    run("gpg", "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", passphrase, "--armor", "--output", key, export, env=env)
    key.chmod(0o600)
    p = project("--openpgp-key", str(key))
    p.release(OLD, env={"PUBLISH_OPENPGP_PASSPHRASE": passphrase})
    verify_with_gpg(p, OLD)
    run("gpgconf", "--kill", "all", env=env)
