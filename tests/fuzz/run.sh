#!/bin/bash
# Runs fuzz targets one after the other: run.sh SECONDS [TARGET ...]. Without targets: all. Corpora live under target/fuzz.
# Works with a stable toolchain: coverage comes from LLVM's own pass, without a sanitizer.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?seconds per target}
shift
root=$(cd ../.. && pwd)
out=$root/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1"
RUSTFLAGS="$flags" cargo build --release --locked --target "$host" --target-dir "$out/build"
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for target in "${targets[@]}"; do
    corpus=$out/corpus/$target
    mkdir -p "$corpus" "$out/artifacts/$target"
    seeds=()
    case $target in
        packet | request | response | exchange) seeds=("$root/tests/data/ajp") ;;
        properties | toml | uriworkermap) seeds=("$root/conf") ;;
    esac
    echo "fuzz: $target for $seconds s"
    "$out/build/$host/release/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$out/artifacts/$target/" -print_final_stats=1 "$corpus" "${seeds[@]}" 2>&1 | tail -n 12
done
echo "fuzz: ${#targets[@]} targets ran clean"
