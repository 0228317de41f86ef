# The measurements. Sourced by Scripts/bench; every sample goes to $raw, every figure to the table.

sample() { echo "$1,$2,$3" >>"$raw"; }
median() { # of a metric's samples of one engine; "-" without any
  awk -F, -v m="$1" -v e="$2" '$1 == m && $2 == e { print $3 }' "$raw" | sort -g |
    awk '{ a[NR] = $1 } END { if (!NR) print "-"; else if (NR % 2) print a[(NR + 1) / 2]; else print (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}
table=()
# row NAME UNIT OURS RIVAL FLOOR COMPARISON BAR: the comparison is faster|higher|most-of-floor|at-most|info.
row() {
  local ratio verdict
  read -r ratio verdict < <(awk -v o="$3" -v r="$4" -v f="$5" -v c="$6" -v b="$7" 'BEGIN {
    if (o == "-") { print "- -"; exit }
    if (c == "at-most") { printf "%.2f %s\n", o / b, (o <= b ? "pass" : "FAIL"); exit }
    x = c == "of-floor" ? f : r
    if (x == "-" || x == 0 || o == 0) { print "- -"; exit }
    ratio = (c == "faster" || c == "less") ? x / o : o / x
    printf "%.2f %s\n", ratio, (c == "less" ? "-" : (ratio >= b ? "pass" : "FAIL")) }')
  local bar=$7
  [ "$6" = at-most ] && bar="<= $7"
  case $6 in faster | higher | of-floor) bar=">= ${7}x" ;; less) bar="-" ;; esac
  table+=("$1 [$2]|$(round "$3")|$(round "$4")|$(round "$5")|$ratio|$bar|$verdict")
}
round() { [ "$1" = - ] && echo - || awk -v x="$1" 'BEGIN { printf (x < 10 ? "%.3g\n" : "%.0f\n"), x }'; }
print_table() {
  { echo "metric|ours|Docker 20.10|floor|ratio|bar|verdict"; printf '%s\n' "${table[@]}"; } | column -t -s '|'
}

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
# Microseconds since 1970 of each RFC 3339 time on standard input.
stamps() { date -f - +%s%N | while read -r t; do echo "${t:0:-3}"; done; }

