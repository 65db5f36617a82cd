#!/usr/bin/env bash
# Brings everything that a build needs: Debian packages, the Rust toolchain's presence, LibTorch.
# Safe to run again: what is there is kept. No variable has to be set afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $1"; [ $# -lt 2 ] || say "hint: $2"; exit 1; }

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need c++ g++
need make make
need python3 python3
need cc gcc
if command -v python3 >/dev/null 2>&1; then
  python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
else
  missing+=(python3-pip)
fi
need flock util-linux
# HiGHS, the linear programs' solver, is C++ of its own: cmake builds it, libclang reads its header.
need cmake cmake
ls /usr/lib/*/libclang*.so* /usr/lib/llvm*/lib/libclang*.so* "${LIBCLANG_PATH:-/nowhere}"/libclang*.so* 2>/dev/null \
  | grep -v libclang-cpp | grep -q . || missing+=(libclang-dev)

if [ ${#missing[@]} -gt 0 ]; then
  command="apt-get install -y --no-install-recommends ${missing[*]}"
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    say "setup: installing ${missing[*]}"
    apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive $command >&2 \
      || die "${missing[*]} could not be installed" "$command"
  else
    die "missing: ${missing[*]}" "sudo $command   (or the same packages of your distribution)"
  fi
fi

command -v cargo >/dev/null 2>&1 || [ -x "$HOME/.cargo/bin/cargo" ] || die \
  "cargo is missing: Twinscale is built with the Rust toolchain that rust-toolchain.toml pins" \
  "install rustup (Debian: apt-get install rustup), open a new shell and run this again"

exec bash scripts/setup-libtorch.sh
