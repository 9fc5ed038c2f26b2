"""A publisher with keys in Vault."""

import json
import os
import shutil
import subprocess

from clients import PythonTuf
from places import Directory
from programs import PUBLISH
from web import Gateway


class Publisher:
    """A publisher whose online keys and OpenPGP key are in Vault."""

    def __init__(self, home, vault, **env):
        self.home, self.secrets = home, []
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("VAULT")} | {"VAULT_ADDR": vault.url}
        if vault.ca:
            self.env["VAULT_CACERT"] = str(vault.ca)
        self.set(**env)
        (home / "dist/linux-amd64/bin").mkdir(parents=True)
        (home / "dist/linux-amd64/bin/acme").write_text("one")
        (home / "publish.yaml").write_text(
            "name: acme\nrepo: repo\nkeys:\n" + "".join(f"  {role}: vault:{role}\n" for role in ["targets", "snapshot", "timestamp"])
            + "openpgp: vault:openpgp\nopenpgp_certificate: cert.asc\n"
        )

    def set(self, **env):
        for name, value in env.items():
            self.env.pop(name, None)
            if value is not None:
                self.env[name] = value
                self.secrets += [value] if name in ("VAULT_TOKEN", "VAULT_SECRET_ID") else []

    def run(self, *arguments, timeout=300):
        done = subprocess.run([PUBLISH, *arguments], cwd=self.home, env=self.env, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        assert not any(secret in done.stdout + done.stderr for secret in self.secrets), f"a secret is in the output of {arguments}"
        return done

    def publish(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments} exited with code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, code, words, *arguments):
        done = self.run(*arguments)
        assert done.returncode == code and words in done.stderr, f"{arguments} exited with code {done.returncode}\n{done.stdout}\n{done.stderr}"

    def init(self):
        self.publish("key", "certify", "vault:openpgp", "cert.asc", "--user-id", "acme releases")
        self.publish("init", "--no-passphrase")

    def release(self, version):
        return self.publish("release", version, "--from", "dist")

    def versions(self):
        return [role["version"] for role in json.loads(self.publish("status", "--json"))["status"]["roles"]]

    def is_read(self, version):
        """By python-tuf, whole, and by gpg with nothing but the published certificate."""
        gateway = Gateway(Directory(self.home), "repo")
        client = PythonTuf(gateway.url, (self.home / "repo/1.root.json").read_bytes(), self.home / f"client-{version}")
        client.reads({name: entry for name, entry in gateway.targets().items() if "+" not in name})
        ring = self.home / "ring"
        shutil.rmtree(ring, ignore_errors=True)
        ring.mkdir(mode=0o700)
        gpg = ["gpg", "--batch", "--quiet", "--homedir", str(ring)]
        subprocess.run([*gpg, "--import", "cert.asc"], cwd=self.home, check=True, capture_output=True)
        name = f"{version}/linux-amd64/bin/acme"
        said = subprocess.run(
            [*gpg, "--verify", f"repo/targets/signatures/{name}.sig", f"repo/targets/releases/{name}"], cwd=self.home, capture_output=True, text=True
        )
        assert said.returncode == 0 and "Good signature" in said.stderr, said
        subprocess.run(["gpgconf", "--homedir", str(ring), "--kill", "all"], check=False)