# create ENGINE NAME REPLICAS: prints the service's id.
create() {
  local mode=vip answer; [ "$1" = ours ] || mode=dnsrr
  answer=$(api "$1" POST /services/create "{\"Name\":\"$2\",\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"busybox:latest\",
    \"Args\":[\"sleep\",\"1000000\"],\"StopSignal\":\"SIGKILL\"},\"Networks\":[{\"Target\":\"bench\"}]},
    \"Mode\":{\"Replicated\":{\"Replicas\":$3}},\"EndpointSpec\":{\"Mode\":\"$mode\"}}")
  jq -er .ID <<<"$answer" || die "$1 does not create $2: $answer"
}
tasks_of() { curl -sS -m 60 -G --unix-socket "$(sock "$1")" --data-urlencode "filters={\"service\":[\"$2\"]}" http://d/tasks; }
# await ENGINE SERVICE N SECONDS INTERVAL: until N tasks run.
await() {
  local deadline=$((SECONDS + $4))
  until [ "$(tasks_of "$1" "$2" | jq '[.[] | select(.Status.State == "running")] | length')" = "$3" ]; do
    [ $SECONDS -lt $deadline ] || {
      tasks_of "$1" "$2" | jq -c '.[] | [.Slot, .Status.State, .Status.Err]' | head -5 >&2
      die "$1: $3 tasks of $2 did not run within $4 s"
    }
    sleep "$5"
  done
}
no_containers() { [ "$(api "$1" GET '/containers/json?all=1' | jq length)" = 0 ]; }
remove() { api "$1" DELETE "/services/$2" >/dev/null; wait_for 120 "$1 to remove $2" no_containers "$1"; }
# Milliseconds from the service's creation to its last task's running, by the engine's own time stamps.
start_ms() {
  { api "$1" GET "/services/$2" | jq -r .CreatedAt; tasks_of "$1" "$2" | jq -r '.[].Status.Timestamp'; } | stamps |
    awk 'NR == 1 { from = $1; next } $1 > to { to = $1 } END { printf "%.1f\n", (to - from) / 1000 }'
}
# Milliseconds from the service's creation to the birth of its container's process, by the kernel's clock.
birth_ms() {
  local container pid born created
  container=$(tasks_of "$1" "$2" | jq -r '.[0].Status.ContainerStatus.ContainerID')
  pid=$(api "$1" GET "/containers/$container/json" | jq -r .State.Pid)
  created=$(api "$1" GET "/services/$2" | jq -r .CreatedAt | stamps)
  born=$(awk -v hz="$(getconf CLK_TCK)" -v now="$(now_us)" -v up="$(cut -d' ' -f1 /proc/uptime)" \
    '{ sub(/.*\) /, ""); printf "%.0f\n", now - (up - $20 / hz) * 1000000 }' "/proc/$pid/stat")
  awk -v a="$created" -v b="$born" 'BEGIN { printf "%.0f\n", (b - a) / 1000 }'
}
# Engines in an order that turns round with every round: A B, B A, A B...
order() {
  if [ $(($1 % 2)) = 1 ] || [ ${#engines[@]} = 1 ]; then echo "${engines[@]}"; else echo docker ours; fi
}

# floor_start COUNT METRIC ROUNDS: COUNT bare runs of runc, two at a time, on the same files.
floor_start() {
  local bundle=$dir/floor r from; mkdir -p "$bundle/rootfs"; make_root "$bundle/rootfs"
  ( cd "$bundle" && rm -f config.json && runc spec &&
    jq '.process.terminal = false | .process.args = ["true"]' config.json >c && mv c config.json )
  for r in $(seq "$3"); do
    from=$(now_us)
    seq "$1" | xargs -P 2 -I{} runc --root "$dir/floor-state" run --bundle "$bundle" "bench-floor-$r-{}"
    sample "$2" floor "$(awk -v a="$from" -v b="$(now_us)" 'BEGIN { printf "%.1f\n", (b - a) / 1000 }')"
  done
}

measure_start() {
  local r engine
  for engine in "${engines[@]}"; do create "$engine" warm 1 >/dev/null; await "$engine" warm 1 60 0.1; remove "$engine" warm; done
  for r in $(seq "$rounds"); do
    for engine in $(order "$r"); do
      create "$engine" "one$r" 1 >/dev/null
      await "$engine" "one$r" 1 60 0.05
      sample start "$engine" "$(start_ms "$engine" "one$r")"
      sample birth "$engine" "$(birth_ms "$engine" "one$r")"
      remove "$engine" "one$r"
    done
  done
  floor_start 1 start "$rounds"
  row "create to running, 1 replica" "ms p50" "$(median start ours)" "$(median start docker)" "$(median start floor)" faster 3
  row "  of it, to its process's birth" "ms p50" "$(median birth ours)" "$(median birth docker)" - less 0
}

# batch METRIC: 40 replicas in every engine, rounds40 times, with what they cost in CPU.
batch() {
  local r engine own all
  for r in $(seq "$rounds40"); do
    for engine in $(order "$r"); do
      own=$(process_cpu "$(pid_of "$engine")") all=$(group_cpu "$engine")
      create "$engine" "forty$r" 40 >/dev/null
      await "$engine" "forty$r" 40 180 0.25
      own=$(($(process_cpu "$(pid_of "$engine")") - own)) all=$(($(group_cpu "$engine") - all))
      sample start40 "$engine" "$(start_ms "$engine" "forty$r")"
      sample cpu-daemon "$engine" "$(awk -v x="$own" 'BEGIN { printf "%.2f\n", x / 40000 }')"
      sample cpu-rest "$engine" "$(awk -v x="$((all - own))" 'BEGIN { printf "%.2f\n", x / 40000 }')"
      remove "$engine" "forty$r"
    done
  done
  batched=1
}
measure_start40() {
  [ -n "${batched:-}" ] || batch
  floor_start 40 start40 2
  row "create to running, 40 replicas" "ms p50" "$(median start40 ours)" "$(median start40 docker)" "$(median start40 floor)" faster 3
}
measure_cpu() {
  [ -n "${batched:-}" ] || batch
  row "daemon's CPU a started task" "ms" "$(median cpu-daemon ours)" "$(median cpu-daemon docker)" - less 0
  row "containerd's, shims' and runc's" "ms" "$(median cpu-rest ours)" "$(median cpu-rest docker)" - less 0
}

rss_mib() { awk '$1 == "VmRSS:" { printf "%.1f\n", $2 / 1024 }' "/proc/$1/status"; }
pss_mib() { awk '$1 == "Pss:" { printf "%.1f\n", $2 / 1024 }' "/proc/$1/smaps_rollup"; }
measure_rest() {
  local engine pid before=() i=0
  for engine in "${engines[@]}"; do create "$engine" rest 10 >/dev/null; await "$engine" rest 10 90 0.1; done
  sleep 15
  for engine in "${engines[@]}"; do before+=("$(process_cpu "$(pid_of "$engine")")"); done
  sleep 30
  for engine in "${engines[@]}"; do
    pid=$(pid_of "$engine")
    sample rest-cpu "$engine" "$(awk -v a="${before[i]}" -v b="$(process_cpu "$pid")" 'BEGIN { printf "%.3f\n", (b - a) / 300000 }')"
    sample rest-rss "$engine" "$(rss_mib "$pid")"
    sample rest-pss "$engine" "$(pss_mib "$pid")"
    i=$((i + 1))
    remove "$engine" rest
  done
  row "daemon at rest, 10 tasks: RSS" "MiB" "$(median rest-rss ours)" "$(median rest-rss docker)" - at-most 60
  row "  its proportional share (PSS)" "MiB" "$(median rest-pss ours)" "$(median rest-pss docker)" - less 0
  row "daemon at rest, 10 tasks: CPU" "% of a core" "$(median rest-cpu ours)" "$(median rest-cpu docker)" - at-most 1
}

# The process of a service's first task, whose namespace the load is made in.
task_pid() {
  local container; container=$(tasks_of "$1" "$2" | jq -r '[.[] | select(.Status.State == "running")][0].Status.ContainerStatus.ContainerID')
  api "$1" GET "/containers/$container/json" | jq -r .State.Pid
}
pin() { taskset -a -p -c "$2" "$1" >/dev/null; }
# ask WHO SERVER-PID NAMESPACE ADDRESS: one run of dnsperf, as samples.
ask() {
  local who=$1 pid=$2 space=$3 address=$4 before out busy
  before=$(process_cpu "$pid")
  out=$(nsenter --net="$space" taskset -c 1 dnsperf -s "$address" -d "$dir/queries" -l 4 -c 8 -T 1 -q 64 2>/dev/null)
  busy=$(($(process_cpu "$pid") - before))
  awk -v who="$who" -v busy="$busy" '/Queries completed:/ { done = $3 } /Queries lost:/ { lost = $3 } /Run time/ { time = $4 }
    /Queries per second:/ { qps = $4 } /NOERROR/ { ok = 1 }
    END { if (!ok || lost > done / 100) exit 1; printf "dns,%s,%d\ndns-us,%s,%.2f\ndns-busy,%s,%.0f\n", who, qps, who, busy / done, who, busy / time / 10000 }' \
    <<<"$out" >>"$raw" || die "$who: dnsperf was not answered: $(grep -E 'Response codes|lost' <<<"$out" | tr -s ' \n' ' ')"
}
start_unbound() {
  ip netns add bench-floor; ip -n bench-floor link set lo up
  printf '%s\n' "server:" "  interface: 127.0.0.1" "  do-daemonize: no" "  use-syslog: no" "  username: \"\"" "  chroot: \"\"" \
    "  directory: \"$dir\"" "  pidfile: \"\"" "  num-threads: 1" "  do-not-query-localhost: no" "  local-zone: \"web.\" static" \
    "  local-data: \"web. 5 IN A 10.0.1.2\"" "remote-control:" "  control-enable: no" >"$dir/unbound.conf"
  ( join_cgroup ours; exec setsid nsenter --net=/run/netns/bench-floor taskset -c 0 unbound -c "$dir/unbound.conf" ) \
    </dev/null >"$dir/unbound.log" 2>&1 9>&- &
  unbound_pid=$!
  wait_for 10 "unbound" nsenter --net=/run/netns/bench-floor busybox nslookup web 127.0.0.1
}
measure_dns() {
  local r engine who; echo "web A" >"$dir/queries"
  declare -A pid space
  for engine in "${engines[@]}"; do
    create "$engine" web 1 >/dev/null; create "$engine" asker 1 >/dev/null
    await "$engine" web 1 60 0.1; await "$engine" asker 1 60 0.1
    pid[$engine]=$(pid_of "$engine"); space[$engine]=/proc/$(task_pid "$engine" asker)/ns/net
    pin "${pid[$engine]}" 0
  done
  start_unbound
  pid[floor]=$unbound_pid space[floor]=/run/netns/bench-floor
  for r in 1 2 3 4 5 6; do
    for who in $([ $((r % 2)) = 1 ] && echo "${engines[@]}" floor || echo floor $(order 2)); do
      ask "$who" "${pid[$who]}" "${space[$who]}" "$([ "$who" = floor ] && echo 127.0.0.1 || echo 127.0.0.11)"
    done
  done
  kill "$unbound_pid"; wait "$unbound_pid" 2>/dev/null || true; ip netns del bench-floor
  for engine in "${engines[@]}"; do
    pin "${pid[$engine]}" "0-$(($(nproc) - 1))"
    api "$engine" DELETE /services/web >/dev/null; remove "$engine" asker
  done
  row "DNS, internal name, one core" "queries/s" "$(median dns ours)" "$(median dns docker)" "$(median dns floor)" higher 2
  row "  against unbound" "queries/s" "$(median dns ours)" - "$(median dns floor)" of-floor 0.95
  row "  server's CPU a query" "us" "$(median dns-us ours)" "$(median dns-us docker)" "$(median dns-us floor)" less 0
  row "  server's core in use" "%" "$(median dns-busy ours)" "$(median dns-busy docker)" "$(median dns-busy floor)" less 0
}

# Every run has a port of its own, so that no run meets the closed connections of another.
vip_rounds=6
start_nginx() { # in the namespace of process $1
  mkdir -p "$dir/nginx"
  { printf '%s\n' "worker_processes 1; daemon off; pid $dir/nginx/pid; error_log $dir/nginx/error.log;" \
      "events { worker_connections 4096; }" "http { access_log off; keepalive_timeout 0; server {"
    seq 8000 $((8000 + 2 * vip_rounds)) | sed 's/.*/listen & backlog=4096;/'
    echo "location / { return 200 ok; } } }"; } >"$dir/nginx/conf"
  ( join_cgroup ours; exec setsid nsenter --net="/proc/$1/ns/net" taskset -c 0 nginx -p "$dir/nginx" -c "$dir/nginx/conf" ) \
    </dev/null >"$dir/nginx/log" 2>&1 9>&- &
  nginx_pid=$!
}
connect() { # WHO NAMESPACE ADDRESS PORT: new connections, one request each
  local out; out=$(nsenter --net="$2" taskset -c 1 wrk -t 1 -c 16 -d 3s -H 'Connection: close' "http://$3:$4/")
  grep -q 'Non-2xx' <<<"$out" && die "$1: wrong answers from $3"
  sample vip "$1" "$(awk '/Requests\/sec/ { print $2 }' <<<"$out")"
  awk -v who="$1" '/Socket errors/ { gsub(",", ""); if ($4 + $6 + $8 + $10) print "bench: " who ": " $0 > "/dev/stderr" }' <<<"$out"
}
# forget_soon PID: connections that are closed leave the tables of its namespace and of our networks' after a second.
forget_soon() {
  local space key=/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait
  nsenter --net="/proc/$1/ns/net" bash -c "echo 1 >$key"
  for space in $(nsenter -t "$(cat "$dir/ours/holder")" -m find /run/swarmd -type f 2>/dev/null); do
    nsenter -t "$(cat "$dir/ours/holder")" -m nsenter --net="$space" bash -c "echo 1 >$key" 2>/dev/null || true
  done
}
measure_vip() {
  local web asker space address r who
  create ours web 1 >/dev/null; create ours asker 1 >/dev/null
  await ours web 1 60 0.1; await ours asker 1 60 0.1
  declare -A to
  to[direct]=$(tasks_of ours web | jq -r '.[0].NetworksAttachments[0].Addresses[0]' | cut -d/ -f1)
  to[ours]=$(api ours GET /services/web | jq -r '.Endpoint.VirtualIPs[0].Addr' | cut -d/ -f1)
  space=/proc/$(task_pid ours asker)/ns/net
  forget_soon "$(task_pid ours web)"; forget_soon "$(task_pid ours asker)"
  nsenter --net="$space" bash -c 'echo 10240 65535 >/proc/sys/net/ipv4/ip_local_port_range'
  start_nginx "$(task_pid ours web)"
  wait_for 10 "nginx through the service's address" nsenter --net="$space" curl -sf -m 2 "http://${to[ours]}:8000/"
  local port=8000
  for r in $(seq $vip_rounds); do
    for who in $([ $((r % 2)) = 1 ] && echo ours direct || echo direct ours); do
      port=$((port + 1)); connect "$who" "$space" "${to[$who]}" $port
    done
  done
  kill "$nginx_pid"; wait "$nginx_pid" 2>/dev/null || true
  api ours DELETE /services/web >/dev/null; remove ours asker
  row "new connections through the VIP" "1/s" "$(median vip ours)" - "$(median vip direct)" of-floor 0.9
}
