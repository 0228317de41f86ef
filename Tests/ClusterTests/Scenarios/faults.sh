# Bad tokens, bad addresses, bad wishes, a lost quorum, a full disk: refused in words that say what to do, and survived.
source "$(dirname "$0")/common.sh"
on() { local i=$1; shift; cluster ctl "$i" "$@"; }
# refuses SECONDS WHAT WORDS CMD...: CMD fails within the bound, and its words match the expression.
refuses() {
  local seconds=$1 what=$2 words=$3 said status=0 since=$SECONDS; shift 3
  said=$("$@" 2>&1) || status=$?
  [ $status != 0 ] || fail "$what was not refused: $said"
  [ $((SECONDS - since)) -le "$seconds" ] || fail "$what: refused after $((SECONDS - since)) s: $said"
  grep -Eq "$words" <<<"$said" || fail "$what: '$said' does not say '$words'"
  echo "   $what: $said"
}
no_leader='The swarm does not have a leader'
# pids_on I...: the process ids of the containers on these nodes.
pids_on() { local i; for i in "$@"; do cluster docker $i ps -q | xargs -r "$root/Scripts/cluster" docker $i inspect --format '{{.State.Pid}}'; done | sort; }
cluster up 5 >/dev/null
cluster add 6; cluster add 8

echo "== a manager on a small disk, in a swarm of its own"
disk=$CLUSTER_DIR/n8/data/swarm
in_8() { nsenter -t "$(cat "$CLUSTER_DIR/n8/holder.pid")" -m -- "$@"; }
mkdir -p "$disk"; in_8 mount -t tmpfs -o size=12m tmpfs "$disk"
cluster stop 8 TERM; cluster start 8
on 8 swarm init --advertise-addr 198.18.0.18 >/dev/null
on 8 service create -d --name kept --replicas 2 -p 8088:80 busybox:latest sh -c "$who" >/dev/null
kept() { [ "$(on 8 service ps kept --format '{{.CurrentState}}' | grep -c ^Running)" = 2 ]; }
eventually 20 "two tasks on node 8" kept

echo "== tokens"
worker=$(on 1 swarm join-token -q worker); manager=$(on 1 swarm join-token -q manager); other=$(on 8 swarm join-token -q worker)
join() { on 6 swarm join --advertise-addr 198.18.0.16 --token "$@"; }
last=${worker: -1}; typo=${worker%?}$([ "$last" = a ] && echo b || echo a)
refuses 5 "no token" "[Tt]oken" join "" 198.18.0.11:2377
refuses 5 "words that are no token" "[Tt]oken" join hello 198.18.0.11:2377
refuses 5 "a mistyped token" "valid join token.*mistyped" join "$typo" 198.18.0.11:2377
refuses 5 "another cluster's token" "another cluster" join "$other" 198.18.0.11:2377
new=$(on 2 swarm join-token --rotate -q worker)
refuses 5 "a rotated token" "valid join token.*rotated" join "$worker" 198.18.0.13:2377
is "the state of the refused node" inactive "$(on 6 info --format '{{.Swarm.LocalNodeState}}')"

echo "== addresses"
refuses 8 "an address where nobody is" "198.18.0.99:2377.*(reach|unreachable|timed out|timeout|no answer in time)" join "$new" 198.18.0.99:2377
refuses 8 "a port where nobody listens" "198.18.0.11:2399.*refused" join "$new" 198.18.0.11:2399
refuses 8 "a worker's address" "198.18.0.14|manager" join "$new" 198.18.0.14:2377
refuses 8 "what is no address" "nonsense:::" join "$new" nonsense:::
is "the state of the refused node" inactive "$(on 6 info --format '{{.Swarm.LocalNodeState}}')"
is "nodes after refusals" 5 "$(on 1 node ls -q | wc -l)"

echo "== a worker's token makes a worker"
join "$new" 198.18.0.12:2377 >/dev/null
is "the role by a worker's token" false "$(on 6 info --format '{{.Swarm.ControlAvailable}}')"
refuses 5 "joining twice" "already part of a swarm" join "$new" 198.18.0.12:2377
refuses 5 "joining twice with a manager's token" "already part of a swarm" join "$manager" 198.18.0.12:2377
refuses 5 "a worker that makes a swarm" "already part of a swarm" on 6 swarm init
refuses 5 "a manager that makes a swarm" "already part of a swarm" on 1 swarm init
refuses 5 "a worker that makes it anew" "worker" on 6 swarm init --force-new-cluster

echo "== the last manager, a dead node"
refuses 5 "demoting the last manager" "last manager" on 8 node demote node8
refuses 5 "removing the last manager" "demoted to worker before removal" on 8 node rm node8
refuses 5 "removing it by force" "demoted to worker before removal" on 8 node rm --force node8
refuses 5 "a last manager that leaves" "Removing the last manager erases all current state of the swarm. Use .--force. to ignore" on 8 swarm leave
refuses 5 "a manager that leaves" "participating as a manager" on 2 swarm leave
cluster kill 6
dead() { on 1 node ls --format '{{.Hostname}} {{.Status}}' | grep -q 'node6 Down'; }
eventually 15 "node 6 to be Down" dead
refuses 5 "promoting a dead node" "down and can't be promoted" on 1 node promote node6
on 3 node rm node6 >/dev/null

