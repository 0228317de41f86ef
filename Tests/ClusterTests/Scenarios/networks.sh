# What packets may and may not do: UDP, ports of every kind, networks of every kind, the way out.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
docker network create -d overlay app >/dev/null
docker network create -d overlay other >/dev/null
docker network create -d overlay --internal closed >/dev/null
create() { docker service create -d "$@" >/dev/null 2>&1 || fail "service create $*"; }
create --name udp --network name=app,alias=datagrams --replicas 2 -p 5300:5300/udp -p 5400-5401:5400-5401/tcp busybox:latest sleep 10000
create --name both --network app --network other busybox:latest sleep 10000
create --name shut --network closed busybox:latest sleep 10000
create --name lone busybox:latest sleep 10000
create --name onhost --network host busybox:latest sleep 10000
create --name off --network none busybox:latest sleep 10000
create --name direct -p mode=host,target=80,published=8090 --network app busybox:latest sh -c "$who"
create --name free --replicas 2 -p 80 busybox:latest sh -c "$who"
create --name rr --endpoint-mode dnsrr --network app --replicas 2 busybox:latest sleep 10000
create --name everywhere --mode global --network app busybox:latest sleep 10000
for name in udp:2 both:1 shut:1 lone:1 onhost:1 off:1 direct:1 free:2 rr:2 everywhere:1; do
  eventually 20 "$name" runs "${name%:*}" "${name#*:}"
done

echo "== UDP through the virtual address and the published port"
datagrams='import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 5300))
while True: a = s.recvfrom(99)[1]; s.sendto(f"{sys.argv[1]} {a[0]}\n".encode(), a)'
for task in udp.1 udp.2; do
  cluster enter 1 $task python3 -c "$datagrams" $task </dev/null >/dev/null 2>&1 &
done
# Six datagrams, each from a socket of its own, and what comes back.
six='import socket, sys
for i in range(6):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
    s.sendto(b"x", (sys.argv[1], 5300)); sys.stdout.write(s.recv(99).decode())'
vip=$(ask both.1 udp)
answers() { cluster enter 1 both.1 python3 -c "$six" "$vip"; }
both() { [ "$(answers | awk '{print $1}' | sort -u | wc -l)" = 2 ]; }
eventually 10 "both tasks to answer datagrams" both
is "the datagrams' source" "$(ask both.1 both.1.app)" "$(answers | awk '{print $2}' | sort -u)"
outside=$(cluster client python3 -c "$six" 198.18.0.11)
is "the datagrams' source outside" 198.18.0.200 "$(awk '{print $2}' <<<"$outside" | sort -u)"
is "tasks that answered outside" 2 "$(awk '{print $1}' <<<"$outside" | sort -u | wc -l)"
pkill -f 'socket.SOCK_DGRAM); s.bind' || true

echo "== names"
is "an alias" "$vip" "$(ask both.1 datagrams)"
is "round robin" "$(ask both.1 tasks.rr | sort | xargs)" "$(ask both.1 rr | sort | xargs)"
is "round robin's tasks" 2 "$(ask both.1 rr | wc -l)"
is "a name of another network" "" "$(ask udp.1 shut)"
is "a name with its network" "$(ask both.1 both.other)" "$(ask both.1 both.1.other >/dev/null; ask both.1 both.other)"
ask both.1 everywhere | grep -q . || fail "a global service has no name"

echo "== ports"
page() { cluster client curl -sS -m 3 -o /dev/null -w '%{http_code}' "http://198.18.0.11:$1/" 2>/dev/null || true; }
is "a host-mode port" 200 "$(page 8090)"
is "the client of a host-mode port" 198.18.0.200 "$(cluster client curl -sS -m 3 http://198.18.0.11:8090/cgi-bin/who | awk '{print $2}')"
port=$(docker service inspect --format '{{(index .Endpoint.Ports 0).PublishedPort}}' free)
[ "$port" -ge 30000 ] && [ "$port" -le 32767 ] || fail "port $port was drawn"
is "a drawn port" 200 "$(page "$port")"
held=$(cluster run 1 timeout 2 socat TCP4-LISTEN:5401 - </dev/null 2>&1 || true)
grep -q 'Address already in use' <<<"$held" || fail "the range's second port is not held"

