# Lists of a full store, and creates under many followers. Sourced by Scripts/bench.

lists_services=1000 lists_tasks=10000 fill_seconds_max=180
# fill ENGINE: services without replicas, and ten whose tasks find no node; an engine that is slower holds fewer.
fill() {
  local from=$SECONDS
  python3 "$here/bench.d/fill.py" "$(sock "$1")" $lists_services $lists_tasks $fill_seconds_max >"$dir/$1/filled" ||
    die "$1 does not take the objects: $(cat "$dir/$1/filled")"
  say "$1 holds $(cat "$dir/$1/filled") after $((SECONDS - from)) s"
}
# listed METRIC ENGINE PATH N TIMES: the time and the daemon's CPU of an answer, for N of what it lists, as samples.
listed() {
  local metric=$1 engine=$2 path=$3 wanted=$4 times=$5 from cpu count; shift 5
  count=$(api "$engine" GET "$path" | jq 'if type == "array" then length else 1 end')
  cpu=$(process_cpu "$(pid_of "$engine")") from=$(now_us)
  for _ in $(seq "$times"); do curl -sS -m 120 -o "$dir/$engine/answer" --unix-socket "$(sock "$engine")" "http://d$path"; done
  awk -v m="$metric" -v e="$engine" -v n="$times" -v us="$(($(now_us) - from))" -v cpu="$(($(process_cpu "$(pid_of "$engine")") - cpu))" \
    -v scale="$(awk -v a="$wanted" -v b="$count" 'BEGIN { print a / b }')" \
    'BEGIN { printf "%s,%s,%.2f\n%s-cpu,%s,%.2f\n", m, e, us / n / 1000 * scale, m, e, cpu / n / 1000 * scale }' >>"$raw"
}
# The client's own list, as a user sees it; the same client asks both.
client_ms() {
  local from; from=$(now_us)
  docker -H "unix://$(sock "$1")" service ls >"$dir/$1/listed"
  awk -v e="$1" -v us="$(($(now_us) - from))" -v scale="$(awk -v a=$lists_services -v b="$(($(wc -l <"$dir/$1/listed") - 1))" 'BEGIN { print a / b }')" \
    'BEGIN { printf "service-ls,%s,%.1f\n", e, us / 1000 * scale }' >>"$raw"
}
measure_lists() {
  local r engine
  for engine in "${engines[@]}"; do fill "$engine"; done
  for r in 1 2 3 4 5; do
    for engine in $(order "$r"); do
      client_ms "$engine"
      listed services "$engine" "/services?status=true" $lists_services 5
      listed tasks "$engine" /tasks $lists_tasks 5
      listed tasks-of-one "$engine" "/tasks?filters=%7B%22service%22%3A%5B%22full1%22%5D%7D" 1000 5
      listed inspect "$engine" /services/empty1 1 50
      listed inspect-task "$engine" "/tasks/$(awk '{ print $NF }' "$dir/$engine/filled")" 1 50
    done
  done
  row "docker service ls, $lists_services services" "ms p50" "$(median service-ls ours)" "$(median service-ls docker)" - faster 1
  local name metric
  for metric in services tasks tasks-of-one inspect inspect-task; do
    case $metric in
      services) name="list of $lists_services services with counts" ;;
      tasks) name="list of $lists_tasks tasks" ;;
      tasks-of-one) name="list of 1000 tasks of one service" ;;
      inspect) name="inspect of a service" ;;
      inspect-task) name="inspect of a task" ;;
    esac
    row "$name" "ms p50" "$(median $metric ours)" "$(median $metric docker)" - faster 1
    if [ $metric = tasks ]; then
      row "  daemon's CPU" "ms p50" "$(median $metric-cpu ours)" "$(median $metric-cpu docker)" - at-most 150
    else
      row "  daemon's CPU" "ms p50" "$(median $metric-cpu ours)" "$(median $metric-cpu docker)" - less 0
    fi
  done
}

# Creates one after another with a pause between, without and with a thousand followers of events or of a quiet log.
followers_count=1000
measure_followers() {
  local engine kind
  for engine in "${engines[@]}"; do
    create "$engine" quiet 1 >/dev/null; await "$engine" quiet 1 60 0.1
    for kind in events logs; do
      python3 "$here/bench.d/followers.py" "$(sock "$engine")" $kind $followers_count |
        awk -v e="$engine" '{ print $1 "," e "," $2 }' >>"$raw" || die "$engine: the creates under followers failed"
    done
    remove "$engine" quiet
  done
  for kind in events logs; do
    row "create alone, before $kind" "ms p50" "$(median create-without-$kind ours)" "$(median create-without-$kind docker)" - less 0
    row "  with $followers_count followers of $kind" "ms p50" "$(median create-with-$kind ours)" "$(median create-with-$kind docker)" - less 0
    row "  with against without" "ratio p50" "$(median create-ratio-$kind ours)" "$(median create-ratio-$kind docker)" - at-most 1.1
  done
}
