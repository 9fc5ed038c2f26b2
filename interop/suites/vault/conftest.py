"""Vaults for the tests of this suite."""

import subprocess

import pytest

from suites.vault.server import Vault


@pytest.fixture
def vaults(directory):
    """Starts a Vault, over TLS if it gets names for a certificate; gives a directory and the Vault."""
    started = []

    def start(*names):
        tls = []
        if names:
            tls = [str(directory / "tls.pem"), str(directory / "tls.key")]
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=vault",
                 "-addext", f"subjectAltName={','.join(names)}", "-keyout", tls[1], "-out", tls[0]], check=True, capture_output=True)
        started.append(Vault(directory, *tls))
        return directory, started[-1]

    yield start
    for vault in started:
        vault.process.kill()
        vault.process.wait()
