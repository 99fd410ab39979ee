# SPDX-License-Identifier: Apache-2.0
"""What the tests of the extension module share: a toy head model, and a prior."""

import os
import pathlib

import pytest

import headsds
import toy

ROOT = pathlib.Path(__file__).resolve().parents[2]


def shared(name):
    """A folder of the reference data beside the source tree; skips where there is none."""
    path = pathlib.Path(os.environ.get("HEADSDS_SHARED") or ROOT.parent / "shared") / name
    if not path.exists():
        pytest.skip(f"no reference data at {path}: set HEADSDS_SHARED")
    return path


@pytest.fixture(scope="session")
def egg_path(tmp_path_factory):
    return toy.write(tmp_path_factory.mktemp("models") / "egg.npz")


@pytest.fixture(scope="session")
def egg(egg_path):
    return headsds.HeadModel.load(egg_path)


@pytest.fixture(scope="session")
def prior():
    return headsds.Prior.load(shared("parity/tiny-sd15"))
