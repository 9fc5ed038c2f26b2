"""Publishers and stores for the tests of this suite."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from places import Bucket, Directory
from suites.stores.faults import Bench
from suites.stores.publisher import Publisher, prepare


@pytest.fixture
def publisher():
    """Makes a publisher with this publish.yaml, in a directory of its own."""
    with contextlib.ExitStack() as stack:
        yield lambda config: Publisher(stack.enter_context(tempfile.TemporaryDirectory()), config)


def place_of(kind, request, directory, bucket):
    if kind == "s3":
        return Bucket(request.getfixturevalue("ceph"), bucket)
    (directory / "repos").mkdir()
    return Directory(directory / "repos")


@pytest.fixture(params=["local", "s3"])
def place(request, memory):
    """A directory, and an S3 bucket."""
    return place_of(request.param, request, memory, "swarm")


@pytest.fixture(scope="session", params=["local", "s3"])
def bench(request, worker_id):
    """The bench of the fault matrix, in a directory and in S3; its tests have it in turn."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        directory = Path(directory)
        place = place_of(request.param, request, directory, "faults")
        prepare(place, directory / "publisher", worker_id)
        (directory / "bench").mkdir()
        yield Bench(place, directory / "bench", directory / "publisher", worker_id)
        place.remove(worker_id)
