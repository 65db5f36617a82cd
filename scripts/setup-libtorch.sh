#!/usr/bin/env bash
# Assembles a CPU-only LibTorch in vendor/libtorch from the PyTorch wheels, through pip as it is set up.
# Checksums are verified by pip; a wheel that is complete is kept, so an interrupted run goes on.
# Usage: scripts/setup-libtorch.sh [DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")/.."
DEST=${1:-vendor/libtorch}
VERSION=2.13.0
NEED_MIB=2300 # wheels, their unpacked part and room for the move
ARCH=$(uname -m)

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $1"; [ $# -lt 2 ] || say "hint: $2"; exit 1; }
ready() { [ "$(cat "$DEST/build-version" 2>/dev/null)" = "$VERSION" ] && [ -e "$DEST/lib/libtorch_cpu.so" ]; }

ready && exit 0
case "$ARCH" in
  x86_64)
    # name==version sha256 size-in-MB
    WHEELS="torch==2.13.0 60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7 527
nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 3
nvidia-cuda-cupti==13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 11" ;;
  aarch64)
    WHEELS="torch==2.13.0 092790c696a760c729fd5722835f50b9d81fd7c8f141571f3f3cf4081a8f664c 527
nvidia-cuda-runtime==13.0.96 ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55 3
nvidia-cuda-cupti==13.0.85 796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151 11" ;;
  *) die "no LibTorch for the architecture $ARCH" "build on x86_64 or aarch64 Linux" ;;
esac
PIP=${PIP:-python3 -m pip}
$PIP --version >/dev/null 2>&1 || die "pip is missing" "apt-get install python3-pip (or set PIP)"
command -v c++ >/dev/null 2>&1 || die "a C++ compiler is missing: torch-sys compiles a small wrapper" "apt-get install g++"

CACHE="$(dirname "$DEST")/.libtorch-download"
mkdir -p "$CACHE"
free_mib=$(df -Pm "$CACHE" | awk 'NR==2 {print $4}')
[ "$free_mib" -ge "$NEED_MIB" ] || die \
  "$free_mib MiB are free in $(cd "$CACHE" && pwd), LibTorch needs $NEED_MIB MiB while it is unpacked" \
  "free some space, or make vendor/ a link to a larger disk"
exec 9>"$CACHE/lock"
flock -n 9 || { say "setup: another set-up is running; waiting for it"; flock 9; }
ready && exit 0

platforms=()
for tag in manylinux_2_28 manylinux_2_25 manylinux_2_17 manylinux2014; do
  platforms+=(--platform "${tag}_$ARCH")
done
resume=()
if $PIP download --help 2>/dev/null | grep -- --resume-retries >/dev/null; then resume=(--resume-retries 10); fi

# Prints one line that grows; on a pipe or in a log, one line every quarter.
progress() { # pid name size-in-MB directory
  local last=-1 now quarter
  while kill -0 "$1" 2>/dev/null; do
    now=$(du -sm "$4" 2>/dev/null | cut -f1 || true)
    now=${now:-0}
    [ "$now" -le "$3" ] || now=$3
    if [ -t 2 ]; then
      printf '\rsetup: %s %d of %d MB ' "$2" "$now" "$3" >&2
    else
      quarter=$((now * 4 / ($3 + 1)))
      [ "$quarter" = "$last" ] || say "setup: $2 $now of $3 MB"
      last=$quarter
    fi
    sleep 0.5
  done
  if [ -t 2 ]; then printf '\rsetup: %s %d of %d MB\n' "$2" "$3" "$3" >&2; fi
}

while read -r requirement sha256 megabytes; do
  name=${requirement%%==*}
  dir="$CACHE/$name"
  mkdir -p "$dir"
  have=$(find "$dir" -maxdepth 1 -name '*.whl' 2>/dev/null | head -n 1)
  if [ -n "$have" ] && echo "$sha256  $have" | sha256sum -c --status; then continue; fi
  rm -rf "$dir" "$CACHE/tmp" && mkdir -p "$dir" "$CACHE/tmp"
  printf '%s --hash=sha256:%s\n' "$requirement" "$sha256" > "$CACHE/$name.txt"
  # The cp311 wheel whatever Python runs pip: nothing Python is ever imported.
  TMPDIR="$CACHE/tmp" $PIP --disable-pip-version-check download -q --no-deps --no-cache-dir \
    --require-hashes --only-binary :all: --implementation cp --python-version 3.11 \
    --abi cp311 --abi none "${platforms[@]}" "${resume[@]}" \
    -r "$CACHE/$name.txt" -d "$dir" 9>&- &
  pid=$!
  progress "$pid" "$requirement" "$megabytes" "$CACHE"
  wait "$pid" || die "pip could not bring $requirement (see its message above)" \
    "check the network and pip's index, then run the same command again: what is complete is kept"
done <<< "$WHEELS"

say "setup: unpacking LibTorch $VERSION"
rm -rf "$CACHE/out"
python3 - "$CACHE" "$CACHE/out" <<'PY' || die "the wheels could not be unpacked" "rm -rf $CACHE and run again"
import glob, os, re, shutil, sys, zipfile

source, out = sys.argv[1:]
os.makedirs(out + "/lib")
need = {"libc10.so", "libtorch_cpu.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
# Other architectures bring more libraries of their own: keep all but the CUDA and Python ones.
drop = re.compile(r"libtorch\.so|libtorch_(cuda|python|nvshmem|global_deps)|libc10_cuda|libcaffe2_nvrtc|libshm")


def target(member):
    folder, base = os.path.split(member)
    if folder == "torch/lib" and ".so" in base and not drop.match(base):
        return f"{out}/lib/{base}"
    if folder == "nvidia/cu13/lib" and base in need:
        return f"{out}/lib/{base}"
    if member.startswith("torch/include/") and not member.endswith("/"):
        return f"{out}/{member[len('torch/'):]}"
    # Who passes the libraries on, as `make dist` does, passes their licences on.
    notice = re.fullmatch(r"([^/]+)-[^-/]+\.dist-info/(?:licenses/)?(.*(?:LICENSE|NOTICE|License)[^/]*)", member)
    if notice:
        return f"{out}/licenses/{notice[1]}/{notice[2]}"
    return None


for wheel in glob.glob(source + "/*/*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = target(member)
            if path:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with archive.open(member) as reader, open(path, "wb") as writer:
                    shutil.copyfileobj(reader, writer, 1 << 20)
missing = need - set(os.listdir(out + "/lib"))
if missing:
    sys.exit(f"not in the wheels: {sorted(missing)}")
# The real libtorch.so drags in CUDA; the CPU part runs alone.
os.symlink("libtorch_cpu.so", out + "/lib/libtorch.so")
os.symlink("libgomp.so.1", out + "/lib/libgomp.so")
PY
rm -rf "$DEST" && mkdir -p "$(dirname "$DEST")" && mv "$CACHE/out" "$DEST"
echo "$VERSION" > "$DEST/build-version" # torch-sys checks it; also the mark that all is there
rm -rf "$CACHE"
say "setup: LibTorch $VERSION is ready in $DEST ($(du -sh "$DEST" | cut -f1))"
