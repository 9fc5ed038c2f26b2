"""A repository in Azure Blob Storage."""

import os


def test_azure_blob_storage(azurite, publisher):
    p = publisher(f"name: acme\nrepo: az://publishers/some/prefix\nstore:\n  endpoint: {azurite}\n")
    p.write("dist/any-any/share/large", os.urandom(1 << 20) * 30)
    p.daily_work()
    p.publish("store", "check", says=["ok       conditions", "ok       race", "ok       large objects", "the store is suitable"])
