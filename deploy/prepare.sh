#!/usr/bin/env bash
# Runs once in a container before the nodes of deploy/compose.yaml: makes the authority and the gossip key where
# there are none, issues every certificate anew (running nodes take it without a restart), and writes settings.
# Everybody gets what is theirs in a volume of their own.
set -euo pipefail

cluster=${TWINSCALE_CLUSTER:?}
network=${TWINSCALE_NETWORK:?}
shards=${TWINSCALE_SHARDS:?}
owner=10001:10001
declare -A address=([node-a]=$network.11 [node-b]=$network.12 [node-c]=$network.13 [node-d]=$network.14)
seeds=(node-a node-b node-c)

# Gives a folder to the user of the image, its keys readable by it alone.
hand_over() { chown -R "$owner" "$1"; chmod -R u=rwX,go= "$1"; }

[ -e /authority/ca ] || twinscale ca init /authority/ca --cluster "$cluster"
[ -e /authority/gossip.keys ] || twinscale ca gossip-key --out /authority/gossip.keys

for node in node-a node-b node-c node-d; do
  folder=/settings/$node
  twinscale ca issue /authority/ca "node/$node" --out "$folder/certificates"
  install -m 600 /authority/gossip.keys "$folder/gossip.keys"
  {
    cat <<TOML
# Written by deploy/prepare.sh whenever the cluster is brought up: change it there.
[node]
name = "$node"
data_dir = "/var/lib/twinscale"
# Every address of the container; it is published on the loopback address of its machine.
listen = "0.0.0.0:7878"

[cluster]
listen = "${address[$node]}:7979"
api = "$node:7878"
certificates = "/etc/twinscale/certificates"
gossip_keys = "/etc/twinscale/gossip.keys"
# On one machine a zone says nothing; on several it would be the machine's.
zone = "zone-${node#node-}"
shards = $shards
replication = 3
nodes_expected = 3
cloud = "http://cloud:7900"

[cluster.seeds]
TOML
    for seed in "${seeds[@]}"; do
      [ "$seed" = "$node" ] || echo "$seed = \"${address[$seed]}:7979\""
    done
  } > "$folder/node.toml"
  hand_over "$folder"
done

twinscale ca issue /authority/ca operator/compose --out /settings/operator/certificates
hand_over /settings/operator
