# The corners of one node: settings, crashes at bad moments, resolvers that are dead, datagrams, addresses that are taken.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
node=$CLUSTER_DIR/n1; socket=$node/swarmd.sock
holder=$(cat "$node/holder.pid")
in_node() { nsenter -t "$holder" -m -n -u -- "$@"; }
is "mode of the API's socket" 660 "$(stat -c %a "$socket")"

# Settings that nobody knows are named, and nothing starts.
refuses() { # refuses WORDS CMD...
  local words=$1 output; shift
  if output=$(timeout 10 "$@" 2>&1); then fail "started: $*"; fi
  grep -qF "$words" <<<"$output" || fail "$*: '$output' lacks '$words'"
}
refuses 'unknown setting SWARMD_NOPE in the command line' "$SWARM_BIN/swarmd" --nope 1
refuses 'unknown setting SWARMD_NOPE in the environment' env SWARMD_NOPE=1 "$SWARM_BIN/swarmd"
mkdir "$node/upper" "$node/work" "$node/upper/swarmd"
printf 'SWARMD_LOG_LEVEL=debug\nSWARMD_NOPE=1\n' >"$node/upper/swarmd/swarmd.env"
refuses '/etc/swarmd/swarmd.env, line 2' nsenter -t "$holder" -m -n -u unshare -m bash -c "
  mount -t overlay overlay -o lowerdir=/etc,upperdir=$node/upper,workdir=$node/work /etc; exec '$SWARM_BIN/swarmd'"

# --init on a node that has no init program. What is there is hidden from this node alone.
for program in /usr/bin/docker-init /usr/libexec/docker/docker-init /usr/bin/tini-static /usr/bin/catatonit /usr/bin/tini /sbin/docker-init; do
  [ ! -e $program ] || in_node mount --bind /dev/null $program
done
docker service create -d --name init --init --restart-condition none busybox:latest true >/dev/null 2>&1
told() { docker service ps --no-trunc --format '{{.Error}}' "$1" | grep -qF "$2"; }
eventually 3 "the missing init program" told init 'this node has no init program'
docker service rm init >/dev/null

# A subnet of the node's own is not handed out.
cluster run 1 ip route add 10.0.2.0/24 dev eth0
cluster stop 1 TERM; cluster start 1
for i in 1 2 3; do docker network create -d overlay "pool$i" >/dev/null; done
subnets=$(docker network inspect --format '{{range .IPAM.Config}}{{.Subnet}}{{end}}' pool1 pool2 pool3 | xargs)
is "subnets beside the node's own 10.0.2.0/24" "10.0.1.0/24 10.0.3.0/24 10.0.4.0/24" "$subnets"
docker network rm pool1 pool2 pool3 >/dev/null
cluster run 1 ip route del 10.0.2.0/24 dev eth0

# Datagrams: balanced evenly by the virtual address and the ingress port, and published in host mode.
docker network create -d overlay app >/dev/null
docker service create -d --name udp --network app --replicas 3 -p 5300:5300/udp busybox:latest sleep 10000 >/dev/null 2>&1
docker service create -d --name onhost --network app -p mode=host,published=5301,target=5301,protocol=udp busybox:latest sleep 10000 >/dev/null 2>&1
eventually 20 "the servers of datagrams" runs udp 3
eventually 20 "the server in host mode" runs onhost 1
# Perl is in every Debian. A server that answers with its name and the sender's address, and a client that asks N times,
# each time from another port.
server='use Socket; socket S, PF_INET, SOCK_DGRAM, 0; bind S, sockaddr_in($ARGV[1], INADDR_ANY) or die;
  while ($from = recv S, $_, 99, 0) { (undef, $ip) = sockaddr_in($from); send S, "$ARGV[0] " . inet_ntoa($ip) . "\n", 0, $from }'
client='use Socket; for (1 .. $ARGV[2]) { socket C, PF_INET, SOCK_DGRAM, 0; setsockopt C, SOL_SOCKET, SO_RCVTIMEO, pack("l!l!", 2, 0);
  send C, "x", 0, sockaddr_in($ARGV[1], inet_aton($ARGV[0])); defined recv C, $_, 99, 0 and print }'
serve() { cluster enter 1 "$1" perl -e "$server" "$1" "$2" </dev/null >/dev/null 2>&1 & }
for task in udp.1 udp.2 udp.3; do serve $task 5300; done
serve onhost.1 5301
listening() { cluster enter 1 "$1" ss -lun | grep -q ":$2"; }
for task in udp.1 udp.2 udp.3; do eventually 5 "$task to listen" listening $task 5300; done
eventually 5 "onhost.1 to listen" listening onhost.1 5301
vip=$(ask onhost.1 udp)
spread() { # spread WHAT ANSWERS: 120 answers, and 25 % to 42 % of them from each of three
  local count who
  is "$1: answers" 120 "$(grep -c . <<<"$2")"
  is "$1: servers" 3 "$(awk '{print $1}' <<<"$2" | sort -u | wc -l)"
  while read -r count who; do
    [ "$count" -ge 30 ] && [ "$count" -le 51 ] || fail "$1: $who answered $count of 120"
  done < <(awk '{print $1}' <<<"$2" | sort | uniq -c)
}
spread "datagrams to the virtual address" "$(cluster enter 1 onhost.1 perl -e "$client" "$vip" 5300 120)"
spread "datagrams to the ingress port" "$(cluster client perl -e "$client" 198.18.0.11 5300 120)"
is "a datagram in host mode, with its sender" "onhost.1 198.18.0.200" "$(cluster client perl -e "$client" 198.18.0.11 5301 1)"

