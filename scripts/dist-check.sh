#!/usr/bin/env bash
# Unpacks a release into a fresh folder and runs it there with an empty environment: it must bring all that it
# needs but the C and C++ libraries of the system. Usage: scripts/dist-check.sh ARCHIVE
set -euo pipefail
archive=$(realpath "${1:?usage: scripts/dist-check.sh ARCHIVE}")

say() { printf 'dist-check: %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; exit 1; }

(cd "$(dirname "$archive")" && sha256sum --check --quiet "$(basename "$archive").sha256") \
  || die "$archive is not what its .sha256 says"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -C "$folder" -xzf "$archive"
root=$(echo "$folder"/*/)
root=${root%/}
program=$root/bin/twinscale
cd "$folder"

# The only places where the loader looks for libraries of its own are relative to the program.
paths=$(readelf -d "$program" | sed -n 's/.*(\(RPATH\|RUNPATH\)).*\[\(.*\)\]/\2/p')
[ "$paths" = '$ORIGIN/../lib' ] || die "the program looks for libraries in: $paths"
loaded=$(env -i LD_TRACE_LOADED_OBJECTS=1 "$program")
if grep "not found" <<< "$loaded"; then die "libraries are missing"; fi
strange=$(sed -n 's/.* => \(.*\) (0x.*/\1/p' <<< "$loaded" | grep -v -e "^$root/" -e '^/lib/' -e '^/lib64/' -e '^/usr/lib/' || true)
[ -z "$strange" ] || die "loaded from elsewhere: $strange"
grep -q "libtorch_cpu.so => $root/" <<< "$loaded" || die "LibTorch is not loaded from the package"
for library in "$root"/lib/*.so*; do
  [ -L "$library" ] || grep -q "=> $library " <<< "$loaded" || die "$(basename "$library") is packed and never loaded"
done

clean() { env -i HOME="$folder" "$program" --quiet "$@"; }
env -i "$program" --version | grep -q "^twinscale $(basename "$root" | cut -d- -f2)$" || die "another version than the archive's name"
# Doctor asks the network for a forecast: LibTorch and the weights work.
clean doctor --data-dir "$folder/data" > doctor.txt || { cat doctor.txt >&2; die "doctor finds fault with the package"; }
clean demo --customers 1 --weeks 1 --report report.html > demo.txt || { cat demo.txt >&2; die "the demo fails"; }
grep -qi twinscale demo.txt && [ -s report.html ] || die "the demo shows nothing"
for page in twinscale twinscale-run twinscale-drain; do
  [ -s "$root/share/man/man1/$page.1" ] || die "the manual page $page is missing"
done
bash -n "$root/share/bash-completion/completions/twinscale" || die "the completions are no script"
for file in LICENSE THIRD-PARTY.md licenses/torch/LICENSE licenses/gcc/GPL-3 licenses/gcc/copyright share/twinscale/config/policies.toml; do
  [ -s "$root/$file" ] || die "$file is missing"
done
say "$(basename "$archive") runs from $root with an empty environment"
