# Two hundred rounds of create, scale and remove leave nothing behind: §"How it is shown" 4. ROUNDS shortens it by hand.
source "$(dirname "$0")/common.sh"
rounds=${ROUNDS:-200}
cluster up 1 >/dev/null
node=$CLUSTER_DIR/n1; pid=$(cat "$node/swarmd.pid"); holder=$(cat "$node/holder.pid")
in_node() { nsenter -t "$holder" -m -n -- "$@"; }
snapshots() {
  find "$node/data/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l
}
# Everything that a round could leave, by name or number.
trace() {
  echo "namespaces $(in_node find /run/swarmd/network/netns /run/swarmd/network/networks -type f 2>/dev/null | wc -l)"
  echo "links $(cluster run 1 ip -o link | wc -l)"
  echo "rules $(cluster run 1 nft list ruleset | grep -vc '^$')"
  echo "routes $(cluster run 1 ip route show table all | wc -l)"
  # Its own alone: what the host had mounted when the node was made goes from its copy as it goes from the host.
  echo "mounts $(in_node cat /proc/self/mounts | grep -c -e "$CLUSTER_DIR" -e ' /run')"
  echo "cgroups $(find /sys/fs/cgroup -path "*$CLUSTER_NAME-1*" -type d 2>/dev/null | wc -l)"
  echo "containers $(find "$node/data/containers" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)"
  echo "pipes $(in_node find /run/swarmd/io /run/swarmd/secrets -mindepth 1 2>/dev/null | wc -l)"
  echo "volumes $(find "$node/data/volumes" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)"
  echo "snapshots $(snapshots)"
  echo "shims $(pgrep -fc "containerd-shim.*$CLUSTER_NAME" || true)"
}
descriptors() { ls "/proc/$pid/fd" | wc -l; }
# Without the pages of the program itself, of which more and more are touched.
memory() { awk '/^RssAnon/ {print $2}' "/proc/$pid/status"; }
docker network create -d overlay keep >/dev/null
round() {
  local name=r$1
  docker network create -d overlay "$name" >/dev/null
  docker service create -d --name "$name" --network "$name" --network keep -p $((20000 + $1)):80 \
    --mount type=volume,dst=/anonymous --stop-signal SIGKILL busybox:latest sleep 10000 >/dev/null 2>&1
  eventually 20 "round $1: a task" runs "$name" 1
  docker service scale -d "$name=3" >/dev/null
  eventually 20 "round $1: three tasks" runs "$name" 3
  is "round $1: errors" "" "$(docker service ps --no-trunc --format '{{.Error}}' "$name" | xargs)"
  docker service rm "$name" >/dev/null
  eventually 30 "round $1: the end of the tasks" bash -c "[ -z \"\$('$root/Scripts/cluster' docker 1 ps -aq)\" ]"
  eventually 10 "round $1: the end of the network" docker network rm "$name"
}
for i in 1 2 3; do round "$i"; done
one_snapshot() { [ "$(snapshots)" = 1 ]; }
# containerd's collector clears snapshots away after their removal: of all, the image's one layer stays.
eventually 60 "the end of the snapshots" one_snapshot
# The last round's networks go a moment after its containers; ingress stays.
one_namespace() { trace | grep -x "namespaces 1" >/dev/null; }
eventually 30 "the end of the networks' namespaces" one_namespace
trace >"$CLUSTER_DIR/before"; opened=$(descriptors)
# lowest FROM TO: the least memory after any of these rounds. The log's entries stay in memory until a snapshot, which is
# due after 4 MiB of them, about 70 rounds: two samples compare two points of a saw, the least of 70 rounds its feet.
lowest() { awk -v from="$1" -v to="$2" '$1 > from && $1 <= to && (!least || $2 < least) {least = $2} END {print least}' "$CLUSTER_DIR/memory"; }
for i in $(seq 4 "$rounds"); do
  round "$i"
  echo "$i $(memory)" >>"$CLUSTER_DIR/memory"
done
calm() { trace >"$CLUSTER_DIR/now"; cmp -s "$CLUSTER_DIR/before" "$CLUSTER_DIR/now"; }
deadline=$((SECONDS + 60))
until calm || [ $SECONDS -ge $deadline ]; do sleep 0.2; done
diff "$CLUSTER_DIR/before" "$CLUSTER_DIR/now" || fail "something is left, or gone"
# A connection to containerd that its successor replaced stays for a few seconds.
[ $(($(descriptors) - opened)) -le 4 ] || fail "descriptors grew from $opened to $(descriptors)"
# Churn is no damage: nothing may have been repaired.
cluster logs 1 | grep "network repaired" && fail "repairs in ordinary work"
[ "$rounds" -ge 200 ] || exit 0
# The allocator and the caches have seen everything by round 60.
early=$(lowest 60 130) late=$(lowest $((rounds - 70)) "$rounds")
echo "anonymous memory, least: $early KiB in rounds 61 to 130, $late KiB in the last 70 of $rounds"
[ "$late" -le $((early + 6144)) ] || fail "memory grew from $early to $late KiB"
