#!/usr/bin/env bash
# Builds the program of the next schema (feature next-schema) into target/next, beside that of this one. What comes
# from registries is the same for both and is not built again: its files are linked from target/debug, where they
# are. Files of this repository are never shared, since either build may write them anew.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"

if [ -d target/debug/.fingerprint ] && [ ! -d target/next/debug ]; then
  for part in .fingerprint build deps; do
    mkdir -p "target/next/debug/$part"
    find "target/debug/$part" -mindepth 1 -maxdepth 1 ! -name '*twinscale*' \
      -exec cp -al -t "target/next/debug/$part" {} +
  done
fi
# The whole workspace, so that crates from registries get the features that they have in target/debug.
cargo build --quiet --workspace --bin twinscale --features twinscale/next-schema --target-dir target/next
