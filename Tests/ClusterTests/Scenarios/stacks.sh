# Stack files: every example of Compose/ deployed, planned, changed, rolled back and removed on three nodes; a config
# changed under load; the stock client's stack verbs beside ours.
source "$(dirname "$0")/common.sh"
here=$(cd "$(dirname "$0")" && pwd)
cluster up 3 >/dev/null
stack() { ctl stack "$@"; }
# status EXPECTED WHAT CMD...: how CMD ends; its words are in $CLUSTER_DIR/out.
status() {
  local expected=$1 what=$2 found=0; shift 2
  "$@" >"$CLUSTER_DIR/out" 2>&1 || found=$?
  [ "$found" = "$expected" ] || fail "$what: status $found instead of $expected: $(tail -20 "$CLUSTER_DIR/out")"
}
said() { grep -qE "$1" "$CLUSTER_DIR/out" || fail "expected words like '$1', found: $(cat "$CLUSTER_DIR/out")"; }
# Everything a stack may leave in the swarm, ours and the stock client's view, and its containers.
left() {
  local label=label=com.docker.stack.namespace=$1 kind
  for kind in service secret config network; do docker "$kind" ls -q --filter "$label"; done
  ctl config ls -q --filter "$label"
  for i in 1 2 3; do cluster docker "$i" ps -aq --filter "$label"; done
}
gone() { [ -z "$(left "$1")" ]; }

# example NAME CHANGE FILES...: the whole life of a stack; CHANGE is NAME=VALUE of the environment.
example() {
  local name=$1 change=$2 files=() file; shift 2
  for file in "$@"; do files+=(-c "$file"); done
  echo "== $name"
  status 2 "$name: the plan before" stack plan "${files[@]}" --resolve-image never "$name"
  status 0 "$name: deploy" stack deploy "${files[@]}" --resolve-image never --wait --timeout 60s "$name"
  status 0 "$name: the plan after" stack plan "${files[@]}" --resolve-image never "$name"
  status 0 "$name: deploy again" stack deploy "${files[@]}" --resolve-image never --wait "$name"
  [ ! -s "$CLUSTER_DIR/out" ] || fail "$name: deploying the same did something: $(cat "$CLUSTER_DIR/out")"
  status 2 "$name: the plan of a change" env "$change" "$root/Scripts/cluster" ctl 1 stack plan "${files[@]}" --resolve-image never "$name"
  said '^~ service'
  env "$change" "$root/Scripts/cluster" ctl 1 stack plan --format json "${files[@]}" --resolve-image never "$name" >"$CLUSTER_DIR/plan" && fail "$name: no status 2"
  grep -q '"Action":"update"' "$CLUSTER_DIR/plan" || fail "$name: the plan as JSON: $(cat "$CLUSTER_DIR/plan")"
  status 0 "$name: deploy the change" env "$change" "$root/Scripts/cluster" ctl 1 stack deploy "${files[@]}" --resolve-image never --wait --timeout 60s "$name"
  status 2 "$name: the plan of the first file" stack plan "${files[@]}" --resolve-image never "$name"
  is "$name: revisions" 2 "$(stack history -q "$name" | wc -l)"
  status 0 "$name: diff" stack diff "$name" 1 2
  said '^~ service'
  is "$name: services for both clients" "$(docker stack services --format '{{.Name}} {{.Replicas}}' "$name" | sort)" \
    "$(stack services --format '{{.Name}} {{.Replicas}}' "$name" | sort)"
  is "$name: tasks for both clients" "$(docker stack ps -q --no-trunc "$name" | sort)" "$(stack ps -q --no-trunc "$name" | sort)"
  is "$name: stacks for both clients" "$(docker stack ls --format '{{.Name}} {{.Services}}')" "$(stack ls --format '{{.Name}} {{.Services}}')"
  status 0 "$name: rollback" stack rollback --wait --timeout 60s "$name"
  status 0 "$name: the plan after the rollback" stack plan "${files[@]}" --resolve-image never "$name"
  is "$name: revisions after" "3 2 1" "$(stack history -q "$name" | xargs)"
}
# logged STACK PATTERN: some task of the stack has written such a line, wherever it runs.
logged() {
  stack logs "$1" >"$CLUSTER_DIR/logs" 2>&1
  grep -qE "$2" "$CLUSTER_DIR/logs"
}
# removed NAME: nothing of it stays.
removed() {
  status 0 "$1: rm" stack rm --wait --timeout 60s "$1"
  gone "$1" || fail "$1: left behind: $(left "$1")"
}

