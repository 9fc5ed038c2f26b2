"""Keys of every kind in Vault, and their rotation."""

from suites.vault.publisher import Publisher


def test_every_kind_of_key_signs_over_tls(vaults):
    """With the guide's policy and nothing more, through TLS of an authority that only VAULT_CACERT names."""
    directory, vault = vaults("IP:127.0.0.1")
    for kind in ["ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"]:
        vault.call("POST", f"sys/mounts/{kind}", type="transit")
        vault.keys(targets=kind, snapshot="ecdsa-p256", timestamp="rsa-2048", openpgp=kind)
        p = Publisher(directory / kind, vault, VAULT_TOKEN=vault.token())
        said = p.publish("key", "check", "vault:targets")
        assert "roles:   signs, verified" in said and "OpenPGP: signs, verified" in said, said
        # Vault bounds the texts in a request, and Ed25519 must see all of a role.
        assert ("but none of a megabyte" in said) == (kind == "ed25519"), said
        p.init()
        p.release("1.0.0")
        assert "1 OpenPGP signature checked" in p.publish("verify")
        assert "preview" not in p.publish("status")
        p.is_read("1.0.0")
        for name in ["targets", "snapshot", "timestamp", "openpgp"]:
            vault.call("POST", f"transit/keys/{name}/config", deletion_allowed=True)
            vault.call("DELETE", f"transit/keys/{name}")
    p.set(VAULT_CACERT=None)
    p.fails(13, "Vault does not answer", "release", "1.0.1", "--from", "dist")


def test_key_that_cannot_sign_roles_is_named(vaults):
    directory, vault = vaults()
    vault.keys(a="ecdsa-p384", b="aes256-gcm96", c="ed25519")
    p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
    p.fails(6, "is a key of type `ecdsa-p384`", "key", "check", "vault:a")
    p.fails(6, "is a key of type `aes256-gcm96`", "key", "check", "vault:b")
    p.publish("key", "check", "vault:c")
    p.fails(7, "has no version 2", "key", "show", "vault:c@2")
    # What the policy does not name is refused like what does not exist: by the token's rights.
    p.fails(4, "the token may not use the key", "key", "show", "vault:nothing")
    p.set(VAULT_TOKEN=vault.root)
    p.fails(7, "no such key or mount", "key", "show", "vault:nothing")
    p.fails(7, "no such key or mount", "key", "show", "vault:elsewhere/c")


def test_role_too_long_for_ed25519_is_refused_before_it_is_visible(vaults):
    directory, vault = vaults()
    vault.keys(targets="ed25519", snapshot="ed25519", timestamp="ed25519", openpgp="ed25519", short="ecdsa-p256")
    p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
    p.init()
    (p.home / "pool").mkdir()
    for number in range(6000):
        (p.home / f"pool/package-with-quite-a-long-name-{number}.zip").write_text(str(number))
    before = p.versions()
    p.fails(6, "refuses messages as long as this role file", "add-targets", "pool", "--prefix", "packages")
    assert p.versions() == before
    # The way out that the error names.
    p.publish("rotate", "targets", "--key", "vault:short", "--now")
    p.publish("add-targets", "pool", "--prefix", "packages")
    assert "good: 0 errors" in p.publish("verify")


def test_keys_that_vault_rotates_are_rotated_in_two_roots(vaults):
    """A new version in Vault is no key of the root: the old one goes on until the rotation has brought the new one."""
    directory, vault = vaults()
    vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
    p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
    p.init()
    p.release("1.0.0")
    vault.call("POST", "transit/keys/targets/rotate")
    p.fails(6, "role targets needs 1 signature and 0", "release", "1.0.1", "--from", "dist")
    config = p.home / "publish.yaml"
    config.write_text(config.read_text().replace("targets: vault:targets", "targets: vault:targets@1"))
    p.release("1.0.1")
    p.publish("rotate", "targets", "--key", "vault:targets@2", "--now")
    assert "vault:targets@2" in config.read_text() and "vault:targets@1" not in config.read_text()
    vault.call("POST", "transit/keys/targets/config", min_encryption_version=2)
    p.release("1.0.2")
    assert "good: 0 errors" in p.publish("verify")
    p.is_read("1.0.2")
