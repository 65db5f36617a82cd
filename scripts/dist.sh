#!/usr/bin/env bash
# Packs a release: dist/twinscale-VERSION-ARCH-linux/, the same as .tar.gz, and its .sha256; then unpacks the
# archive elsewhere and runs it with an empty environment. Usage: scripts/dist.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"

say() { printf 'dist: %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

# LibTorch of scripts/setup-libtorch.sh, and what of it the program loads. PyTorch's package index builds with
# CUDA: its libtorch_cpu.so names the CUDA runtime and CUPTI as needed, with versioned symbols, for its profiler,
# so that the loader refuses it without them, though nothing here calls them.
TORCH=vendor/libtorch
LIBRARIES="libtorch_cpu.so libc10.so libgomp.so.1 libcudart.so.13 libcupti.so.13"
# Where Debian keeps the text of libgomp's licence.
GPL=/usr/share/common-licenses/GPL-3
# Where it keeps the runtime library exception to it.
GCC=$(find /usr/share/doc -path '*/gcc-*-base/copyright' | sort -V | tail -n 1)

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || die "Cargo.toml says no version under [workspace.package]"
arch=$(uname -m)
name=twinscale-$version-$arch-linux
out=dist/$name

[ -d "$TORCH/licenses" ] || die "$TORCH has no licences to pass on: an older set-up left them out" \
  "rm -rf $TORCH && make setup"
[ -r "$GPL" ] || die "$GPL is missing: the licence of libgomp goes into the package" "pack on Debian"
grep -q "RUNTIME LIBRARY EXCEPTION" "$GCC" || die "GCC's copyright file lacks its runtime library exception" "pack on Debian"

say "building (profile dist)"
TWINSCALE_RELOCATABLE=1 cargo build --quiet --locked --profile dist -p twinscale --bin twinscale
built=${CARGO_TARGET_DIR:-target}/dist/twinscale

say "laying out $out"
rm -rf "$out"
install -D -m 755 "$built" "$out/bin/twinscale"
for library in $LIBRARIES; do
  install -D -m 644 "$TORCH/lib/$library" "$out/lib/$library"
done
# Symbols that no loader needs are a fifth of it; the others are left as their makers ship them.
strip --strip-unneeded "$out/lib/libtorch_cpu.so"
ln -s libtorch_cpu.so "$out/lib/libtorch.so"

program=$out/bin/twinscale
"$program" man --dir "$out/share/man/man1"
complete() { install -d "$(dirname "$out/share/$2")"; "$program" completions "$1" > "$out/share/$2"; }
complete bash bash-completion/completions/twinscale
complete zsh zsh/site-functions/_twinscale
complete fish fish/vendor_completions.d/twinscale.fish

install -d "$out/share/doc/twinscale/reference" "$out/share/twinscale/config" "$out/licenses/samples" "$out/licenses/gcc"
install -m 644 CHANGELOG.md docs/operations.md "$out/share/doc/twinscale"
install -m 644 docs/reference/* "$out/share/doc/twinscale/reference"
install -m 644 samples/config/*.toml "$out/share/twinscale/config"
install -m 644 samples/NOTICE.md "$out/licenses/samples"
install -m 644 "$GPL" "$out/licenses/gcc/GPL-3"
install -m 644 "$GCC" "$out/licenses/gcc/copyright"
install -m 644 LICENSE "$out"
cp -R "$TORCH/licenses/." "$out/licenses"
scripts/notices.py "$arch-unknown-linux-gnu" "$out/licenses" > "$out/THIRD-PARTY.md"
chmod -R u=rwX,go=rX "$out"

say "packing"
# The same content gives the same archive: order, owners and times do not depend on who packs.
when=$(git log -1 --format=%ct 2>/dev/null || echo 0)
tar -C dist --sort=name --mtime="@$when" --owner=0 --group=0 --numeric-owner -c "$name" | gzip -n > "$out.tar.gz.part"
mv "$out.tar.gz.part" "$out.tar.gz"
(cd dist && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")

bash scripts/dist-check.sh "$out.tar.gz"
say "$out.tar.gz ($(du -m "$out.tar.gz" | cut -f1) MiB; unpacked $(du -sm "$out" | cut -f1) MiB)"