echo "== a node that was removed while it was away"
cluster start 6
removed() { [ "$(on 6 info --format '{{.Swarm.LocalNodeState}}')" = inactive ] && on 6 info | grep -q 'removed from its swarm by a manager'; }
eventually 20 "node 6 to know that it was removed" removed
is "nodes after it came back" 5 "$(on 1 node ls -q | wc -l)"

echo "== a full disk"
before=$(pids_on 8)
in_8 sh -c "cat /dev/zero >$disk/ballast" 2>/dev/null || true
full() { ! on 8 service create -d --name "x$RANDOM" --replicas 0 busybox:latest sleep 1 >"$CLUSTER_DIR/said" 2>&1; }
eventually 10 "a write to be refused" full
refuses 12 "a write on a full disk" "cannot write its log.*free space" on 8 service create -d --name no --replicas 0 busybox:latest sleep 1
is "a read on a full disk" kept "$(on 8 service ls --format '{{.Name}}' | grep -x kept)"
is "the page on a full disk" 200 "$(cluster client curl -sS -m 5 -o /dev/null -w '%{http_code}' http://198.18.0.18:8088/cgi-bin/who)"
in_8 rm "$disk/ballast"
writes() { on 8 service create -d --name later --replicas 0 busybox:latest sleep 1; }
eventually 15 "writes to be accepted again" writes
is "processes over a full disk" "$before" "$(pids_on 8)"

echo "== the quorum is lost"
on 1 network create -d overlay app >/dev/null
on 1 service create -d --name web --network app --replicas 6 -p 8080:80 --constraint node.role==worker busybox:latest sh -c "$who" >/dev/null
on 1 service create -d --name probe --mode global --network app busybox:latest sleep 10000 >/dev/null
eventually 40 "web" runs web 6
eventually 40 "probe" runs probe 5
probe=$(on 1 node ps node4 --filter desired-state=running --no-trunc --format '{{.ID}} {{.Name}}' | awk '$2 ~ /^probe/ {print $1}')
told() { cluster enter 4 "$probe" dig +short +time=1 +tries=1 "$1" @127.0.0.11; }
vip=$(told web)
balanced() {
  is "$1: the names" 6 "$(told tasks.web | wc -l)"
  local n served; served=$(for n in $(seq 24); do cluster enter 4 "$probe" curl -sS -m 2 "http://$vip/cgi-bin/who" || true; done | awk '{print $1}')
  is "$1: answers behind the virtual address" 24 "$(wc -l <<<"$served")"
  [ "$(sort -u <<<"$served" | wc -l)" -ge 5 ] || fail "$1: only $(sort -u <<<"$served" | xargs) answer"
  is "$1: the page through node 5" 200 "$(cluster client curl -sS -m 5 -o /dev/null -w '%{http_code}' http://198.18.0.15:8080/cgi-bin/who)"
}
balanced "before"
before=$(pids_on 1 4 5)
cluster kill 2; cluster kill 3
lost() { ! on 1 service ls >"$CLUSTER_DIR/said" 2>&1 && grep -q "$no_leader" "$CLUSTER_DIR/said"; }
eventually 20 "reads to be refused" lost
refuses 15 "a read without a quorum" "$no_leader" on 1 service ls
refuses 15 "a read of nodes without a quorum" "$no_leader" on 1 node ls
refuses 15 "a write without a quorum" "$no_leader" on 1 service create -d --name no busybox:latest sleep 1
refuses 15 "scaling without a quorum" "$no_leader" on 1 service scale -d web=1
leaving() { local said; said=$(on 1 swarm leave 2>&1 || true); grep -q 'Removing this node leaves 0 managers out of 3.*Raft quorum' <<<"$said"; }
eventually 10 "leaving to be refused for the lost quorum" leaving
balanced "without managers"
is "processes without a quorum" "$before" "$(pids_on 1 4 5)"

echo "== made anew by one command"
since=$SECONDS
on 1 swarm init --force-new-cluster --advertise-addr 198.18.0.11 >/dev/null
served() { on 1 service ls -q; }
eventually 10 "reads after --force-new-cluster" served
attached() { [ "$(on 1 node ls --format '{{.Hostname}} {{.Status}}' | grep -c 'node[145] Ready')" = 3 ]; }
eventually 20 "the workers to be Ready" attached
echo "   anew after $((SECONDS - since)) s"
is "managers" 1 "$(on 1 node ls --filter role=manager -q | wc -l)"
is "the page afterwards" 200 "$(cluster client curl -sS -m 5 -o /dev/null -w '%{http_code}' http://198.18.0.15:8080/cgi-bin/who)"
on 1 service create -d --name after --replicas 3 busybox:latest sleep 10000 >/dev/null
eventually 20 "a service created afterwards" runs after 3
balanced "afterwards"
[ -z "$(comm -23 <(echo "$before") <(pids_on 1 4 5))" ] || fail "a healthy task was restarted by --force-new-cluster"
cluster add 9
on 9 swarm join --token "$(on 1 swarm join-token -q manager)" 198.18.0.11:2377 >/dev/null || fail "no node joins afterwards"
ready9() { on 9 node ls --format '{{.Hostname}} {{.Status}} {{.ManagerStatus}}' | grep -q 'node9 Ready Reachable'; }
eventually 20 "the new node to be a manager" ready9
