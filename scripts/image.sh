#!/usr/bin/env bash
# Makes the image twinscale:VERSION, also called twinscale:latest, of what scripts/dist.sh packed; packs first where
# nothing is packed. The base is pulled, or made by scripts/base-image.sh. Usage: BASE=NAME scripts/image.sh
set -euo pipefail
cd "$(dirname "$0")/.."
base=${BASE:-debian:12-slim}

die() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

if ! docker version >/dev/null 2>&1; then
  printf 'skipped: no container engine answers (docker version)\n' >&2
  exit 77
fi
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
folder=dist/twinscale-$version-$(uname -m)-linux
[ -x "$folder/bin/twinscale" ] || make --no-print-directory dist
docker image inspect "$base" >/dev/null 2>&1 || docker pull --quiet "$base" 2>/dev/null \
  || die "the base $base is neither here nor to be pulled" "scripts/base-image.sh $base"
docker build --quiet --build-arg "BASE=$base" -f deploy/Dockerfile \
  -t "twinscale:$version" -t twinscale:latest "$folder" >/dev/null
printf 'image: twinscale:%s, %s MB\n' "$version" \
  "$(docker image inspect --format '{{.Size}}' "twinscale:$version" | awk '{printf "%.0f", $1 / 1e6}')" >&2
