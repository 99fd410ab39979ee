#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what headsds is built, run and tested with from Debian's packages; only what is missing.
set -eu

packages="gcc g++ meson ninja-build pkg-config libtorch-dev libopenblas0-pthread libassimp-dev
libpng-dev libjansson-dev libzip-dev zlib1g-dev libutf8proc-dev libcmocka-dev libmatio-dev python3
python3-dev python3-numpy python3-pytest clang libclang-rt-14-dev blender xvfb xauth libgl1-mesa-dri"

missing=
for package in $packages; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0

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
