"""Teams for the tests of this suite."""

import contextlib
import tempfile

import pytest

from places import Bucket, Directory
from suites.workers.team import Team


@pytest.fixture
def team(rabbitmq, request, worker_id):
    """Makes a team with a repository in a directory, or in S3; its services end with the test."""
    with contextlib.ExitStack() as stack:

        def made(kind="local", **options):
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            if kind == "local":
                place = Directory(directory)
            else:
                place = Bucket(request.getfixturevalue("ceph"), f"workers-{worker_id}")
                place.remove("repo")
            t = Team(directory, place, rabbitmq, **options)
            stack.callback(t.stop)
            return t

        yield made
