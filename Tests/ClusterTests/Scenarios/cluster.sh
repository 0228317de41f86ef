# Three managers and two workers: joined, one overlay, one mesh; nodes die, come back, change their roles, and leave.
source "$(dirname "$0")/common.sh"
on() { local i=$1; shift; cluster ctl "$i" "$@"; }
cluster up 5 >/dev/null
is "nodes" 5 "$(on 2 node ls -q | wc -l)"
is "managers" 3 "$(on 3 node ls --filter role=manager -q | wc -l)"
is "leaders" 1 "$(on 1 node ls --format '{{.ManagerStatus}}' | grep -c Leader)"
worker=$(on 4 node ls 2>&1 || true)
grep -q "Worker nodes can't be used" <<<"$worker" || fail "a worker answers: $worker"

echo "== one overlay"
on 2 network create -d overlay app >/dev/null
on 3 service create -d --name web --network app --replicas 5 --constraint node.hostname!=node1 -p 8080:80 busybox:latest sh -c "$who" >/dev/null
on 1 service create -d --name probe --mode global --network app busybox:latest sleep 10000 >/dev/null
eventually 40 "web" runs web 5
eventually 40 "probe" runs probe 5
# names I NAME: what the probe on node I is told of NAME.
probe() { on 1 node ps "node$1" --filter desired-state=running --no-trunc --format '{{.ID}} {{.Name}}' | awk '$2 ~ /^probe/ {print $1}'; }
declare -A probes
for i in 1 2 3 4 5; do probes[$i]=$(probe $i); done
names() { cluster enter "$1" "${probes[$1]}" dig +short +time=1 +tries=1 "$2" @127.0.0.11 | sort | xargs; }
# hosts I: who answers node I's probe behind the virtual address.
vip=$(names 1 web)
hosts() {
  local n; for n in $(seq 15); do cluster enter "$1" "${probes[$1]}" curl -sS -m 2 "http://$vip/cgi-bin/who" || true; done | awk '{print $1}' | sort -u
}
five() { [ "$(hosts "$1" | wc -l)" = 5 ]; }
for i in 1 2 3 4 5; do
  is "tasks.web on node $i" 5 "$(names $i tasks.web | wc -w)"
  eventually 10 "all five behind the virtual address on node $i" five $i
done
for i in 2 5; do
  other=$(names 1 "tasks.web" | awk '{print $1}')
  cluster enter $i "${probes[$i]}" curl -sS -m 2 -o /dev/null "http://$other/cgi-bin/who" || fail "node $i does not reach $other"
done

echo "== one mesh, which keeps the client's address"
for i in 1 2 3 4 5; do
  seen=$(for n in $(seq 10); do cluster client curl -sS -m 2 "http://198.18.0.1$i:8080/cgi-bin/who"; done)
  is "the client's address through node $i" 198.18.0.200 "$(awk '{print $2}' <<<"$seen" | sort -u)"
  [ "$(awk '{print $1}' <<<"$seen" | sort -u | wc -l)" -ge 3 ] || fail "node $i reaches too few tasks: $seen"
done

echo "== the leader dies"
leader() { local i; for i in 2 3 1; do on $i node ls --format '{{.Hostname}} {{.ManagerStatus}}' 2>/dev/null | awk '$2 == "Leader" {print substr($1, 5)}' | grep . && return; done; }
old=$(leader)
others=(); for i in 1 2 3; do [ $i = "$old" ] || others+=($i); done
survivors() { local i; for i in 4 5; do cluster docker $i ps -q | xargs -r "$root/Scripts/cluster" docker $i inspect --format '{{.State.Pid}}'; done | sort; }
before=$(survivors)
cluster kill "$old"
eventually 10 "a write through another manager" on "${others[0]}" service create -d --name "after" busybox:latest sleep 10000
gone() { [ "$(names 4 tasks.probe | wc -w)" = 4 ]; }
eventually 5 "the dead node's tasks to leave the names" gone
whole() { [ "$(on "${others[1]}" service ps --filter desired-state=running --format '{{.CurrentState}} {{.Node}}' web | grep -v "node$old\$" | grep -c ^Running)" = 5 ]; }
eventually 20 "web to be whole again" whole
after=$(survivors)
[ -z "$(comm -23 <(echo "$before") <(echo "$after"))" ] || fail "a healthy task was restarted"
down() { on "${others[0]}" node ls --format '{{.Hostname}} {{.Status}}' | grep -q "node$old Down"; }
eventually 10 "the dead node to be shown as Down" down

