"""The contract of a storage (tests/conformance) on real engines."""

import os
import subprocess

from places import s3


def test_engines_keep_the_contract(ceph, azurite):
    s3(ceph).create_bucket(Bucket="conformance")
    places = {"STORES_S3": "s3://conformance", "STORES_S3_ENDPOINT": ceph, "STORES_AZURE": "az://conformance", "STORES_AZURE_ENDPOINT": azurite}
    done = subprocess.run([os.environ["CONFORMANCE"], "--quiet"], env={**os.environ, **places}, capture_output=True, text=True)
    assert done.returncode == 0 and " 0 passed" not in done.stdout, f"{done.stdout}\n{done.stderr}"
