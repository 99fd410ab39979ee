#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From nothing to a head: installs packages, builds, makes a head from a prompt in Blender, and says
# where the pictures, the .blend and the .glb are.
#
#     sh samples/demo.sh [PROMPT [FOLDER]]
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
prompt=${1:-"a gaunt old man with a long nose, big ears, a beard and pale skin"}
out=${2:-"$top/demo-output"}
build=${HEADSDS_BUILD:-"$top/build"}

echo "1/3  Packages"
sh "$top/samples/install.sh"

echo "2/3  Building"
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" "$top" >"$top/build-setup.log" 2>&1 || {
        cat "$top/build-setup.log" >&2
        exit 1
    }
    rm -f "$top/build-setup.log"
fi
ninja -C "$build" --quiet

echo "3/3  A head: $prompt"
# Blender's own chatter is left out; its exit code comes through a file.
failed=$(mktemp)
{
    blender -b --factory-startup --python-exit-code 1 \
        --python "$build/addon/headsds_addon/generate.py" -- \
        --prompt "$prompt" --pictures --out "$out" && rm -f "$failed"
} | grep --line-buffered -v '^Blender \|^$\|^Fra:\|^Saved: \|^ Time: ' || true
if [ -e "$failed" ]; then
    rm -f "$failed"
    echo "demo.sh: the head was not made; the lines above say why" >&2
    exit 1
fi
cat <<END

The head is in $out:
    evolution.png   how it took shape
    turntable.png   from all around
    render.png      rendered by Blender
    head.blend      shape keys, texture, material
    head.glb        for everything else
END
