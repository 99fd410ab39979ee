# SPDX-License-Identifier: Apache-2.0
"""What the tests of files from the field share: a prior's folder that may be changed."""

import os
import pathlib
import shutil

import pytest

import headsds


@pytest.fixture(scope="session")
def prior():
    return headsds.Prior.load()


@pytest.fixture
def folder(prior, tmp_path):
    """A copy of the built-in prior's folder."""
    copy = tmp_path / "model"
    shutil.copytree(prior.path, copy)
    for path in copy.rglob("*"):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    return copy


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return pathlib.Path(tmp_path)
