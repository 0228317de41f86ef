# Containers on a node where only cgroup v2 is mounted. Controllers that v1 holds are not there: limits cannot be tried.
if [ "${UNIFIED_VIEW:-}" != 1 ]; then
  exec env UNIFIED_VIEW=1 unshare -m bash -c 'mount --make-rprivate /; umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec bash "$0"' "$0"
fi
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
is "the layout" 2 "$(docker info --format '{{.CgroupVersion}}')"
docker network create -d overlay n >/dev/null
docker service create -d --name s --network n --replicas 2 --restart-delay 100ms busybox:latest sleep 1000 >/dev/null 2>&1
eventually 10 "two tasks" runs s 2
container=$(docker ps -q | head -1); pid=$(docker inspect --format '{{.State.Pid}}' "$container")
grep -q "^0::/.*$container" "/proc/$pid/cgroup" || fail "the process is in no group of its container: $(cat "/proc/$pid/cgroup")"
grep -qx '0::/' <<<"$(docker exec "$container" cat /proc/self/cgroup)" || fail "the container sees more than its own group"
is "a command's exit" 3 "$(docker exec "$container" sh -c 'exit 3'; echo $?)"
grep -q sleep <<<"$(docker top "$container")" || fail "docker top lists no process"
docker stats --no-stream --format '{{.Name}} {{.PIDs}}' "$container" | grep -q 's\.' || fail "no statistics"
kill -9 "$pid"
eventually 10 "another task in the killed one's slot" bash -c "[ \"\$('$root/Scripts/cluster' docker 1 service ps s | grep -c 'non-zero exit (137)')\" = 1 ]"
eventually 10 "two tasks again" runs s 2
cluster stop 1; cluster start 1
eventually 10 "the tasks to be adopted" runs s 2
docker service rm s >/dev/null
eventually 20 "the end of the tasks" bash -c "[ -z \"\$('$root/Scripts/cluster' docker 1 ps -aq)\" ]"
is "groups of containers" "" "$(find "/sys/fs/cgroup/$CLUSTER_NAME-1/containers" -mindepth 1 -type d 2>/dev/null)"