echo "== it comes back"
cluster start "$old"
ready() { [ "$(on "${others[0]}" node ls --format '{{.Status}}' | grep -c Ready)" = 5 ]; }
eventually 30 "five nodes to be Ready" ready
reads() { on "$old" service ls -q; }
eventually 20 "it to be a manager again" reads
probes[$old]=; again() { probes[$old]=$(probe "$old"); [ -n "${probes[$old]}" ] && [ "$(names "$old" tasks.web | wc -w)" = 5 ]; }
eventually 30 "its probe to see five tasks" again

echo "== a daemon is killed and comes back: its machine lives, so nothing is replaced"
before=$(survivors)
cluster stop 5 KILL
for n in $(seq 30); do
  [ "$(names 4 tasks.web | wc -w)" = 5 ] || fail "the silent daemon's tasks left the names"
  cluster client curl -sS -m 2 -o /dev/null http://198.18.0.15:8080/ || fail "the silent daemon's node serves no more"
  sleep 0.1
done
cluster start 5
eventually 20 "five nodes to be Ready" ready
is "containers" "$before" "$(survivors)"

echo "== a sick replica takes nothing, on any node, long before its container has stopped"
on 2 service create -d --name sick --network app --replicas 2 --health-cmd 'test ! -e /sick' --health-interval 500ms \
  --health-retries 2 --stop-grace-period 15s busybox:latest sleep 10000 >/dev/null
eventually 20 "two healthy replicas" runs sick 2
pair() { [ "$(names "$1" tasks.sick | wc -w)" = "$2" ]; }
for i in 1 2 3 4 5; do eventually 10 "node $i to name both" pair $i 2; done
for i in 1 2 3 4 5; do
  victim=$(cluster docker $i ps -q --filter label=com.docker.swarm.service.name=sick | head -1)
  [ -z "$victim" ] || { home=$i; break; }
done
cluster docker "$home" exec "$victim" touch /sick
for i in 1 2 3 4 5; do eventually 8 "node $i to name the healthy one alone" pair $i 1; done
is "the sick one, which still stops" running "$(cluster docker "$home" inspect --format '{{.State.Status}}' "$victim")"
on 2 service rm sick >/dev/null

echo "== roles"
on "${others[0]}" node promote node4 >/dev/null
reads() { on 4 service ls -q; }
eventually 20 "node 4 to be a manager" reads
on 4 node demote node4 >/dev/null
refused() { ! on 4 service ls -q; }
eventually 20 "node 4 to be a worker again" refused
# It remembers itself as a worker until the log has caught up.
on "${others[0]}" node promote node4 >/dev/null
eventually 20 "node 4 to be a manager once more" reads
on 1 node demote node4 >/dev/null
eventually 20 "node 4 to be a worker for good" refused
on 1 node update --availability drain node5 >/dev/null
drained() { [ "$(cluster docker 5 ps -q | wc -l)" = 0 ]; }
eventually 30 "node 5 to be empty" drained
on 1 node update --availability active node5 >/dev/null

echo "== tokens and leaving"
token=$(on 1 swarm join-token -q worker)
on 1 swarm join-token --rotate -q worker >/dev/null
cluster ctl 5 swarm leave >/dev/null
isdown() { on 1 node ls --format '{{.Hostname}} {{.Status}}' | grep -q 'node5 Down'; }
eventually 20 "node 5 to be Down" isdown
words=$(on 5 swarm join --token "$token" 198.18.0.11:2377 2>&1 && echo joined || true)
grep -q "valid join token" <<<"$words" || fail "a rotated token: $words"
on 5 swarm join --token "$(on 1 swarm join-token -q worker)" 198.18.0.12:2377 >/dev/null || fail "joining again"
on 1 node rm "$(on 1 node ls --format '{{.ID}} {{.Hostname}} {{.Status}}' | awk '$2 == "node5" && $3 == "Down" {print $1}')" >/dev/null
eventually 20 "five nodes to be Ready" ready
on 1 service rm web probe after >/dev/null
empty() { local i; for i in 1 2 3 4 5; do [ "$(cluster docker $i ps -q | wc -l)" = 0 ] || return 1; done; }
eventually 60 "all containers to be gone" empty
