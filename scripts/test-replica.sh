#!/usr/bin/env bash
# Runs replicas on a container engine: that of the sample, whose figures must be plausible, and one of three tiers
# with a database. Then what goes wrong: no engine, no image, a stack that is too large, an end in the middle. After
# each nothing may be left on the engine. Ends with 77 where no engine answers.
# Usage: scripts/test-replica.sh [SECONDS_PER_LOAD]
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS_PER_LOAD=${1:-15}
IMAGE=${REPLICA_IMAGE:-twinscale-replica:redis}
LABEL=label=twinscale.replica

say() { printf '[%4ss] %s\n' "$SECONDS" "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; exit 1; }
skip() { printf 'skipped: %s\n' "$1" >&2; exit 77; }

docker version >/dev/null 2>&1 || skip "no container engine answers (docker version)"
docker image inspect "$IMAGE" >/dev/null 2>&1 || INCLUDE=redis-server scripts/base-image.sh "$IMAGE"
cargo build --quiet --release -p twinscale-replica
program=${CARGO_TARGET_DIR:-target}/release/twinscale-replica

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'printf "error: line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2; tail -n 20 "$work"/*.log >&2' ERR

# Containers and networks of one run, or of all that this script has started.
left() { docker ps -aq --filter "$LABEL$1"; docker network ls -q --filter "$LABEL$1"; }
# fails CODE PATTERN ARGUMENTS...: the program must end with the code and say the pattern.
fails() {
  local code=$1 pattern=$2 got=0
  shift 2
  "$program" "$@" > "$work/fails.log" 2>&1 || got=$?
  [ "$got" = "$code" ] || die "ended with $got and not $code: $*"
  grep -q "$pattern" "$work/fails.log" || die "does not say '$pattern': $(cat "$work/fails.log")"
}
# measured FILE QUESTION: asks the JSON of a run one question, in Python; `it` is the document.
measured() { python3 -c 'import json, sys; it = json.load(open(sys.argv[1])); print('"$2"')' "$1"; }

before=$(left "")

say "the sample at two loads"
"$program" measure --model samples/models/replica-web-redis.toml --loads 0.3,0.6 --seconds "$SECONDS_PER_LOAD" \
  --calibration-seconds "$SECONDS_PER_LOAD" --warm-up 2 --image "$IMAGE" --cgroup-parent / --out "$work/sample.json" \
  > "$work/sample.txt" 2> "$work/sample.log"
cat "$work/sample.txt"
served="all(c['failed'] == 0 and c['requests'] > 20 for l in it['loads'] for c in l['classes'])"
[ "$(measured "$work/sample.json" "$served")" = True ] || die "requests failed"
# Wide on purpose: the machine may have other work. The figures are for people, docs/replica.md has some.
used="all(abs(l['tiers'][1]['utilisation']['measured'] - l['load']) < 0.2 for l in it['loads'])"
[ "$(measured "$work/sample.json" "$used")" = True ] || die "the web tier is not used as planned"
hits="all(0.8 < l['hit_ratio'] < 0.97 for l in it['loads'])"
[ "$(measured "$work/sample.json" "$hits")" = True ] || die "the hit ratio is not the stated one"
[ "$(left "")" = "$before" ] || die "something is left on the engine"

say "three tiers: calls over HTTP, a cache that misses, a database with a copy"
cat > "$work/three.toml" <<'MODEL'
customer = "three"
[class.page]
entry = "web"
rate_per_s = 20.0
request_bytes = 300
response_bytes = 5000
[vm_type.small]
vcpu = 0.2
memory_gib = 0.25
price_per_hour_usd = 0
free = true
[tier.web]
vm = [{ type = "small", count = 1 }]
workers_per_vm = 4
demand.page = { mean_s = 0.001 }
[tier.app]
vm = [{ type = "small", count = 2 }]
workers_per_vm = 4
balancer = "two-choices"
demand.page = { mean_s = 0.003 }
[tier.cache]
kind = "cache"
vm = [{ type = "small", count = 1 }]
demand.page = { mean_s = 0.0001 }
[tier.cache.cache]
hit = { by = "fixed", ratio = 0.5 }
[tier.db]
kind = "database"
vm = [{ type = "small", count = 2 }]
database = { connections_max = 64, read_replicas = 1 }
demand.page = { mean_s = 0.0003, read_share = 0.8 }
[[call]]
from = "web"
to = "app"
response_bytes = 2000
timeout_s = 5.0
[[call]]
from = "app"
to = "cache"
response_bytes = 1000
[[call]]
from = "app"
to = "db"
on_miss_of = "cache"
response_bytes = 1000
pool_size = 8
[data_set.rows]
tier = "db"
size_gib = 0.01
[data_set.objects]
tier = "cache"
size_gib = 0.01
MODEL
"$program" measure --model "$work/three.toml" --loads 0.3 --seconds 5 --calibration-seconds 5 --warm-up 1 \
  --image "$IMAGE" --cgroup-parent / --out "$work/three.json" > "$work/three.txt" 2> "$work/three.log"
cat "$work/three.txt"
[ "$(measured "$work/three.json" "all(c['failed'] == 0 for l in it['loads'] for c in l['classes'])")" = True ] \
  || die "requests failed"
seen="[t['visits'] for name in ('web', 'app', 'cache', 'db') for t in [it['observations'][0]['tiers'][name]]]"
read -r web app cache db < <(measured "$work/three.json" "' '.join(map(str, $seen))")
[ "$app" -ge $((web - 5)) ] && [ "$cache" -ge $((app - 5)) ] || die "visits are $web, $app, $cache, $db"
[ $((db * 4)) -gt "$cache" ] && [ $((db * 4)) -lt $((cache * 3)) ] || die "the database got $db of $cache: about half"
[ "$(left "")" = "$before" ] || die "something is left on the engine"

say "what goes wrong"
DOCKER_HOST=tcp://127.0.0.1:1 fails 77 "no container engine answers" measure --model samples/models/replica-web-redis.toml
fails 1 "scripts/base-image.sh no-such-image" measure --model samples/models/replica-web-redis.toml --image no-such-image
fails 2 "the machine has 1" measure --model samples/models/replica-web-redis.toml --cpus 0
fails 2 "workers per VM" measure --model samples/models/cached-site.toml
sed 's/count = 1/count = 40/' samples/models/replica-web-redis.toml > "$work/large.toml"
fails 2 "at most 32 containers" measure --model "$work/large.toml"

for signal in INT TERM; do
  say "SIG$signal in the middle"
  "$program" measure --model samples/models/replica-web-redis.toml --image "$IMAGE" > /dev/null 2> "$work/ended.log" &
  running=$!
  deadline=$((SECONDS + 60))
  until grep -q calibrating "$work/ended.log"; do
    [ "$SECONDS" -lt "$deadline" ] || die "no calibration within 60 s: $(cat "$work/ended.log")"
    sleep 0.1
  done
  [ "$(left "")" != "$before" ] || die "no containers while it runs"
  kill -s "$signal" "$running"
  got=0
  wait "$running" || got=$?
  [ "$got" = 130 ] || die "ended with $got and not 130"
  [ "$(left "")" = "$before" ] || die "something is left on the engine"
done

printf '\nreplica test: all well in %s s (%s)\n' "$SECONDS" "$(docker version --format 'engine {{.Server.Version}}')"
