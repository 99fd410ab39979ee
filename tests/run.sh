#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing from Debian's packages, builds, and runs every test.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${HEADSDS_BUILD:-"$top/build"}
sh "$top/samples/install.sh"
[ -f "$build/build.ninja" ] || meson setup "$build" "$top"
ninja -C "$build" all meson-benchmark-prereq
status=0
meson test -C "$build" --print-errorlogs --num-processes 1 -t 3 || status=$?

# The C tests again under the address and undefined-behaviour sanitizers, geometry and networks.
sanitized=${HEADSDS_SANITIZED_BUILD:-"$top/build-sanitized"}
[ -f "$sanitized/build.ninja" ] || meson setup "$sanitized" "$top" \
    -Db_sanitize=address,undefined -Db_lundef=false -Dpython=disabled
ninja -C "$sanitized"
# Leaks are looked for in our code only: libtorch keeps what it allocates for the process.
ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 \
    meson test -C "$sanitized" --print-errorlogs --num-processes 1 -t 3 \
    --suite unit --suite grad --suite nn --suite variants --no-suite slow || status=$?

# The readers of io on made-up files.
fuzzed=1
sh "$top/tests/fuzz/run.sh" || { status=$?; fuzzed=0; }

count() { # results of the last run in build folder $1 whose outcome is $2
    grep -c "\"result\": \"$2\"" "$1/meson-logs/testlog.json" || true
}
passed=$(($(count "$build" OK) + $(count "$sanitized" OK) + fuzzed))
skipped=$(($(count "$build" SKIP) + $(count "$sanitized" SKIP)))
total=$(($(cat "$build/meson-logs/testlog.json" "$sanitized/meson-logs/testlog.json" | wc -l) + 1))
echo "$passed passed, $((total - passed - skipped)) failed, $skipped skipped"
exit $status
