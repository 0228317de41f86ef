# Cables, addresses, signals and deaths of nodes, shown with plain programs: no swarm is needed for them.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
cluster add 2 & cluster add 3 & wait
is "node 2's swarm" inactive "$(cluster ctl 2 info --format '{{.Swarm.LocalNodeState}}')"
is "node 3's image" busybox:latest "$(cluster ctl 3 image ls --format '{{.Repository}}:{{.Tag}}')"
is "host names" "node1 node2 node3" "$(for i in 1 2 3; do cluster ctl $i info --format '{{.Name}}'; done | xargs)"

# reaches FROM ADDRESS; FROM is a node or the client.
reaches() {
  local from=(run "$1"); [ "$1" != client ] || from=(client)
  cluster "${from[@]}" busybox ping -c1 -W1 "$2" >/dev/null
}
silent() { ! reaches "$@"; }
# A neighbour that was asked for in vain is asked for again once a second.
open() { eventually 4 "node $1 to reach $2" reaches "$@"; }
closed() { silent "$@" || fail "node $1 reaches $2 over a cut"; }
n1=198.18.0.11 n2=198.18.0.12 n3=198.18.0.13

echo "== a link goes silent to everyone"
open 1 $n2; open 2 $n3; open client $n2
cluster run 2 timeout 60 python3 -c '
import socket
s = socket.create_server(("0.0.0.0", 9000))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 9000))
import threading
def echo():
    while True: d, a = u.recvfrom(2000); u.sendto(d, a)
threading.Thread(target=echo, daemon=True).start()
while True:
    c, _ = s.accept()
    def serve(c):
        while d := c.recv(2000): c.sendall(d)
    threading.Thread(target=serve, args=(c,), daemon=True).start()' &
# talk KIND: one line over TCP or UDP from node 1 to node 2; says what came of it.
cat >"$CLUSTER_DIR/talk.py" <<'PY'
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET, kind); s.settimeout(1)
try:
    s.connect(("198.18.0.12", 9000)); s.send(b"hello"); print(s.recv(100).decode())
except TimeoutError: print("silence")
except OSError as error: print(error)
PY
talk() { cluster run 1 python3 "$CLUSTER_DIR/talk.py" "$1"; }
answered() { [ "$(talk tcp)" = hello ]; }
eventually 5 "the server" answered
is "udp" hello "$(talk udp)"
cluster cut 2; cluster cut 2
closed 1 $n2; closed 2 $n3; closed client $n2; open 1 $n3
is "tcp over a cut link" silence "$(talk tcp)"
is "udp over a cut link" silence "$(talk udp)"

echo "== the cut outlives the node's daemon and the node"
cluster stop 2 KILL; cluster start 2; closed 1 $n2
cluster ctl 2 version >/dev/null || fail "the operator's socket is cut too"
cluster heal 2; cluster heal 2
open 1 $n2; open 2 $n3; open client $n2
is "tcp after healing" hello "$(talk tcp)"

echo "== two nodes are silent to each other only"
cluster cut 1 2; cluster cut 1 2
closed 1 $n2; closed 2 $n1; open 3 $n2; open 1 $n3; open client $n1
cluster cut 2; cluster heal 2 1; closed 1 $n2; closed 3 $n2
cluster heal 2; open 1 $n2; open 3 $n2
cluster cut 1 2; cluster cut 1 3; cluster heal 1; open 1 $n2; open 1 $n3
cluster cut 3 1; cluster kill 3; cluster start 3; closed 3 $n1; open 3 $n2; cluster heal 1 3; open 3 $n1

echo "== a node dies and comes back at its address, and at another"
hardware() { cluster run "$1" cat /sys/class/net/eth0/address; }
before=$(hardware 2)
"$root/Scripts/cluster" run 2 sleep 1000 & program=$!
cluster kill 2; closed 1 $n2
wait $program && fail "a program on a dead node lives"
cluster kill 2
cluster start 2; open 1 $n2
is "the hardware address" "$before" "$(hardware 2)"
is "its swarm" inactive "$(cluster ctl 2 info --format '{{.Swarm.LocalNodeState}}')"
cluster kill 2; cluster start 2 --address 198.18.0.62; open 1 198.18.0.62; closed 1 $n2
cluster stop 2 TERM; cluster start 2 --address $n2; open 1 $n2; closed 1 198.18.0.62

