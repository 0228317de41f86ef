# Scripts/cluster keeps its words.
source "$(dirname "$0")/common.sh"
output=$(cluster up 1)
grep -q Ready <<<"$output" || fail "up prints no Ready node: $output"
is "the socket" "unix://$CLUSTER_DIR/n1/swarmd.sock" "$(cluster sock 1)"
is "the node's state" Ready "$(ctl node ls --format '{{.Status}}')"
is "docker agrees" Ready "$(docker node ls --format '{{.Status}}')"
is "the image" busybox:latest "$(ctl image ls --format '{{.Repository}}:{{.Tag}}')"
grep -q 198.18.0.11/24 <<<"$(cluster run 1 ip -4 addr show eth0)" || fail "node 1 has not its address"
cluster client busybox ping -c1 -W1 198.18.0.11 >/dev/null || fail "the client does not reach node 1"
docker service create -d --name s busybox:latest sleep 1000 >/dev/null 2>&1
eventually 10 "the task to run" runs s 1
# Members come as Docker has them, and every time the same.
members() { tr -d ' \n' | grep -o '"\(ID\|Version\|CreatedAt\|UpdatedAt\|Spec\|Endpoint\)":' | head -6 | tr -d '":\n'; }
is "the order of a service" IDVersionCreatedAtUpdatedAtSpecEndpoint "$(docker service inspect s | sed 's/"EndpointSpec"//' | members)"
is "swarmctl's order of a service" "$(docker service inspect s)" "$(ctl service inspect s)"
task=$(docker service ps -q --no-trunc s)
for name in s.1 "$task" "$(docker ps -q)"; do
  grep -q 127.0.0.1 <<<"$(cluster enter 1 "$name" ip addr show lo)" || fail "enter $name"
done
[ -n "$(cluster logs 1)" ] || fail "the log is empty"
pid=$(pids)
cluster stop 1 TERM
kill -0 "$pid" || fail "the container died with the daemon"
cluster start 1
eventually 10 "the task to be adopted" runs s 1
is "the container's process" "$pid" "$(pids)"
cluster up 1 2>/dev/null && fail "a second up must be refused"
cluster ctl 7 version 2>/dev/null && fail "node 7 must be unknown"
cluster down
[ -z "$(ip netns list | grep "$CLUSTER_NAME-" || true)" ] || fail "namespaces are left"
[ ! -e "$CLUSTER_DIR" ] || fail "the directory is left"
[ -z "$(grep "$CLUSTER_DIR" /proc/mounts || true)" ] || fail "mounts are left"
[ -z "$(find /sys/fs/cgroup -maxdepth 3 -name "$CLUSTER_NAME-*" || true)" ] || fail "cgroups are left"
[ -z "$(pgrep -f "$CLUSTER_DIR" | grep -vx $$ || true)" ] || fail "processes are left: $(pgrep -af "$CLUSTER_DIR")"
cluster down
