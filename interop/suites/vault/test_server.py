"""A Vault that redirects, is sealed, or has too many requests; and tokens that expire."""

import subprocess
import threading
import time

from programs import PUBLISH
from suites.vault.publisher import Publisher
from suites.vault.server import Slow
from web import Handler, Server


def test_tokens_are_renewed_and_approles_log_in_again(vaults):
    directory, vault = vaults()
    vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
    for number in range(40):
        (directory / "p/dist/linux-amd64/share").mkdir(parents=True, exist_ok=True)
        (directory / f"p/dist/linux-amd64/share/{number}").write_text(str(number))
    slow = Slow(vault, 0.3)
    p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
    p.init()
    p.set(VAULT_ADDR=slow.url)

    def release(version, env, least):
        slow.paths.clear()
        p.set(VAULT_TOKEN=None, VAULT_ROLE_ID=None, VAULT_SECRET_ID=None, **{})
        p.set(**env)
        began = time.monotonic()
        p.release(version)
        assert time.monotonic() - began > least, "it took no longer than the token lives: this proves nothing"

    # A token that is valid for two seconds from each renewal signs for longer than that.
    release("1.0.0", {"VAULT_TOKEN": vault.token(period="2s", renewable=True)}, 2.5)
    assert any(path.endswith("auth/token/renew-self") for path in slow.paths), slow.paths
    # One that cannot be renewed ends, and the same command finishes the work with another.
    p.set(VAULT_TOKEN=vault.token(ttl="2s", renewable=False))
    p.fails(4, "or has expired", "release", "1.0.1", "--from", "dist")
    release("1.0.1", {"VAULT_TOKEN": vault.token()}, 0)
    # Vault's agent puts fresh tokens into a file.
    file = p.home / "token"
    file.write_text(vault.token(ttl="2s", renewable=False))
    file.chmod(0o600)
    fresh = threading.Timer(1, lambda: file.write_text(vault.token() + "\n"))
    fresh.start()
    (p.home / "dist/linux-amd64/bin/acme").write_text("two")
    release("1.0.2", {"VAULT_TOKEN_FILE": str(file)}, 2.5)
    p.set(VAULT_TOKEN_FILE=None)
    # An AppRole whose tokens end for good gets others.
    role, secret = vault.role(token_ttl="2s", token_max_ttl="2s")
    release("1.0.3", {"VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret}, 2.5)
    assert sum(path.endswith("auth/approle/login") for path in slow.paths) > 1, slow.paths
    p.set(VAULT_SECRET_ID="00000000-0000-0000-0000-000000000000")
    p.fails(13, "the AppRole login was refused", "release", "1.0.4", "--from", "dist")
    # A secret that is good for one login is enough for a run with four keys.
    role, secret = vault.role(token_ttl="1h", token_max_ttl="1h", secret_id_num_uses=1)
    file = p.home / "secret-id"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    p.set(VAULT_SECRET_ID=None, VAULT_SECRET_ID_FILE=str(file))
    p.release("1.0.4")
    p.fails(13, "the AppRole login was refused", "release", "1.0.5", "--from", "dist")
    file.chmod(0o644)
    p.fails(4, "secret-id", "release", "1.0.5", "--from", "dist")
    p.set(VAULT_ADDR=vault.url)
    p.is_read("1.0.4")


def test_redirect_to_plain_http_gets_no_token(vaults):
    """A standby may name the active server, but the token does not follow from https to http."""
    directory, vault = vaults("IP:127.0.0.1")
    vault.keys(targets="ecdsa-p256", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ecdsa-p256")
    heard = Slow(vault, 0)
    p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
    for to, follows in [(heard.url, False), (vault.url, True)]:

        class Standby(Handler):
            def do_GET(self):
                self.answer(307, headers={"Location": to + self.path})

        standby = Server(Standby, tls=(directory / "tls.pem", directory / "tls.key"))
        p.set(VAULT_ADDR=standby.url)
        if follows:
            p.publish("key", "show", "vault:targets")
        else:
            p.fails(13, "status 307", "key", "show", "vault:targets")
            assert heard.paths == [], heard.paths
        standby.close()


def test_nothing_is_lost_when_vault_is_sealed_midway(vaults):
    """Vault is sealed at moments of a release; nothing becomes visible by half, and the same command finishes it."""
    directory, vault = vaults()
    vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
    p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
    p.init()
    p.release("1.0.0")
    slow = Slow(vault, 0.05)
    for at in range(1, 9):
        version, before = f"1.0.{at}", p.versions()
        slow.paths.clear()
        p.set(VAULT_ADDR=slow.url)
        process = subprocess.Popen([PUBLISH, "release", version, "--from", "dist"], cwd=p.home, env=p.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while len(slow.paths) < at and process.poll() is None:
            time.sleep(0.002)
        vault.seal()
        _, said = process.communicate(timeout=120)
        if process.returncode != 0:
            assert process.returncode == 13 and "is sealed" in said, said
            p.set(VAULT_ADDR=vault.url)
            assert p.versions() == before, "something became visible"
        vault.unseal()
        p.set(VAULT_ADDR=vault.url)
        p.release(version)
        assert "good: 0 errors" in p.publish("verify")
    p.is_read("1.0.8")


def test_throttled_vault_is_asked_again(vaults):
    directory, vault = vaults()
    vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
    p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
    p.init()
    vault.call("POST", "sys/quotas/rate-limit/transit", path="transit", rate=4, interval="1s")
    p.release("1.0.0")
    p.is_read("1.0.0")
