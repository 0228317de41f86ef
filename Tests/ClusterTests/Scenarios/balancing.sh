# Names, balancing and publishing, first by docker and then by swarmctl: §"How it is shown" 2.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
for client in docker ctl; do
  echo "== by $client"
  $client network create -d overlay app >/dev/null
  $client service create -d --name web --replicas 3 --network app -p 8080:80 busybox:latest sh -c "$who" >/dev/null 2>&1
  $client service create -d --name box --network app busybox:latest sleep 10000 >/dev/null 2>&1
  eventually 20 "3 replicas" runs web 3
  eventually 20 "the box" runs box 1
  vip=$(ask box.1 web)
  is "one virtual address" 1 "$(wc -l <<<"$vip")"
  is "addresses of tasks.web" 3 "$(ask box.1 tasks.web | sort -u | wc -l)"
  is "PTR of the virtual address" web.app. "$(ask box.1 -x "$vip")"
  ask box.1 -x "$(ask box.1 web.2)" | grep -q '^web\.2\..*\.app\.$' || fail "PTR of a task"
  is "AAAA" "" "$(ask box.1 AAAA web)"
  answers=$(cluster enter 1 box.1 curl -sS -m 20 -H 'Connection: close' "http://$vip/cgi-bin/who?[1-300]")
  is "answers" 300 "$(wc -l <<<"$answers")"
  own=$(ask box.1 box.1)
  is "clients seen" "$own" "$(awk '{print $2}' <<<"$answers" | sort -u)"
  while read -r count host; do
    [ "$count" -ge 75 ] && [ "$count" -le 126 ] || fail "$host answered $count of 300"
  done < <(awk '{print $1}' <<<"$answers" | sort | uniq -c)
  is "replicas that answered" 3 "$(awk '{print $1}' <<<"$answers" | sort -u | wc -l)"
  outside=$(cluster client curl -sS -m 20 -H 'Connection: close' "http://198.18.0.11:8080/cgi-bin/who?[1-90]")
  is "answers outside" 90 "$(wc -l <<<"$outside")"
  is "client seen outside" 198.18.0.200 "$(awk '{print $2}' <<<"$outside" | sort -u)"
  is "replicas outside" 3 "$(awk '{print $1}' <<<"$outside" | sort -u | wc -l)"
  cluster run 1 curl -sS -m 5 http://127.0.0.1:8080/cgi-bin/who >/dev/null || fail "the port is closed on loopback"
  # A task that reaches itself by its own virtual address.
  is "own virtual address" 30 "$(cluster enter 1 web.1 curl -sS -m 10 -H 'Connection: close' "http://$vip/cgi-bin/who?[1-30]" | wc -l)"
  $client service rm web box >/dev/null
  eventually 20 "nothing to be left" bash -c "[ -z \"\$('$root/Scripts/cluster' docker 1 ps -aq)\" ]"
  cluster client curl -sS -m 2 http://198.18.0.11:8080/ >/dev/null 2>&1 && fail "the port is still open"
  $client network rm app >/dev/null
done