# Packets that are no DNS are counted in the log, and answers go on.
cluster enter 1 onhost.1 bash -c 'for i in $(seq 20); do printf "\1\2nonsense%s" $i; head -c 40 /dev/urandom; done | socat -u - UDP4:127.0.0.11:53' || true
is "a name after nonsense" "$vip" "$(ask onhost.1 udp)"
counted() { cluster logs 1 | grep -q "containers sent DNS packets that cannot be read"; }
eventually 5 "the count of unreadable packets" counted

# Names of the swarm while every resolver outside is silent.
printf 'nameserver 198.18.0.98\nnameserver 198.18.0.99\n' >"$node/resolv.conf"
in_node mount --bind "$node/resolv.conf" /etc/resolv.conf
cluster stop 1 TERM; cluster start 1
eventually 10 "the names after a restart" test -n "$(ask onhost.1 udp)"
outside() { cluster enter 1 onhost.1 dig +time=4 +tries=1 "$@" @127.0.0.11 >/dev/null 2>&1; }
for i in $(seq 60); do outside "name$i.example.com" & lookups+=($!); done
times=$(cluster enter 1 onhost.1 bash -c 'for i in $(seq 40); do dig +time=2 +tries=1 udp @127.0.0.11; done' | awk '/Query time/ {print $4}')
is "answers while the resolvers are dead" 40 "$(grep -c . <<<"$times")"
slowest=$(sort -n <<<"$times" | tail -1)
[ "$slowest" -le 200 ] || fail "a name of the swarm took $slowest ms while the resolvers were dead"
wait "${lookups[@]}" || true

# swarmd and containerd die together: the containers do not notice.
before=$(pids); [ "$(wc -l <<<"$before")" = 4 ] || fail "four containers expected: $before"
daemons="$(cat "$node/swarmd.pid") $(cluster logs 1 | sed -n 's/.*process.id=\([0-9]*\) .*containerd \(started\|adopted\).*/\1/p' | tail -1)"
[ "$(wc -w <<<"$daemons")" = 2 ] || fail "no containerd beside swarmd: $daemons"
kill -9 $daemons
dead() { ! kill -0 $daemons; }
eventually 5 "the end of both daemons" dead
cluster start 1
eventually 20 "the tasks after both died" runs udp 3
same() { [ "$(pids)" = "$before" ]; }
eventually 10 "the same processes" same
is "tasks that were replaced" 3 "$(docker service ps -q udp | wc -l)"

# swarmd dies at bad moments: while an image is loaded, while a task starts, during its grace.
head -c 60000000 /dev/urandom >"$CLUSTER_DIR/noise"
tar -C "$CLUSTER_DIR" -cf "$CLUSTER_DIR/large.tar" noise
content() { du -sm "$node/data/containerd" | cut -f1; }
small=$(content)
import() { "$SWARM_BIN/swarmctl" --host "unix://$socket" image import - large:1 <"$CLUSTER_DIR/large.tar" >/dev/null 2>&1; }
for pause in 0.05 0.15 0.3; do
  import & busy=$!; sleep $pause; cluster stop 1; wait $busy || true; cluster start 1
done
docker image inspect large:1 >/dev/null 2>&1 || import || fail "an image cannot be imported after it was broken off"
docker service create -d --name large --restart-condition none large:1 /noise >/dev/null 2>&1
eventually 5 "the imported image to be used" told large 'exec'
docker service rm large >/dev/null; docker image rm large:1 >/dev/null
shrunk() { [ "$(content)" -le $((small + 20)) ]; }
eventually 90 "what was left of broken imports to go" shrunk
docker service create -d --name starting --replicas 8 --stop-grace-period 3s --network app busybox:latest sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null 2>&1
cluster stop 1; cluster start 1
eventually 20 "the tasks whose start was broken off" runs starting 8
docker service rm starting >/dev/null
cluster stop 1; cluster start 1
gone() { [ "$(docker ps -aq | wc -l)" = 4 ]; }
eventually 20 "the end of tasks whose grace was broken off" gone

# A default pool that is used up.
docker swarm leave --force >/dev/null
docker swarm init --advertise-addr 198.18.0.11 --default-addr-pool 10.77.0.0/28 --default-addr-pool-mask-length 29 >/dev/null
docker network create -d overlay last >/dev/null
if words=$(docker network create -d overlay over 2>&1); then
  docker service create -d --name over --network over busybox:latest sleep 100 >/dev/null 2>&1
  eventually 3 "the exhausted pool" told over "pool"
else
  grep -qi 'pool' <<<"$words" || fail "an exhausted pool: '$words'"
fi