export DB_PASSWORD=hush-hush
shop=("$root/Compose/shop/stack.yml" "$here/stacks/shop.yml")
example shop RELEASE=2 "${shop[@]}"
answer() { cluster client curl -sS -m 5 http://198.18.0.11:8080/cgi-bin/shop; }
answer | grep -q "^tables made with 9 bytes" || fail "the shop does not answer: $(answer)"
answer | grep -q "^release 1" || fail "the rollback did not reach the shop: $(answer)"
# What was not asked for is refused in words, and nothing is changed.
status 1 "a secret that is not set" env -u DB_PASSWORD "$root/Scripts/cluster" ctl 1 stack deploy -c "${shop[0]}" shop
said 'secrets.db-password.environment: the variable DB_PASSWORD is not set'

echo "== a config changed 20 times under load"
mkdir -p "$CLUSTER_DIR/shop"; cp "${shop[0]}" "$CLUSTER_DIR/shop/stack.yml"; cp "$here/stacks/shop.yml" "$CLUSTER_DIR/shop/offline.yml"
ask_all() { # every node's published port in turn, a line for each answer
  while [ ! -e "$CLUSTER_DIR/enough" ]; do
    cluster client curl -sS -m 5 -o /dev/null -w '%{http_code}\n' 'http://198.18.0.1[1-3]:8080/cgi-bin/shop' 2>&1 || echo failed
  done
}
ask_all >"$CLUSTER_DIR/load" &
load=$!
for version in $(seq 20); do
  { cat "$root/Compose/shop/proxy.conf"; echo "# version $version"; } >"$CLUSTER_DIR/shop/proxy.conf"
  status 0 "version $version" stack deploy -c "$CLUSTER_DIR/shop/stack.yml" -c "$CLUSTER_DIR/shop/offline.yml" --resolve-image never --wait --timeout 60s shop
  said "^Creating config shop_proxy\.[0-9]+"
done
touch "$CLUSTER_DIR/enough"; wait $load || true
is "failed requests of $(wc -l <"$CLUSTER_DIR/load")" "" "$(grep -vx 200 "$CLUSTER_DIR/load" | xargs)"
[ "$(wc -l <"$CLUSTER_DIR/load")" -ge 100 ] || fail "there was no load: $(wc -l <"$CLUSTER_DIR/load") requests"
answer | grep -qx '# version 20' || fail "the newest version is not there: $(answer)"
is "revisions" 10 "$(stack history -q shop | wc -l)"
# Ten revisions need ten versions, the rest is gone; what keeps revisions is in nobody's way.
# The first version is the example's; the revisions that are kept are of the last ten.
is "versions" "$(seq -f 'shop_proxy.%g' 12 21 | xargs)" "$(docker config ls --format '{{.Name}}' | grep '^shop_proxy' | sort -V | xargs)"
is "what keeps revisions" 10 "$(ctl config ls -q --filter label=com.swarmd.stack.revision | wc -l)"
is "other configs" 10 "$(docker config ls -q | wc -l)"
status 0 "rollback over nine" stack rollback --to "$(stack history -q shop | tail -1)" --wait --timeout 60s shop
answer | grep -qx '# version 11' || fail "the rollback brought another version: $(answer)"
logged shop 'shop_worker.*tables made' || fail "the logs of the stack: $(cat "$CLUSTER_DIR/logs")"
removed shop
is "configs of anybody" "" "$(docker config ls -q)$(ctl config ls -q)$(ctl config ls -q --filter label=com.swarmd.stack.revision)"

monitoring=("$root/Compose/monitoring/stack.yml" "$here/stacks/monitoring.yml")
example monitoring ALERT_URL=http://198.18.0.200/ "${monitoring[@]}"
eventually 20 "three exporters found by DNS" logged monitoring 'prometheus.*up 3$'
removed monitoring

example agent LOG_TARGET=elsewhere "$root/Compose/agent.yml" "$here/stacks/agent.yml"
is "agents" 3 "$(running agent_shipper)"
removed agent

example report REPORT_MONTH=june "$root/Compose/job.yml"
logged report 'report for june by run [123]$' || fail "the job's logs: $(cat "$CLUSTER_DIR/logs")"
removed report

echo "== the stock client"
cat >"$CLUSTER_DIR/stock.yml" <<'YML'
services:
  web:
    image: busybox:latest
    command: sleep 10000
    stop_grace_period: 1s
    configs: [c]
    secrets: [s]
    ports: ["8081:80"]
configs: {c: {file: ./c}}
secrets: {s: {file: ./s}}
YML
echo one >"$CLUSTER_DIR/c"; echo hush >"$CLUSTER_DIR/s"
status 0 "docker stack deploy" docker stack deploy --detach=false --resolve-image never -c "$CLUSTER_DIR/stock.yml" stock
before=$(docker service ps -q stock_web)
# What the stock client deployed is ours to go on with: nothing differs, nothing restarts.
status 0 "our plan of its stack" stack plan -c "$CLUSTER_DIR/stock.yml" --resolve-image never stock
status 0 "docker stack deploy again" docker stack deploy --detach=true --resolve-image never -c "$CLUSTER_DIR/stock.yml" stock
is "its tasks after deploying again" "$before" "$(docker service ps -q stock_web)"
echo two >"$CLUSTER_DIR/c"; echo hush2 >"$CLUSTER_DIR/s"
status 1 "its own refusal of changed data" docker stack deploy --detach=true --resolve-image never -c "$CLUSTER_DIR/stock.yml" stock
said 'only updates to Labels are allowed'
status 0 "ours takes changed data" stack deploy --wait -c "$CLUSTER_DIR/stock.yml" --resolve-image never stock
is "the versions" "stock_c stock_c.2" "$(docker config ls --format '{{.Name}}' | sort | xargs)"
is "the secret's versions" "stock_s stock_s.2" "$(docker secret ls --format '{{.Name}}' | sort | xargs)"
status 0 "docker stack rm" docker stack rm stock
eventually 20 "nothing of it to be left" gone stock

echo "== half a deployment"
docker service create -d --name holder -p 8082:80 busybox:latest sleep 10000 >/dev/null 2>&1
cat >"$CLUSTER_DIR/half.yml" <<'YML'
services:
  first: {image: "busybox:latest", command: sleep 10000, stop_grace_period: 1s}
  second: {image: "busybox:latest", command: sleep 10000, stop_grace_period: 1s, ports: ["8082:80"], depends_on: [first]}
  third: {image: "busybox:latest", command: sleep 10000, stop_grace_period: 1s, depends_on: [second]}
YML
status 1 "a port that is taken" stack deploy -c "$CLUSTER_DIR/half.yml" --resolve-image never half
said "service half_second: .*port '8082' is already in use"
said 'created service half_first'
said 'half_third was not begun: it waits for second to be started'
docker service rm holder >/dev/null
status 0 "deployed again, it goes on" stack deploy -c "$CLUSTER_DIR/half.yml" --resolve-image never --wait --timeout 60s half
grep -q 'Creating service half_first' "$CLUSTER_DIR/out" && fail "the first was made twice"
cat >"$CLUSTER_DIR/never.yml" <<'YML'
services:
  never: {image: "busybox:latest", command: sleep 10000, healthcheck: {test: "false", interval: 1s}}
  after: {image: "busybox:latest", command: sleep 10000, depends_on: {never: {condition: service_healthy}}}
YML
status 4 "what never becomes healthy" stack deploy -c "$CLUSTER_DIR/never.yml" --resolve-image never --timeout 4s never
said 'never_after was not begun: it waits for never to be healthy'
status 130 "a deployment that is interrupted" timeout --preserve-status -s INT 3 \
  "$root/Scripts/cluster" ctl 1 stack deploy -c "$CLUSTER_DIR/never.yml" --resolve-image never --wait never
said 'interrupted'
said 'never_after was not begun'
cat >"$CLUSTER_DIR/fails.yml" <<'YML'
services:
  fails: {image: "busybox:latest", command: "false", deploy: {restart_policy: {condition: none}}}
YML
status 3 "what ends with an error" stack deploy -c "$CLUSTER_DIR/fails.yml" --resolve-image never --wait --timeout 60s fails
said 'fails_fails'
status 0 "it is removed" stack rm --wait --timeout 60s fails
cat >"$CLUSTER_DIR/stubborn.yml" <<'YML'
services:
  stubborn: {image: "busybox:latest", command: sleep 10000, stop_grace_period: 8s}
YML
status 0 "what stops slowly" stack deploy -c "$CLUSTER_DIR/stubborn.yml" --resolve-image never --wait --timeout 60s stubborn
status 4 "a removal that takes longer than its time" stack rm --wait --timeout 1s stubborn
said 'tasks have not ended; remove again to go on from here'
status 0 "removed again" stack rm --wait --timeout 60s stubborn
gone stubborn || fail "left: $(left stubborn)"
status 1 "a file that is not there" stack deploy -c "$CLUSTER_DIR/nothing.yml" nothing
said 'no such file or directory'
status 0 "two stacks removed" stack rm --wait half never
gone half && gone never || fail "left: $(left half) $(left never)"
