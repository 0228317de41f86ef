#!/usr/bin/env bash
# Deploying a stack of 20 services on three nodes, from the command to the last task running: ours and Docker's, one after
# the other on this machine, rounds in turn.
#   Scripts/trials.d/stacks.sh [ROUNDS]     default 5; SWARM_BIN as for Scripts/cluster; needs dockerd and the docker client
# Services are --endpoint-mode dnsrr, since Docker has no balancing by address where the kernel has no IPVS.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rounds=${1:-5} services=20 seconds_max=120
work=$(mktemp -d)
ours() { CLUSTER_NAME=stk-a CLUSTER_DIR=/tmp/stacks-ours "$here/../cluster" "$@"; }
theirs() { CLUSTER_NAME=stk-b CLUSTER_DIR=/tmp/stacks-docker "$here/docker-cluster" "$@"; }
trap 'ours down >/dev/null 2>&1; theirs down >/dev/null 2>&1; rm -rf "$work"' EXIT
{
  echo "services:"
  for i in $(seq $services); do
    printf '  s%s: {image: "busybox:latest", command: sleep 100000, stop_grace_period: 1s, deploy: {endpoint_mode: dnsrr}}\n' "$i"
  done
} >"$work/stack.yml"
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
tasks() { curl -sS -m 20 -G --unix-socket "$1" --data-urlencode 'filters={"label":["com.docker.stack.namespace=speed"],"desired-state":["running"]}' http://d/tasks; }
# round WHO SOCKET DEPLOY...: milliseconds until all run; the stack is gone afterwards.
round() {
  local who=$1 socket=$2 begin end deadline; shift 2
  begin=$(now_ms) deadline=$((SECONDS + seconds_max))
  "$@" >/dev/null 2>&1
  until [ "$(tasks "$socket" | jq '[.[] | select(.Status.State == "running")] | length')" = $services ]; do
    [ $SECONDS -lt $deadline ] || { echo "stacks: $who: not all run after $seconds_max s" >&2; exit 1; }
    sleep 0.02
  done
  # The moment that the tasks' own states tell, not the one at which the poll saw it.
  end=$(tasks "$socket" | jq -r '.[].Status.Timestamp' | date -f - +%s%3N | sort -n | tail -1)
  echo $((end - begin))
  docker -H "unix://$socket" stack rm speed >/dev/null 2>&1 || true
  deadline=$((SECONDS + seconds_max))
  until [ -z "$(docker -H "unix://$socket" network ls -q --filter label=com.docker.stack.namespace=speed)" ] &&
    [ "$(tasks "$socket" | jq length)" = 0 ]; do
    [ $SECONDS -lt $deadline ] || { echo "stacks: $who: the stack is not gone after $seconds_max s" >&2; exit 1; }
    docker -H "unix://$socket" stack rm speed >/dev/null 2>&1 || true
    sleep 0.2
  done
}
ours up 3 >/dev/null
theirs up 3 >/dev/null
for _ in $(seq "$rounds"); do
  round ours /tmp/stacks-ours/n1/swarmd.sock ours ctl 1 stack deploy -c "$work/stack.yml" --resolve-image never speed >>"$work/ours"
  round docker /tmp/stacks-docker/n1/swarmd.sock theirs ctl 1 stack deploy --detach=true -c "$work/stack.yml" --resolve-image never speed >>"$work/docker"
done
median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
echo "ours: $(xargs <"$work/ours") ms; docker: $(xargs <"$work/docker") ms"
echo "median $(median "$work/ours") ms against $(median "$work/docker") ms: $(awk -v a="$(median "$work/ours")" -v b="$(median "$work/docker")" 'BEGIN {printf "%.1f", b / a}') times faster; bar 3"
