# Logs of services, tasks and stacks: gathered from every node that has some, by any manager, the same for both clients;
# a follower hears of tasks that start elsewhere; a dead node costs a warning, and neither the rest nor the status.
source "$(dirname "$0")/common.sh"
cluster up 3 >/dev/null
on() { local i=$1; shift; cluster ctl "$i" "$@"; }
out=$CLUSTER_DIR/out
# squeezed: lines without the padding of names, in one order.
squeezed() { tr -s ' ' | sort; }
# has FILE PATTERN [COUNT]: so many lines, one if nothing is said.
has() { [ "$(grep -cE "$2" "$1")" = "${3:-1}" ]; }

echo "== six replicas on three nodes"
ctl service create -d --name talk --replicas 6 --replicas-max-per-node 2 --hostname '{{.Service.Name}}.{{.Task.Slot}}' \
  --stop-grace-period 1s busybox:latest \
  sh -c 'for n in 1 2 3; do echo "$(hostname) says $n"; sleep 0.2; done; echo "$(hostname) complains" >&2; exec sleep 10000' >/dev/null
eventually 40 "six tasks" runs talk 6
complete() { on 1 service logs talk >"$out" 2>"$out.err" && has "$out" 'says [123]$' 18 && has "$out.err" 'complains$' 6; }
eventually 20 "all lines at once" complete
is "nodes with lines" 3 "$(grep -oE '@node[123] ' "$out" | sort -u | wc -l)"
grep -qE '^talk\.[1-6]\.[a-z0-9]{12}@node[123] +\| talk\.[1-6] says 1$' "$out" || fail "the form of a line: $(head -1 "$out")"
squeezed <"$out" >"$out.first"
for i in 1 2 3; do
  on $i service logs talk 2>/dev/null | squeezed >"$out.ours"
  cluster docker $i service logs talk 2>/dev/null | squeezed >"$out.theirs"
  diff "$out.first" "$out.ours" || fail "manager $i tells other lines"
  diff "$out.ours" "$out.theirs" || fail "docker's client prints other lines on node $i"
done
# The lines of one task are in their order, whatever comes between them.
for slot in 1 2 3 4 5 6; do
  is "the order of task $slot" "1 2 3" "$(docker service logs talk 2>/dev/null | grep -oE "talk\.$slot says [0-9]" | cut -d' ' -f3 | xargs)"
done

echo "== tail, since, timestamps, details, raw, one task"
is "tail 1 of six tasks" 6 "$(on 2 service logs --tail 1 talk 2>&1 | wc -l)"
is "tail 0" 0 "$(on 2 service logs --tail 0 talk 2>&1 | wc -l)"
on 3 service logs -t talk 2>/dev/null >"$out"
grep -qE '^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z talk\.' "$out" || fail "no timestamps: $(head -1 "$out")"
since=$(grep 'talk.4 says 2$' "$out" | cut -d' ' -f1)
is "since the second line of task 4" "2 3" "$(on 1 service logs --since "$since" talk 2>/dev/null | grep -oE 'talk\.4 says [0-9]' | cut -d' ' -f3 | xargs)"
is "until it" "1 2" "$(on 1 service logs --until "$since" talk 2>/dev/null | grep -oE 'talk\.4 says [0-9]' | cut -d' ' -f3 | xargs)"
is "raw lines" 18 "$(docker service logs --raw talk 2>/dev/null | grep -cE '^talk\.[1-6] says [123]$')"
for i in 1 2 3; do
  task=$(on 1 service ps --no-trunc --format '{{.ID}} {{.Node}}' talk | awk -v n=node$i '$2 == n {print $1; exit}')
  is "one task on node $i, for both clients" "3 3" \
    "$(on 1 service logs "$task" 2>/dev/null | grep -c says) $(docker service logs "$task" 2>/dev/null | grep -c says)"
done
curl -s --unix-socket "$(cluster sock 1 | sed s,unix://,,)" "http://d/services/talk/logs?stdout=1&details=1&tail=1" | tr -d '\0' |
  grep -aqE 'com\.docker\.swarm\.node\.id=[a-z0-9]{25},com\.docker\.swarm\.service\.id=[a-z0-9]{25},com\.docker\.swarm\.task\.id=[a-z0-9]{25} ' ||
  fail "the details of a line"
ctl service create -d --name screen --tty --constraint node.hostname==node2 busybox:latest sh -c 'echo on a screen; exec sleep 10000' >/dev/null
screen() { docker service logs --raw screen | grep -q '^on a screen'; }
eventually 30 "a terminal's lines, as they are" screen

echo "== followers hear of tasks that start on other nodes"
ctl service create -d --name moving --constraint node.hostname==node2 --stop-grace-period 1s busybox:latest \
  sh -c 'echo moved; exec sleep 10000' >/dev/null