echo "== signals"
answers() { timeout 2 "$root/Scripts/cluster" ctl 2 version >/dev/null 2>&1; }
cluster stop 2 STOP; answers && fail "a stopped daemon answers"
cluster stop 2 CONT; eventually 2 "the daemon to go on" answers
cluster stop 2 SIGSTOP; cluster start 2; eventually 2 "start to let it go on" answers
cluster stop 2 9; cluster stop 2 2>/dev/null && fail "a dead daemon was stopped"
cluster start 2; answers || fail "the daemon is not back"

echo "== words that are refused"
words=$CLUSTER_DIR/words
# refused WORDS ARGS...: fails, says something on standard error and nothing on standard output.
refused() {
  local said=$1 out; shift
  out=$(cluster "$@" 2>"$words") && fail "cluster $*: was not refused"
  is "cluster $*: its output" "" "$out"
  grep -q -- "$said" "$words" || fail "cluster $*: says '$(cat "$words")'"
}
for word in "ctl 7 version" "docker 7 version" "sock 7" "run 7 true" "enter 7 web.1 true" \
  "cut 7" "cut 1 7" "heal 7" "heal 1 7" "stop 7" "kill 7" "start 7" "logs 7" "ctl x version"; do
  refused "no node" $word
done
refused "no running container" enter 1 web.1 true
refused "wants a node" cut
refused "cannot be cut from itself" cut 2 2
refused "is there already" add 2
refused "no address of the LAN" start 2 --address 10.0.0.1
refused "does not know" start 2 --slowly
refused "from 1 to 9" add 0
CLUSTER_NAME=$CLUSTER_NAME-x CLUSTER_DIR=$CLUSTER_DIR-x refused "from 1 to 9" up 10
CLUSTER_NAME=$CLUSTER_NAME-x refused "holds the cluster" up 1
CLUSTER_NAME=$CLUSTER_NAME-x refused "holds the cluster" down
CLUSTER_NAME=$CLUSTER_NAME-x CLUSTER_DIR=$CLUSTER_DIR-x refused "from 1 to 2" up 2 --managers 3

echo "== two clusters stand side by side"
(
  export CLUSTER_NAME=$CLUSTER_NAME-b CLUSTER_DIR=$CLUSTER_DIR-b
  cluster up 1 >/dev/null; open client $n1; closed client $n2; cluster down
)
open client $n2

echo "== nothing is left"
docker service create -d --name s busybox:latest sleep 1000 >/dev/null 2>&1
eventually 10 "the task to run" runs s 1
for name in s.1 "$(docker service ps -q --no-trunc s)" "$(docker ps -q)"; do
  grep -q 127.0.0.1 <<<"$(cluster enter 1 "$name" ip addr show lo)" || fail "enter $name"
done
"$root/Scripts/cluster" enter 1 s.1 sleep 1000 & program=$!
entered() { [ "$(readlink /proc/$program/ns/net)" = "$(readlink "/proc/$(pids)/ns/net")" ]; }
eventually 2 "a program in a container's network" entered
cluster down
wait $program && fail "a program in a container's network lives"
[ -z "$(ip netns list | grep "$CLUSTER_NAME-" || true)" ] || fail "namespaces are left"
[ ! -e "$CLUSTER_DIR" ] || fail "the directory is left"
[ -z "$(grep "$CLUSTER_DIR" /proc/mounts || true)" ] || fail "mounts are left"
[ -z "$(find /sys/fs/cgroup -maxdepth 3 -name "$CLUSTER_NAME-*" || true)" ] || fail "cgroups are left"
[ -z "$(pgrep -f "$CLUSTER_DIR" | grep -vx $$ || true)" ] || fail "processes are left: $(pgrep -af "$CLUSTER_DIR")"
is "a second down" "" "$(cluster down 2>&1)"
