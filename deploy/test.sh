#!/usr/bin/env bash
# Runs the cluster of compose.yaml on a container engine under load, through what operating one brings: a node is
# killed and comes back, a fourth one joins, a node is drained, restarted and undrained, and all are restarted one
# after the other. Then everything that was acknowledged is read back, and every twin must be served.
# Takes the image of `make image` and the program of `make dist`. Ends with 77 where no engine answers. All that it
# made on the engine is gone at the end, also on failure. Usage: deploy/test.sh
set -euo pipefail
cd "$(dirname "$0")"

CUSTOMERS=24
RATE=200
SHARDS=16
# Longest wait for any one state, in seconds.
LIMIT=180

say() { printf '[%4ss] %s\n' "$SECONDS" "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; exit 1; }
skip() { printf 'skipped: %s\n' "$1" >&2; exit 77; }

docker version >/dev/null 2>&1 || skip "no container engine answers (docker version)"
if docker compose version >/dev/null 2>&1; then COMPOSE=(docker compose)
elif docker-compose version >/dev/null 2>&1; then COMPOSE=(docker-compose)
else skip "neither docker compose nor docker-compose is there"; fi
export TWINSCALE_IMAGE=${TWINSCALE_IMAGE:-twinscale:latest}
docker image inspect "$TWINSCALE_IMAGE" >/dev/null 2>&1 || die "no image $TWINSCALE_IMAGE: make image"
programs=(../dist/twinscale-*/bin/twinscale)
program=$(realpath "${programs[-1]}")
[ -x "$program" ] || die "no program below dist/: make dist"

project=twinscale-test-$$
COMPOSE+=(-p "$project" -f compose.yaml)
work=$(mktemp -d)
list=$work/acknowledged.csv
load=
ended_well=

# Everything of this run carries its project's label; nothing else is touched.
clean_up() {
  local label=label=com.docker.compose.project=$project
  [ -z "$load" ] || kill -KILL "$load" 2>/dev/null || true
  if [ -z "$ended_well" ]; then
    for container in $(docker ps -aq --filter "$label"); do
      printf -- '--- %s\n' "$(docker inspect --format '{{.Name}} {{.State.Status}} {{.State.ExitCode}}' "$container")" >&2
      docker logs --tail 15 "$container" >&2 2>&1 || true
    done
    tail -n 20 "$work"/*.log >&2 2>/dev/null || true
  fi
  docker ps -aq --filter "$label" | xargs -r docker rm -f -v >/dev/null 2>&1 || true
  docker volume ls -q --filter "$label" | xargs -r docker volume rm -f >/dev/null 2>&1 || true
  docker network ls -q --filter "$label" | xargs -r docker network rm >/dev/null 2>&1 || true
  rm -rf "$work"
  local left
  left=$(docker ps -aq --filter "$label"; docker volume ls -q --filter "$label"; docker network ls -q --filter "$label")
  [ -z "$left" ] || { printf 'error: left on the engine: %s\n' "$left" >&2; exit 1; }
}
trap clean_up EXIT
trap 'printf "error: line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR
trap 'exit 130' INT TERM

# Ports and a network that nobody has now.
read -r TWINSCALE_PORT_A TWINSCALE_PORT_B TWINSCALE_PORT_C TWINSCALE_PORT_D < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(4)]
for one in sockets: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))')
subnets=$(docker network ls -q | xargs docker network inspect --format '{{range .IPAM.Config}}{{.Subnet}} {{end}}')
for third in $(seq 79 119); do
  TWINSCALE_NETWORK=172.30.$third
  grep -q "172\.30\.$third\." <<< "$subnets" || break
done
export TWINSCALE_PORT_A TWINSCALE_PORT_B TWINSCALE_PORT_C TWINSCALE_PORT_D TWINSCALE_NETWORK
export TWINSCALE_SHARDS=$SHARDS TWINSCALE_CLUSTER=test
declare -A url=(
  [node-a]=http://127.0.0.1:$TWINSCALE_PORT_A [node-b]=http://127.0.0.1:$TWINSCALE_PORT_B
  [node-c]=http://127.0.0.1:$TWINSCALE_PORT_C [node-d]=http://127.0.0.1:$TWINSCALE_PORT_D
)

compose() { "${COMPOSE[@]}" "$@" >> "$work/compose.log" 2>&1; }
operator() { "${COMPOSE[@]}" --profile operator run --rm -T operator "$@" 2>> "$work/operator.log"; }
container() { "${COMPOSE[@]}" --profile fourth ps -aq "$1" 2>/dev/null || "${COMPOSE[@]}" --profile fourth ps -q "$1"; }
# Asks the JSON on standard input one question, in Python; `it` is the document.
ask() { python3 -c 'import json, sys; it = json.load(sys.stdin); print('"$1"')'; }
now_ms() { date +%s%3N; }
lines() { cat "$list" 2>/dev/null | wc -l; }

# until_true WHAT COMMAND...: waits for a command to succeed.
until_true() {
  local what=$1 deadline=$((SECONDS + LIMIT))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || { operator members >&2; operator shards --unsound >&2; die "$what: not within $LIMIT s"; }
    [ -z "$load" ] || kill -0 "$load" 2>/dev/null || die "the load has ended: $(cat "$work/load.log")"
    sleep 0.2
  done
}
# Every voter of all groups answers, and nothing moves.
sound() {
  operator shards --json > "$work/shards.json" || return 1
  [ "$(ask "len(it['shards']) == 1 + $SHARDS and all(one['health'] == 'sound' and not one['moving'] for one in it['shards'])" \
    < "$work/shards.json")" = True ]
}
# member NODE QUESTION: asks one line of the members, `one`.
member() { operator members --json | ask "[($2) for one in it['members'] if one['name'] == '$1'][0]"; }
serves() { [ "$(member "$1" "one['state'] == 'serving' and one['heard'] == 'alive'" 2>/dev/null)" = True ]; }
ready() { "$program" --quiet ready --url "${url[$1]}" --wait "$LIMIT" || die "$1 does not serve"; }
grown() { [ "$(lines)" -ge "$1" ]; }
# The load gets answers from here on.
acknowledged_more() { until_true "more acknowledged samples" grown $(($(lines) + 2 * RATE)); }
# Stops a node as an orchestrator does and starts it again; it must end in order.
restart() {
  local begun code
  begun=$(now_ms)
  compose stop -t 60 "$1"
  code=$(docker inspect --format '{{.State.ExitCode}}' "$(container "$1")")
  [ "$code" = 0 ] || die "$1 ended with $code when asked to stop"
  stopped_ms=$(($(now_ms) - begun))
  compose start "$1"
  ready "$1"
  restarted_ms=$(($(now_ms) - begun))
}

summary=()
note() { summary+=("$*"); say "$*"; }

say "starting three nodes and the cloud (project $project, $SHARDS shards)"
begun=$(now_ms)
compose up -d
for node in node-a node-b node-c; do ready "$node"; done
until_true "all shards sound" sound
note "started: all groups sound after $((($(now_ms) - begun) / 1000)) s"

"$program" --quiet load --url "${url[node-a]},${url[node-b]},${url[node-c]}" --configure --interval 60 \
  --customers "$CUSTOMERS" --rate "$RATE" --batch 100 --duration 3600 --acknowledged "$list" --json \
  > "$work/load.json" 2> "$work/load.log" &
load=$!
until_true "acknowledged samples" grown $((5 * RATE))

# The node that leads most is the one that is missed most.
victim=$(operator members --json | ask "max(it['members'], key=lambda one: one['leads'])['name']")
leads=$(member "$victim" "one['leads']")
say "kill -9 of $victim, which leads $leads shards"
begun=$(now_ms)
compose kill -s KILL "$victim"
code=$(docker inspect --format '{{.State.ExitCode}}' "$(container "$victim")")
[ "$code" = 137 ] || die "$victim ended with $code and not by the kill"
acknowledged_more
gap=$(($(now_ms) - begun))
compose start "$victim"
ready "$victim"
until_true "all shards sound" sound
note "kill -9 of $victim ($leads shards led): $((2 * RATE)) more samples acknowledged after $gap ms, sound again after $((($(now_ms) - begun) / 1000)) s"

say "a fourth node, and the certificates of all issued anew"
begun=$(now_ms)
compose --profile fourth up -d --no-recreate node-d
ready node-d
until_true "node-d serving" serves node-d
note "node-d joined after $((($(now_ms) - begun) / 1000)) s"

say "draining node-b"
begun=$(now_ms)
operator drain node-b --wait-limit "$LIMIT" >> "$work/operator.log" || die "the drain of node-b failed"
held=$(member node-b "one['replicas'], one['leads']")
[ "$held" = "(0, 0)" ] || die "node-b holds $held (replicas, leads) after its drain"
note "node-b drained after $((($(now_ms) - begun) / 1000)) s: no replica, no leadership"
acknowledged_more
restart node-b
operator undrain node-b >> "$work/operator.log" || die "node-b cannot be undrained"
until_true "node-b serving" serves node-b
until_true "all shards sound" sound
acknowledged_more
note "node-b restarted and undrained, all groups sound"

for node in node-a node-b node-c; do
  restart "$node"
  until_true "all shards sound" sound
  acknowledged_more
  note "rolling restart: $node stopped in order in $stopped_ms ms, ready again after $restarted_ms ms"
done

kill -TERM "$load"
wait "$load" || die "the load ended with $?: $(cat "$work/load.log")"
load=
compose logs --no-color
"$program" --quiet load --verify-only --url "${url[node-c]}" --acknowledged "$list" --json > "$work/verified.json" \
  || { cat "$work/verified.json" >&2; die "what was acknowledged is not what is stored"; }
note "load: $(ask "'%d samples acknowledged in %d s, %d failed requests, %d given up, %d sent again; latency p50 %d, p99 %d, max %d ms' % (it['acknowledged'], it['took_s'], it['failed_requests'], it['unanswered'], it['duplicates'], it['latency_ms']['p50'], it['latency_ms']['p99'], it['latency_ms']['max'])" < "$work/load.json")"
[ "$(ask "it['acknowledged']" < "$work/load.json")" = "$(lines)" ] || die "the list has $(lines) lines"
note "read back: $(ask "'%(acknowledged)d acknowledged: %(stored)d stored, %(lost)d lost, %(doubled)d doubled, %(altered)d altered' % it['verified']" < "$work/verified.json")"
[ "$(ask "it['unanswered'] == 0 and it['refused'] == 0" < "$work/load.json")" = True ] || die "samples were given up or refused"

operator twins ls --limit 0 --json > "$work/twins.json"
told=$(ask "len(it['twins']), sum(one['state'] == 'driven' for one in it['twins']), len(it['silent'])" < "$work/twins.json")
[ "$told" = "$CUSTOMERS $CUSTOMERS 0" ] || die "twins, driven ones and silent nodes are $told, not $CUSTOMERS driven"
note "twins: $CUSTOMERS of $CUSTOMERS driven, by node: $(ask "', '.join('%s %d' % (name, sum(one['node_name'] == name for one in it['twins'])) for name in sorted({one['node_name'] for one in it['twins']}))" < "$work/twins.json")"
turns=$(ask "sum(one['last_turn'] is not None for one in it['twins'])" < "$work/twins.json")
note "turns: $turns of $CUSTOMERS twins had one since their node drives them"

ended_well=yes
printf '\ncompose test: all well in %s s (%s)\n' "$SECONDS" "$(docker version --format 'engine {{.Server.Version}}')"
printf '  %s\n' "${summary[@]}"
