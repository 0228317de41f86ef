# Standalone containers by the stock client: on no swarm network, on the node's bridge, and on an attachable overlay.
source "$(dirname "$0")/common.sh"
cluster up 2 --managers 1 >/dev/null
# Not the function's: its standard input and its exit status are what is tested.
client=$(command -v docker)
# The client hands TERM on to the container: only KILL ends one that is stuck.
one() { DOCKER_HOST=unix://$CLUSTER_DIR/n1/swarmd.sock timeout -s KILL 60 "$client" "$@"; }
two() { DOCKER_HOST=unix://$CLUSTER_DIR/n2/swarmd.sock timeout -s KILL 60 "$client" "$@"; }
# code EXPECTED WHAT CMD...: the exit status of CMD.
code() { local expected=$1 what=$2 status=0; shift 2; "$@" >/tmp/out.$$ 2>&1 || status=$?; [ "$status" = "$expected" ] || fail "$what: exit $status instead of $expected: $(cat /tmp/out.$$)"; }
# refused EXPECTED-TEXT CMD...
refused() { local text=$1; shift; if "$@" >/tmp/out.$$ 2>&1; then fail "$* was not refused"; fi; grep -qF "$text" /tmp/out.$$ || fail "$*: '$(cat /tmp/out.$$)' does not say '$text'"; }
# Busybox's wget ends by a signal here, whoever runs it.
fetch='a=$(nslookup $1 2>/dev/null | awk "/^Address: (10|172|192)/{print \$2; exit}"); printf "GET /cgi-bin/who HTTP/1.0\r\n\r\n" | nc -w 3 "${a:-$1}" 80 | grep "200 OK"'

links=$(cluster run 1 ip -o link | grep -c swm- || true)
echo "== run: output, exit codes, input"
is "output" hello "$(one run --rm busybox:latest echo hello)"
is "input" "$(seq 1000 | sha256sum)" "$(seq 1000 | one run --rm -i busybox:latest cat | sha256sum)"
is "a lot of output, byte by byte" "$(one run --rm busybox:latest sh -c 'yes abcdefghi | head -c 6000000' | sha256sum)" "$(yes abcdefghi | head -c 6000000 | sha256sum)"
code 3 "an exit code" one run --rm busybox:latest sh -c 'exit 3'
code 127 "no such program" one run --rm busybox:latest nosuchprogram
code 126 "no program" one run --rm busybox:latest /etc
code 125 "no such image" one run --rm --pull never nosuchimage:latest
code 143 "a process that ends by a signal" one run --rm --init busybox:latest sh -c 'kill -TERM $$; sleep 9'
is "streams apart" "out" "$(one run --rm busybox:latest sh -c 'echo out; echo err >&2' 2>/dev/null)"
is "a terminal" "tty" "$(script -qec "DOCKER_HOST=$(cluster sock 1) $client run --rm -t busybox:latest sh -c 'test -t 1 && echo tty'" /dev/null | tr -d '\r')"
is "environment and directory" "v /tmp" "$(one run --rm -e K=v -w /tmp busybox:latest sh -c 'echo $K $(pwd)')"
is "a bind" "data" "$(echo data >/tmp/bind.$$; one run --rm -v /tmp/bind.$$:/f:ro busybox:latest cat /f; rm -f /tmp/bind.$$)"
one volume create vol >/dev/null
one run --rm -v vol:/v busybox:latest sh -c 'echo kept >/v/f'
is "a volume" kept "$(one run --rm -v vol:/v busybox:latest cat /v/f)"
is "what --rm leaves" "" "$(one ps -aq)"

echo "== life: create, start, stop, kill, rename, restart, wait, logs, rm"
id=$(one create --name life -it busybox:latest sh)
is "a created container" Created "$(one ps -a --filter name=life --format '{{.Status}}')"
refused 'is already in use by container' one create --name life busybox:latest true
one start life >/dev/null
is "its state" true "$(one inspect -f '{{.State.Running}}' life)"
is "exec" in "$(one exec life echo in)"
one rename life later
is "a new name" /later "$(one inspect -f '{{.Name}}' "$id")"
refused 'You cannot remove a running container' one rm later
one stop -t 1 later >/dev/null
is "a stopped container" 137 "$(one wait later)"
one start later >/dev/null; one kill later >/dev/null
is "a killed container" 137 "$(one wait later)"
refused 'is not running' one kill later
one restart later >/dev/null
is "restarted" running "$(one inspect -f '{{.State.Status}}' later)"
one rm -f later >/dev/null
refused 'No such container: later' one start later
one run -d --name logs busybox:latest sh -c 'echo first; echo second >&2; exit 5' >/dev/null
is "wait" 5 "$(one wait logs)"
is "logs" "first second" "$(one logs logs 2>&1 | sort | xargs)"
one start -a logs >/tmp/out.$$ 2>&1 && fail "start -a hides the exit code" || is "start -a" 5 $?
is "logs of both runs" 4 "$(one logs logs 2>&1 | wc -l)"
one rm logs >/dev/null
echo "== restart rules"
one run -d --name again --restart on-failure:2 busybox:latest false >/dev/null
three() { [ "$(one inspect -f '{{.RestartCount}} {{.State.Status}}' again)" = "2 exited" ]; }
eventually 20 "two restarts" three
one rm again >/dev/null

echo "== the node's bridge"
one run -d --name web -p 8085:80 -p 127.0.0.1:8086:80 busybox:latest sh -c "$who" >/dev/null
page() { cluster client curl -sS -m 3 -o /dev/null -w '%{http_code}' "http://198.18.0.11:$1/cgi-bin/who" 2>/dev/null || true; }
served() { [ "$(page 8085)" = 200 ]; }
eventually 10 "a published port" served
is "a port of loopback alone" 000 "$(page 8086)"
refused 'port is already allocated' one run --rm -p 8085:80 busybox:latest true
ip=$(one inspect -f '{{.NetworkSettings.IPAddress}}' web)
one run --rm busybox:latest sh -c "$fetch" sh "$ip" >/dev/null || fail "containers on the bridge do not reach each other"
one run --rm busybox:latest ping -c1 -W2 198.18.0.200 >/dev/null || fail "there is no way out"
is "host" "$(cluster run 1 ip -o link | wc -l)" "$(one run --rm --network host busybox:latest ip -o link | wc -l)"
is "none" 1 "$(one run --rm --network none busybox:latest ip -o link | wc -l)"
is "another's network" "$ip" "$(one run --rm --network container:web busybox:latest sh -c "ip -4 -o addr show eth0 | awk '{print \$4}' | cut -d/ -f1")"

echo "== cp, top, df, events"
echo copied >/tmp/cp.$$
one cp /tmp/cp.$$ web:/tmp/in
is "a file copied in" copied "$(one exec web cat /tmp/in)"
one cp web:/www /tmp/tree.$$
is "a tree copied out" "$(one exec web cat /www/cgi-bin/who | sha256sum)" "$(sha256sum </tmp/tree.$$/cgi-bin/who)"
one create --name still busybox:latest true >/dev/null
one cp /tmp/cp.$$ still:/in
one cp still:/in /tmp/back.$$
is "in and out of a container that does not run" copied "$(cat /tmp/back.$$)"
refused 'Could not find the file /nope in container' one cp still:/nope /tmp/
one rm still >/dev/null
rm -rf /tmp/cp.$$ /tmp/tree.$$ /tmp/back.$$
grep -q httpd <<<"$(one top web)" || fail "top does not show the process"
grep -q '^Containers' <<<"$(one system df)" || fail "system df"
before=$(date +%s)
one run --rm --name seen busybox:latest true
happened=$(one events --since "$before" --until "$(($(date +%s) + 1))" --filter container=seen --format '{{.Action}}' | xargs)
is "events" "create attach start die destroy" "$happened"

echo "== an attachable overlay"
one network create -d overlay --attachable app >/dev/null
one network create -d overlay closed >/dev/null
one service create -d --name site --network app --replicas 2 busybox:latest sh -c "$who" >/dev/null 2>&1
eventually 20 "the service" runs site 2
refused 'network closed not manually attachable' one run --rm --network closed busybox:latest true
refused 'network nope not found' one run --rm --network nope busybox:latest true
for node in one two; do
  reached() { $node run --rm --network app busybox:latest sh -c "$fetch" sh site >/tmp/out.$$; }
  eventually 10 "the service's address from node $node" reached
  is "tasks by name from $node" 2 "$($node run --rm --network app busybox:latest nslookup tasks.site | grep -c '^Address: 10\|^Address [0-9]*: 10')"
done
two run -d --name debug --network app --network-alias helper busybox:latest sh -c "$who" >/dev/null
found() { one run --rm --network app busybox:latest sh -c "$fetch" sh "$1" >/tmp/out.$$ 2>&1; }
eventually 10 "a standalone container by its name from another node" found debug
eventually 10 "by its alias" found helper
task=$(one ps -q --no-trunc --filter name=site | head -1)
eventually 10 "from a task" cluster enter 1 "$task" curl -sS -m 3 "http://$(two inspect -f '{{.NetworkSettings.Networks.app.IPAddress}}' debug)/cgi-bin/who"
refused 'is in use by' one network rm app
is "tasks that are listed" 2 "$(one service ps -q site | wc -l)"

echo "== kill -9 of swarmd"
pid=$(two inspect -f '{{.State.Pid}}' debug)
address=$(two inspect -f '{{.NetworkSettings.Networks.app.IPAddress}}' debug)
cluster stop 2; cluster start 2 >/dev/null
again() { [ "$(two inspect -f '{{.State.Pid}} {{.NetworkSettings.Networks.app.IPAddress}}' debug)" = "$pid $address" ]; }
eventually 20 "the container to be adopted" again
eventually 10 "and found" found debug
is "exec after adoption" ok "$(two exec debug echo ok)"
two rm -f debug >/dev/null
unknown() { ! one run --rm --network app busybox:latest nslookup debug >/dev/null 2>&1; }
eventually 10 "the name to go" unknown
pid=$(one inspect -f '{{.State.Pid}}' web)
one run -d --name ever --restart always busybox:latest sleep 1000 >/dev/null
cluster stop 1; cluster start 1 >/dev/null
served || eventually 20 "the published port after a restart" served
is "the adopted container" "$pid" "$(one inspect -f '{{.State.Pid}}' web)"

echo "== connect and disconnect, networks of the node"
one network create br1 >/dev/null
is "a network of the node" "bridge local" "$(one network ls --filter name=br1 --format '{{.Driver}} {{.Scope}}')"
one run -d --name db --network br1 busybox:latest sleep 1000 >/dev/null
one run --rm --network br1 busybox:latest ping -c1 -W2 db >/dev/null || fail "no names on a user-defined bridge"
one network connect br1 web
one exec db sh -c "$fetch" sh web >/dev/null || fail "a connected container is not found"
refused 'has active endpoints' one network rm br1
one network disconnect br1 web
refused 'is not connected to network' one network disconnect br1 web
one network connect app web
eventually 10 "a container that joined the overlay" found web
one network disconnect app web
one rm -f web db ever >/dev/null
one network rm br1 >/dev/null
one service rm site >/dev/null

echo "== nothing is left"
gone() { one network rm app >/dev/null 2>&1; }
eventually 20 "the attachments to be given back" gone
left() { "$1" ps -a --format '{{.Names}} {{.Status}} {{.Command}}'; }
none() { [ -z "$(left one; left two)" ]; }
eventually 10 "containers to be gone, that their clients have left" none
same() { [ "$(cluster run 1 ip -o link | grep -c swm-)" = "$links" ]; }
eventually 10 "the links of the networks to go" same
echo "ok"