eventually 30 "it to run" runs moving 1
on 1 service logs -f moving >"$out.ours" 2>&1 & ours=$!
cluster docker 3 service logs -f moving >"$out.theirs" 2>&1 & theirs=$!
eventually 10 "the first line" has "$out.ours" '@node2 +\| moved'
eventually 10 "the first line, for docker" has "$out.theirs" '@node2 +\| moved'
on 2 service update -d --constraint-rm node.hostname==node2 --constraint-add node.hostname==node3 moving >/dev/null
eventually 20 "the line of the other node" has "$out.ours" '^moving\.1\.[a-z0-9]{12}@node3 +\| moved'
eventually 20 "the line of the other node, for docker" has "$out.theirs" '@node3 +\| moved'
has "$out.ours" moved 2 || fail "lines came twice: $(cat "$out.ours")"
# A service that is removed has nothing more to tell: the stream ends by itself.
on 3 service rm moving >/dev/null
ended() { ! kill -0 $ours 2>/dev/null && ! kill -0 $theirs 2>/dev/null; }
eventually 20 "both followers to end with their service" ended
wait $ours || fail "our follower ended with $?: $(cat "$out.ours")"
wait $theirs || fail "docker's follower ended with $?: $(cat "$out.theirs")"

echo "== stacks"
cat >"$CLUSTER_DIR/stack.yml" <<'YML'
services:
  one:
    image: busybox:latest
    command: sh -c "echo one of $$(hostname); exec sleep 10000"
    stop_grace_period: 1s
    deploy: {mode: global}
  two:
    image: busybox:latest
    command: sh -c "echo two; exec sleep 10000"
    stop_grace_period: 1s
    deploy: {placement: {constraints: [node.hostname==node3]}}
YML
ctl stack deploy -c "$CLUSTER_DIR/stack.yml" --resolve-image never --wait --timeout 60s pair >/dev/null 2>&1
stack() { on 2 stack logs pair >"$out" 2>&1 && has "$out" '^pair_one\.[a-z0-9]+\.[a-z0-9]{12}@node[123] +\| one of ' 3 && has "$out" '^pair_two\.1\..*@node3 +\| two$'; }
eventually 20 "the lines of a stack" stack

echo "== a daemon that is started anew costs a follower nothing"
on 1 service logs -f --tail 1 talk >"$out.ours" 2>&1 & ours=$!
eventually 10 "the follower" has "$out.ours" complains 6
cluster stop 2 KILL
cluster start 2
answers() { cluster docker 2 ps -q; }
eventually 20 "node 2" answers
ctl service update -d --force talk >/dev/null
eventually 60 "the lines of the new tasks" has "$out.ours" 'says 3' 6
is "warnings" "" "$(grep warning "$out.ours" || true)"
kill $ours 2>/dev/null || true; wait $ours 2>/dev/null || true
eventually 40 "six tasks" runs talk 6

echo "== a dead node costs a warning"
on 1 service logs -f --tail 0 talk >"$out.follow" 2>&1 & ours=$!
cluster kill 3
start=$SECONDS
status=0; on 1 service logs talk >"$out.ours" 2>"$out.err" || status=$?
is "the status" 0 $status
[ $((SECONDS - start)) -le 20 ] || fail "a dead node was waited for $((SECONDS - start)) s"
grep -qE '^talk\.[1-6]\.[a-z0-9]{12}@node3 +\| warning: incomplete log stream: node3 is not available \(.*\): the lines of talk\.' "$out.err" ||
  fail "no warning: $(cat "$out.err")"
[ "$(grep -c '@node[12] .* says 3' "$out.ours")" -ge 4 ] || fail "the rest is missing: $(cat "$out.ours")"
is "lines of the dead node" 0 "$(grep -c '@node3 .* says' "$out.ours" || true)"
down() { on 1 node ls --format '{{.Hostname}} {{.Status}}' | grep -q 'node3 Down'; }
eventually 20 "it to be known as down" down
for i in 1 2; do
  start=$SECONDS
  status=0; cluster docker $i service logs talk >"$out.theirs" 2>"$out.err" || status=$?
  is "docker's status" 0 $status
  [ $((SECONDS - start)) -le 10 ] || fail "a node that is down was waited for $((SECONDS - start)) s"
  grep -qE '@node3 +\| warning: incomplete log stream: node3 is not available \(it is down\)' "$out.err" || fail "docker shows no warning: $(cat "$out.err")"
done
eventually 20 "the follower to be warned" has "$out.follow" 'warning: incomplete log stream: node3 '
kill -0 $ours || fail "the follower ended"
status=0; on 2 stack logs pair >"$out.ours" 2>&1 || status=$?
is "the stack's status" 0 $status
grep -q 'pair_two.*warning: incomplete log stream: node3' "$out.ours" || fail "the stack's logs say nothing of the dead node: $(cat "$out.ours")"
kill $ours 2>/dev/null || true; wait $ours 2>/dev/null || true
