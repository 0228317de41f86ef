# A hundred tasks on one node, all of them in the names over TCP: §"How it is shown" 5.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
docker network create -d overlay app >/dev/null
docker service create -d --name web --network app busybox:latest sleep 10000 >/dev/null 2>&1
eventually 20 "the first task" runs web 1
docker service scale -d web=100 >/dev/null
eventually 120 "100 tasks" runs web 100
is "addresses over TCP" 100 "$(ask web.1 +tcp tasks.web | sort -u | wc -l)"
is "addresses over UDP, cut and asked again" 100 "$(ask web.1 +noedns tasks.web | sort -u | wc -l)"
cluster enter 1 web.1 dig +noedns +ignore tasks.web @127.0.0.11 | grep -q 'flags: qr tc' || fail "the cut answer does not say so"
docker service scale -d web=1 >/dev/null
eventually 60 "one task" runs web 1
eventually 60 "one container" bash -c "[ \$('$root/Scripts/cluster' docker 1 ps -aq | wc -l) = 1 ]"