echo "== who reaches whom"
reaches() { cluster enter 1 "$1" socat -T 1 /dev/null "TCP4:$2,connect-timeout=1" 2>/dev/null; }
address() { ask "$1" "$1"; }
cluster enter 1 both.1 busybox nc -ll -p 7000 -e /bin/true </dev/null >/dev/null 2>&1 &
eventually 5 "a server in both.1" bash -c "'$root/Scripts/cluster' enter 1 both.1 ss -ltn | grep -q :7000"
reaches udp.1 "$(ask udp.1 both.1):7000" || fail "a task does not reach another on its network"
reaches shut.1 "$(ask both.1 both.1):7000" && fail "an internal network has a way out"
reaches lone.1 "$(ask both.1 both.1):7000" && fail "a container without a network reaches into one"
pkill -f 'nc -ll -p 7000' || true
cluster client socat TCP4-LISTEN:7100,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR' </dev/null >/dev/null 2>&1 &
eventually 5 "a server outside" bash -c "'$root/Scripts/cluster' client ss -ltn | grep -q :7100"
for task in udp.1 lone.1; do
  is "the source of $task outside" 198.18.0.11 "$(cluster enter 1 $task socat -T 2 - TCP4:198.18.0.200:7100,connect-timeout=2 </dev/null)"
done
cluster enter 1 shut.1 socat -T 1 - TCP4:198.18.0.200:7100,connect-timeout=1 </dev/null >/dev/null 2>&1 && fail "an internal network leaves the node"
pkill -f 'TCP4-LISTEN:7100' || true
is "interfaces without a network" lo "$(cluster enter 1 off.1 ip -o link | awk -F': ' '{print $2}' | xargs)"
cluster enter 1 onhost.1 ip -4 addr | grep -q 198.18.0.11 || fail "--network host is not the host's"
is "interfaces of both" 3 "$(cluster enter 1 both.1 ip -o -4 addr | wc -l)"

echo "== an established connection outlives changes of its service"
cluster enter 1 udp.1 socat TCP4-LISTEN:5400,fork,reuseaddr EXEC:cat </dev/null >/dev/null 2>&1 &
cluster enter 1 udp.2 socat TCP4-LISTEN:5400,fork,reuseaddr EXEC:cat </dev/null >/dev/null 2>&1 &
eventually 5 "servers" bash -c "for t in udp.1 udp.2; do '$root/Scripts/cluster' enter 1 \$t ss -ltn | grep -q :5400 || exit 1; done"
mkfifo "$CLUSTER_DIR/in"; exec 9<>"$CLUSTER_DIR/in"
cluster enter 1 both.1 socat -t 5 - "TCP4:$vip:5400" <"$CLUSTER_DIR/in" >"$CLUSTER_DIR/out" 2>/dev/null &
line() { echo "$1" >&9; eventually 5 "line $1 to come back" grep -qx "$1" "$CLUSTER_DIR/out"; }
line first
docker service scale -d udp=5 >/dev/null; eventually 20 "five tasks" runs udp 5
line second
exec 9>&-
pkill -f 'TCP4-LISTEN:5400' || true

echo "== somebody else meddles with the kernel"
before=$(cluster run 1 nft list table inet swarmd)
cluster run 1 nft delete table inet swarmd
mended() { [ "$(cluster run 1 nft list table inet swarmd 2>/dev/null | wc -l)" = "$(wc -l <<<"$before")" ]; }
eventually 45 "the host's rules to come back" mended
is "the page after the repair" 200 "$(page 8090)"
