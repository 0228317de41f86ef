# What cannot work says why within a second, in the words of `service ps`; bad input changes nothing.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
# told SERVICE WORDS: some task of the service tells the cause.
told() { docker service ps --no-trunc --format '{{.Error}}' "$1" | grep -qF "$2"; }
create() { docker service create -d "$@" >/dev/null 2>&1; }
create --name noimage nosuch:1 true
eventually 2 "the missing image" told noimage 'No such image: nosuch:1'
create --name nocommand busybox:latest nosuchcommand
eventually 2 "the missing command" told nocommand 'nosuchcommand'
create --name nouser --user nobodyhere busybox:latest sleep 10
eventually 2 "the missing user" told nouser 'unable to find user nobodyhere'
create --name nomount --mount type=bind,src=/nosuch,dst=/x busybox:latest sleep 10
eventually 2 "the missing directory" told nomount 'bind source path does not exist: /nosuch'
create --name nonode --constraint node.labels.disk==ssd busybox:latest sleep 10
eventually 2 "no suitable node" told nonode 'no suitable node (scheduling constraints not satisfied on 1 node)'
create --name large --reserve-memory 900g busybox:latest sleep 10
eventually 2 "no resources" told large 'insufficient resources on 1 node'
# ends SERVICE STATE WORDS OPTIONS...: its task ends so, as Docker Engine 20.10 has it.
ends() {
  local name=$1 state=$2 words=$3; shift 3
  create --name "$name" --restart-condition none "$@"
  eventually 3 "$name: $state, $words" ended "$name" "$state" "$words"
}
ended() { docker service ps --no-trunc --format '{{.CurrentState}}|{{.Error}}' "$1" | grep -F "$3" | grep -q "^$2"; }
ends signal Rejected 'Invalid signal: FOO' --stop-signal FOO busybox:latest sleep 10
ends added Rejected 'invalid CapAdd: unknown capability: "CAP_NOPE"' --cap-add NOPE busybox:latest sleep 10
ends dropped Rejected 'invalid CapDrop: unknown capability: "CAP_NOPE"' --cap-drop NOPE busybox:latest sleep 10
ends option Rejected "unknown log opt 'nope' for json-file log driver" --log-driver json-file --log-opt nope=1 busybox:latest true
ends size Failed "failed to initialize logging driver: invalid size: 'x'" --log-driver json-file --log-opt max-size=x busybox:latest true
ends logger Pending 'no suitable node (missing plugin on 1 node)' --log-driver journald busybox:latest true
ends cpus Rejected "Range of CPUs is from 0.01 to $(nproc).00, as there are only $(nproc) CPUs available" --limit-cpu 500 busybox:latest true
ends workdir Rejected "the working directory 'rel' is invalid, it needs to be an absolute path" --workdir rel busybox:latest true
ends command Failed 'starting container failed: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown' busybox:latest nosuch
ends user Failed 'starting container failed: unable to find user nobody2: no matching entries in passwd file' --user nobody2 busybox:latest true
ends volume Pending 'missing plugin on 1 node' --mount type=volume,src=v1,dst=/x,volume-driver=nope busybox:latest true
ends volopt Rejected 'create v2: invalid option: "nope"' --mount type=volume,src=v2,dst=/x,volume-opt=nope=1 busybox:latest true
ends volbind Failed 'failed to mount local volume: mount /nowhere:' --mount type=volume,src=v3,dst=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/nowhere busybox:latest true
# A volume that is a mount: there while a task has it, gone after the last.
create --name mounted --stop-grace-period 1s \
  --mount type=volume,src=v4,dst=/x,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m busybox:latest sleep 100
eventually 5 "the service with a mounted volume" runs mounted 1
mounts() { nsenter -t "$(cat "$CLUSTER_DIR/n1/holder.pid")" -m grep -c "volumes/v4/_data tmpfs.*size=1024k" /proc/self/mounts; }
is "mounts of the volume" 1 "$(mounts)"
docker service rm mounted >/dev/null
unmounted() { [ "$(mounts)" = 0 ]; }
eventually 10 "the end of the volume's mount" unmounted
cluster run 1 busybox nc -ll -p 9123 -e /bin/true </dev/null >/dev/null 2>&1 &
holder=$!
eventually 2 "another process to hold the port" bash -c "'$root/Scripts/cluster' run 1 ss -ltn | grep -q :9123"
create --name taken -p 9123:80 busybox:latest sleep 10
eventually 2 "the taken port" told taken 'port 9123/tcp is already in use by another process on this host'
kill $holder 2>/dev/null || true
cluster run 1 pkill -f 'nc -ll -p 9123' || true
docker network create -d overlay --subnet 10.99.0.0/30 tiny >/dev/null
create --name full --network tiny --replicas 3 --endpoint-mode dnsrr busybox:latest sleep 10
eventually 2 "the exhausted pool" told full 'could not find an available IP on network tiny'

