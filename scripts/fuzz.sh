#!/usr/bin/env bash
# Fuzzes every reader of outside bytes for some seconds each, from the seeds in fuzz/corpus.
#   scripts/fuzz.sh [SECONDS_PER_TARGET] [TARGET...]
# The target of weights files runs when it is named: LibTorch's bindings, beside which those are read, take
# minutes to build.
# The stable compiler can instrument for libFuzzer; no nightly and no cargo-fuzz are needed. A finding is
# kept in fuzz/artifacts; run the target's program on it to see it again.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-5}"
shift || true
targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
  mapfile -t targets < <(find fuzz/fuzz_targets -name '*.rs' ! -name weights_file.rs -printf '%f\n' |
    sed 's/\.rs$//' | sort)
fi
features=()
case " ${targets[*]} " in *" weights_file "*) features=(--features torch) ;; esac

host="$(rustc -vV | sed -n 's/^host: //p')"
# With --target these flags leave build scripts and macros alone.
export RUSTFLAGS="-Cpasses=sancov-module -Ccodegen-units=1 \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# The product's own versions; what only the targets need is added.
cp Cargo.lock fuzz/Cargo.lock
cargo build --quiet --manifest-path fuzz/Cargo.toml --target "$host" --bins "${features[@]}"
built="fuzz/target/$host/debug"

mkdir -p fuzz/artifacts
for target in "${targets[@]}"; do
  found="$(mktemp -d)"
  # What is found new goes to a scratch directory: the seeds stay small and made from real bytes.
  "$built/$target" "$found" "fuzz/corpus/$target" -seed=1 -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=1024 -max_len=4096 -verbosity=1 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$target-" 2>&1 | grep -E "^stat::number|Done|ERROR|panicked|SUMMARY|artifact" |
    sed "s/^/$target: /" || { echo "$target: failed, see fuzz/artifacts" >&2; exit 1; }
  rm -rf "$found"
done
