#!/usr/bin/env bash
# Makes a small Debian image where no registry is reached: debootstrap, then `docker import` under the name that
# deploy/Dockerfile takes as its base. An image that is there is kept. INCLUDE names further packages, separated by
# commas. Usage: [INCLUDE=redis-server] scripts/base-image.sh [NAME]
set -euo pipefail
name=${1:-debian:12-slim}
suite=bookworm
mirror=${DEBIAN_MIRROR:-}
include=libstdc++6${INCLUDE:+,$INCLUDE}

say() { printf 'base-image: %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

docker version >/dev/null 2>&1 || die "no docker engine answers" "start one, or set DOCKER_HOST"
if docker image inspect "$name" >/dev/null 2>&1; then
  say "$name is there"
  exit 0
fi
[ "$(id -u)" = 0 ] || die "debootstrap needs root" "sudo scripts/base-image.sh, or docker pull $name"
command -v debootstrap >/dev/null 2>&1 || die "debootstrap is missing" "apt-get install debootstrap"

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
say "making $name with debootstrap"
log=$(mktemp)
# The program needs the C++ runtime, which apt brings into the smallest variant anyhow; it is named all the same.
# shellcheck disable=SC2086
debootstrap --variant=minbase --include="$include" "$suite" "$root/debian" $mirror > "$log" 2>&1 \
  || { tail -n 20 "$log" >&2; die "debootstrap failed" "look at the mirror: DEBIAN_MIRROR=URL"; }
rm -f "$log"
# What no container reads: package files, lists, manuals, translations. Copyright files stay.
rm -rf "$root"/debian/var/cache/apt/archives/*.deb "$root"/debian/var/lib/apt/lists/* "$root"/debian/var/log/*
rm -rf "$root"/debian/usr/share/man/* "$root"/debian/usr/share/info/* "$root"/debian/usr/share/locale/*
find "$root/debian/usr/share/doc" -type f ! -name copyright -delete
find "$root/debian/dev" -mindepth 1 -delete
tar -C "$root/debian" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$name" >/dev/null
say "$name: $(docker image inspect --format '{{.Size}}' "$name" | awk '{printf "%.0f MB", $1 / 1e6}')"