services=$(docker service ls -q | sort)
# refused WORDS ARGS...: docker says the words and exits with a failure.
refused() { local words=$1 output; shift; if output=$(docker "$@" 2>&1); then fail "accepted: $*"; fi; grep -qF "$words" <<<"$output" || fail "$*: '$output' lacks '$words'"; }
refused 'name must be valid as a DNS name component' service create -d --name 'a_' busybox
refused 'is not a valid repository/tag' service create -d --name a 'A:B:C'
refused 'Must be at least 4MiB' service create -d --name a --limit-memory 100 busybox
refused 'Must be at least 0.001' service create -d --name a --limit-cpu 0.0000001 busybox
refused 'constraint expected one operator' service create -d --name a --constraint node.role=manager busybox
refused 'network nope not found' service create -d --name a --network nope busybox
refused 'cannot be explicitly attached to the ingress network' service create -d --name a --network ingress busybox
refused 'duplicate mount point: /x' service create -d --name a --mount type=volume,dst=/x --mount type=volume,dst=/x busybox
refused 'mount path must be absolute' service create -d --name a --mount type=volume,dst=x busybox
refused 'cannot be less than 1ms' service create -d --name a --health-interval 1us busybox
refused "port published with ingress mode can't be used with dnsrr mode" service create -d --name a --endpoint-mode dnsrr -p 9000:80 busybox
refused 'duplicate published ports provided' service create -d --name a -p 9001:80 -p 9001:81 busybox
refused 'is already in use by service' service create -d --name a -p 9123:80 busybox
refused 'invalid MountType: "foo"' service create -d --name a --mount type=foo,dst=/x busybox
refused 'TaskSpec: restart-window cannot be negative' service create -d --name a --restart-window -1s busybox
refused 'already exists' service create -d --name full busybox
refused 'expanding hostname failed' service create -d --name a --hostname '{{.Foo' busybox
refused 'cannot be encrypted' network create -d overlay --opt encrypted a
refused 'Pool overlaps with other one on this address space' network create -d overlay --subnet 10.99.0.0/24 a
refused 'invalid CIDR address' network create -d overlay --subnet 300.0.0.0/24 a
refused 'the kernel routes no such addresses' network create -d overlay --subnet 127.0.0.0/24 a
refused 'the kernel routes no such addresses' network create -d overlay --subnet 224.0.0.0/24 a
refused 'must be a packet size of 626 to 65535 bytes' network create -d overlay -o com.docker.network.driver.mtu=7 a
refused 'must be numbers of 1 to 16777215' network create -d overlay -o com.docker.network.driver.overlay.vxlanid_list=x a
docker network create -d overlay -o com.docker.network.driver.overlay.vxlanid_list=9000 numbered >/dev/null
is "the VXLAN identifier asked for" 9000 "$(docker network inspect -f '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}' numbered)"
refused 'VXLAN identifier 9000 is taken by network numbered' network create -d overlay -o com.docker.network.driver.overlay.vxlanid_list=9000 a
refused 'is in use by service' network rm tiny
refused 'attempting to demote the last manager' node update --role worker node1
refused 'This node is already part of a swarm' swarm init
refused 'Use `--force`' swarm leave
is "services after all refusals" "$services" "$(docker service ls -q | sort)"

# Bodies that are no JSON, of the wrong type or too large; packets that are no HTTP.
socket=${CLUSTER_DIR}/n1/swarmd.sock
http() { curl -s -m 10 --unix-socket "$socket" "$@"; }
status() { http -o /dev/null -w '%{http_code}' "$@"; }
is "no JSON" 400 "$(status -X POST -H 'Content-Type: application/json' -d '{"Name":' http://d/services/create)"
is "a number for a name" 400 "$(status -X POST -H 'Content-Type: application/json' -d '{"Name":7}' http://d/services/create)"
says() { http "$@" | sed 's/.*"message":"\(.*\)"}.*/\1/'; }
create=(-X POST -H 'Content-Type: application/json' http://d/services/create)
is "a number for a name, in words" "invalid JSON: Name: expected a string" "$(says "${create[@]}" -d '{"Name":7}')"
is "half a text, in words" "invalid JSON: the body is no JSON text" "$(says "${create[@]}" -d '{"Name":')"
is "fewer replicas than none" "invalid JSON: a number in it is negative, too large or a fraction where its field takes none" \
  "$(says "${create[@]}" -d '{"Name":"a","Mode":{"Replicated":{"Replicas":-1}}}')"
# raw BYTES: the status of a request sent as it is, whose sender then goes.
raw() { printf "POST /services/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n$1" | socat -t 5 - UNIX-CONNECT:"$socket" | sed -n '1s/HTTP.1.1 \([0-9]*\).*/\1/p'; }
is "a chunk of no size" 400 "$(raw 'Transfer-Encoding: chunked\r\n\r\nzz\r\n{}')"
is "a body cut short" 400 "$(raw 'Content-Length: 50\r\n\r\n{}')"
is "text" 400 "$(status -X POST -H 'Content-Type: text/plain' -d '{}' http://d/services/create)"
is "no version" 400 "$(status -X POST -H 'Content-Type: application/json' -d '{}' http://d/services/full/update)"
is "an unknown path" 404 "$(status http://d/nosuch)"
is "a filter of no kind" 400 "$(status 'http://d/services?filters=%7B%22foo%22:%5B%22x%22%5D%7D')"
# Times beyond what nanoseconds can count once ended the daemon; a delay beyond it was none.
is "a since after until, and after the end of time" 400 "$(status 'http://d/events?since=99999999999999999999&until=1')"
is "no time" 400 "$(status 'http://d/events?since=nan&until=1')"
is "lines after the end of time" 200 "$(status 'http://d/services/full/logs?stdout=1&since=1e300')"
is "lines since nothing" 500 "$(status 'http://d/services/full/logs?stdout=1&since=nan')"
is "a status that is none" 400 "$(status 'http://d/services?status=xx')"
is "a state that is none" 500 "$(status 'http://d/tasks?filters=%7B%22desired-state%22:%5B%22zz%22%5D%7D')"
ctl service create -d --name never --restart-delay 2562047h busybox:latest false >/dev/null
waits() { docker service ps --format '{{.CurrentState}}' never | grep -q '^Ready'; }
eventually 5 "its successor to wait for centuries" waits
is "tasks of centuries" 2 "$(docker service ps -q never | wc -l)"
head -c 3000 /dev/urandom | timeout 5 busybox nc -w 1 local:"$socket" >/dev/null 2>&1 || true
is "alive after garbage" 200 "$(status http://d/_ping)"
