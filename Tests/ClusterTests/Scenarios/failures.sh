# Processes, the daemon, containerd and the machine die: §"How it is shown" 3.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
docker network create -d overlay app >/dev/null
docker service create -d --name web --replicas 3 --network app -p 8080:80 --restart-delay 1s busybox:latest sh -c "$who" >/dev/null 2>&1
docker service create -d --name box --network app busybox:latest sleep 10000 >/dev/null 2>&1
eventually 20 "3 replicas" runs web 3; eventually 20 "the box" runs box 1

echo "== a container's process dies"
victim=$(ctl task-pid web.2); gone=$(ask box.1 web.2); vip=$(ask box.1 web)
kill -9 "$victim"
out() { [ "$(ask box.1 tasks.web | wc -l)" = 2 ] && ! ask box.1 tasks.web | grep -qx "$gone"; }
eventually 1 "the dead task to leave the names" out
answers=$(cluster enter 1 box.1 curl -sS -m 5 -H 'Connection: close' "http://$vip/cgi-bin/who?[1-40]" | wc -l)
is "answers while one is dead" 40 "$answers"
eventually 10 "a replacement" runs web 3
is "its slot" "web.1 web.2 web.3" "$(docker service ps --filter desired-state=running --format '{{.Name}}' web | sort | xargs)"
docker service ps --no-trunc --format '{{.Error}}' web | grep -q 'non-zero exit (137)' || fail "the cause is not told"

echo "== the daemon dies in the middle of 50 creates"
before=$(pids)
(for i in $(seq 50); do
   docker service create -d --name "n$i" --replicas 0 busybox:latest sleep 1000 2>/dev/null && echo "n$i" >>"$CLUSTER_DIR/acknowledged" || true
 done) >/dev/null &
creator=$!
acknowledged() { [ "$(wc -l <"$CLUSTER_DIR/acknowledged" 2>/dev/null || echo 0)" -ge "$1" ]; }
eventually 20 "20 creates" acknowledged 20
cluster stop 1 KILL
is "the page without a daemon" 3 "$(cluster client curl -sS -m 5 -H 'Connection: close' 'http://198.18.0.11:8080/cgi-bin/who?[1-9]' | awk '{print $1}' | sort -u | wc -l)"
cluster start 1
wait $creator || true
names=$(docker service ls --format '{{.Name}}')
while read -r name; do grep -qx "$name" <<<"$names" || fail "$name was acknowledged and is lost"; done <"$CLUSTER_DIR/acknowledged"
eventually 10 "3 replicas" runs web 3
is "the containers' processes" "$before" "$(pids)"

echo "== containerd dies"
kill -9 "$(cat "/proc/$(cat "$CLUSTER_DIR/n1/holder.pid")/root/run/swarmd/containerd/containerd.pid")"
is "the page without containerd" 200 "$(cluster client curl -sS -m 5 -o /dev/null -w '%{http_code}' http://198.18.0.11:8080/)"
back() { docker service create -d --name after-containerd busybox:latest sleep 1000; }
eventually 20 "a create after containerd's death" back
eventually 20 "its task" runs after-containerd 1
for pid in $before; do kill -0 "$pid" || fail "process $pid died with containerd"; done
eventually 10 "3 replicas" runs web 3

echo "== the machine reboots"
cluster kill 1
cluster start 1
eventually 30 "3 replicas after the reboot" runs web 3
eventually 30 "the box after the reboot" runs box 1
is "the page after the reboot" 200 "$(cluster client curl -sS -m 5 -o /dev/null -w '%{http_code}' http://198.18.0.11:8080/)"
is "names after the reboot" 3 "$(ask box.1 tasks.web | wc -l)"
