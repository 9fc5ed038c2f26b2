"""Projects for the tests of this suite."""

import contextlib
import tempfile

import pytest

from suites.run.project import Project


@pytest.fixture
def project():
    """Makes a project with the given options of `publish init`, at another time if wanted."""
    with contextlib.ExitStack() as stack:

        def made(*options, at=None):
            p = Project(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.callback(p.site.close)
            p.init(*options, at=at)
            return p

        yield made
