"""Projects on GitHub and GitLab for the tests of this suite."""

import hashlib
import tarfile
import tempfile
from pathlib import Path

import pytest

from programs import PUBLISH, ROOT
from suites.ci.github import GitHub
from suites.ci.gitlab import GitLab
from suites.ci.project import Project
from web import Site


@pytest.fixture(scope="session")
def program():
    """The program as jobs install it: the URL of an archive, and its SHA-256."""
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory, "publish-0.1.0-linux-amd64.tar.gz")
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            tar.add(PUBLISH, "publish-0.1.0-linux-amd64/bin/publish")
        site = Site(directory)
        yield f"{site.url}/{archive.name}", hashlib.sha256(archive.read_bytes()).hexdigest()
        site.close()


@pytest.fixture
def make_project(ceph, program):
    """Makes a project with a bucket of its name."""
    return lambda name: Project(name, ceph, program)


@pytest.fixture
def on_github(make_project):
    """Makes a project on GitHub, set up as `publish ci` prints it."""

    def made(name, *arguments):
        project = make_project(name)
        stored = project.set_up("github", *arguments)
        forge = GitHub(project.origin, {name: value for name, value in stored["all"].items() if name.startswith("PUBLISH_")}, {"acme/publish": ROOT / "action.yml"})
        forge.secrets = {name: value for name, value in stored["all"].items() if name.startswith("PLAN_")}
        forge.environments["publish"] = stored["publish"]
        return project, forge

    return made


@pytest.fixture
def on_gitlab(make_project):
    """Makes a project on GitLab, set up as `publish ci` prints it."""

    def made(name):
        project = make_project(name)
        stored = project.set_up("gitlab")
        forge = GitLab(project.origin)
        scopes = {"all": "*", "publish": "publish", "publish-plan": "publish-plan"}
        forge.variables = [(name, value, scopes[scope], scope == "publish") for scope, entries in stored.items() for name, value in entries.items()]
        return project, forge

    return made
