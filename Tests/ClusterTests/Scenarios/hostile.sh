# A worker gone bad, with a valid certificate and the gossip's key: what it may not say is refused and logged, and
# nothing of the swarm changes. Its part is HostileNodeTests of TransportTests, run in its network.
source "$(dirname "$0")/common.sh"
on() { local i=$1; shift; cluster ctl "$i" "$@"; }
tests=${HOSTILE_TESTS:-$root/.build/debug/swarmPackageTests.xctest}
[ -x "$tests" ] || fail "$tests is missing: build the tests, or set HOSTILE_TESTS"
cluster up 5 >/dev/null
on 1 network create -d overlay app >/dev/null
on 1 service create -d --name web --network app --replicas 4 -p 8080:80 --constraint node.hostname!=node4 busybox:latest sh -c "$who" >/dev/null 2>&1
on 1 service create -d --name only --network app --constraint node.hostname==node5 busybox:latest sleep 10000 >/dev/null 2>&1
eventually 40 "web" runs web 4
eventually 40 "only" runs only 1
id() { on 1 node ls --format '{{.ID}} {{.Hostname}}' | awk -v h="node$1" '$2 == h { print $1 }'; }
leader=$(on 1 node ls --format '{{.Hostname}} {{.ManagerStatus}}' | awk '$2 == "Leader" { print substr($1, 5) }')
evil=$(id 4)
cluster stop 4 TERM
# state: all that a hostile node might change, and no times.
state() {
  on 1 node ls --format '{{.ID}} {{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}' | grep -v node4
  on 1 service ls --format '{{.ID}} {{.Name}} {{.Replicas}}'
  on 1 service ps --no-trunc --format '{{.ID}} {{.Name}} {{.Node}} {{.DesiredState}} {{.Error}}' web only | sort
  on 1 swarm join-token -q worker; on 1 swarm join-token -q manager
  local i; for i in 1 2 3 5; do cluster docker $i ps -q --no-trunc | sort; done
}
before=$(state)
probe=$(on 1 service ps only --no-trunc --format '{{.ID}}')
watch() { # what DNS says of web on node 5, ten times a second
  while [ -e "$CLUSTER_DIR/watching" ]; do
    cluster enter 5 "$probe" dig +short +time=1 +tries=1 tasks.web @127.0.0.11 2>/dev/null | wc -l; sleep 0.1
  done >"$CLUSTER_DIR/names"
}
touch "$CLUSTER_DIR/watching"; watch & watcher=$!
status=0
SWARM_HOSTILE_IDENTITY=$CLUSTER_DIR/n4/data/swarm/certificates SWARM_HOSTILE_MANAGER=$(id "$leader") \
  SWARM_HOSTILE_MANAGER_HOST=198.18.0.1$leader SWARM_HOSTILE_VICTIM=$(id 5) SWARM_HOSTILE_VICTIM_HOST=198.18.0.15 \
  SWARM_HOSTILE_TASK=$probe cluster run 4 timeout 120 "$tests" --testing-library swift-testing --filter HostileNodeTests \
  >"$CLUSTER_DIR/hostile" 2>&1 || status=$?
rm "$CLUSTER_DIR/watching"; wait $watcher
[ $status = 0 ] || { grep -E '✘|error' "$CLUSTER_DIR/hostile" | head -30; fail "the hostile node was not refused as it should be"; }
ran=$(grep -c '✔ Test "' "$CLUSTER_DIR/hostile" || true)
[ "$ran" -ge 4 ] || { tail -20 "$CLUSTER_DIR/hostile"; fail "only $ran of the hostile node's tests ran"; }
sleep 3
after=$(state)
[ "$before" = "$after" ] || { diff <(echo "$before") <(echo "$after"); fail "the swarm's state changed"; }
is "fewest names that node 5 was told" 4 "$(sort -n "$CLUSTER_DIR/names" | head -1)"
is "the page through node 5" 200 "$(cluster client curl -sS -m 5 -o /dev/null -w '%{http_code}' http://198.18.0.15:8080/cgi-bin/who)"
# logged NODE WORDS: the log names them, and who did it.
logged() { cluster logs "$1" | grep "$2" | grep -q "${3:-$evil}" || { cluster logs "$1" | tail -30; fail "node $1's log does not say '$2'"; }; }
logged "$leader" "overstepped its role"
logged "$leader" "reported on tasks of other nodes"
logged "$leader" "a call of another node was refused"
logged "$leader" "gossip in the name of a node came from an address that is not its own" "198.18.0.14"
logged "$leader" "said that another one left, which that one denies"
echo "   $(cluster logs "$leader" | grep -Ec 'overstepped|reported on|was refused|in the name of|denies') lines of log on node $leader"
on 1 service scale -d web=5 >/dev/null
eventually 20 "the swarm to work as before" runs web 5
