#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Feeds made-up files to the readers of files, under the sanitizers: a fixed number each, from the
# same seed, beginning with tests/fuzz/corpus. What one fails on stays in the build folder.
#
#     sh tests/fuzz/run.sh [inputs for each reader]
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${HEADSDS_FUZZ_BUILD:-"$top/build-fuzz"}
inputs=${1:-10000}
[ -f "$build/build.ninja" ] || CC=clang meson setup "$build" "$top" -Dfuzz=enabled \
    -Dtorch=disabled -Dassimp=disabled -Dpython=disabled \
    -Db_sanitize=address,undefined -Db_lundef=false
ninja -C "$build" fuzzers

found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
status=0
for corpus in "$top"/tests/fuzz/corpus/*/; do
    name=$(basename "$corpus")
    mkdir "$found/$name"
    case $name in
    flame | head | headsds) depth=1 ;; # their mutations are large ones
    *) depth=5 ;;
    esac
    echo "fuzzing $name: $inputs inputs"
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$build/tests/fuzz/fuzz_$name" \
        -runs="$inputs" -seed=1 -max_len=12288 -malloc_limit_mb=256 -mutate_depth=$depth \
        -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
        -artifact_prefix="$build/$name-" "$found/$name" "$corpus" || {
        echo "fuzz_$name failed; the input is the newest $build/$name-*" >&2
        status=1
    }
done
exit $status
