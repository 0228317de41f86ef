# Autolock: a manager's keys on disk are sealed, a restarted manager waits for the key, its containers do not.
source "$(dirname "$0")/common.sh"
cluster up 3 >/dev/null
on() { local i=$1; shift; cluster docker "$i" "$@"; }
says() { local words=$1 output; shift; output=$("$@" 2>&1) || true; grep -qF -e "$words" <<<"$output" || fail "$*: '$output' lacks '$words'"; }
file() { echo "$CLUSTER_DIR/n$1/data/swarm/certificates/swarm-node.pem"; }
sealed() { grep -q 'SWARM SEALED KEYS' "$(file "$1")" && ! grep -q 'PRIVATE KEY' "$(file "$1")"; }
clear() { grep -q 'PRIVATE KEY' "$(file "$1")" && ! grep -q 'SWARM SEALED KEYS' "$(file "$1")"; }
node_is() { [ "$(on "$1" info -f '{{.Swarm.LocalNodeState}}')" = "$2" ]; }
says 'no unlock key is set' docker swarm unlock-key
says 'swarm is not locked' bash -c "echo x | '$root/Scripts/cluster' ctl 1 swarm unlock"
docker service create -q -d --name web --replicas 3 busybox:latest sleep 10000 >/dev/null 2>&1
eventually 20 "three tasks" runs web 3
key=$(docker swarm update --autolock=true | grep -o 'SWMKEY-1-[^ ]*')
is "the key, asked again by docker and by swarmctl" "$key $key" "$(docker swarm unlock-key -q) $(cluster ctl 2 swarm unlock-key -q)"
for i in 1 2 3; do eventually 10 "node $i's keys to be sealed" sealed $i; done
# The secret half alone is sealed: the certificate still says who the node is.
grep -q 'BEGIN CERTIFICATE' "$(file 3)" || fail "node 3's certificate is gone"

# A manager that restarts is locked: no control plane, no agent, and its containers go on.
before=$(on 3 ps -q | xargs "$root/Scripts/cluster" docker 3 inspect --format '{{.State.Pid}}' | sort)
[ -n "$before" ] || fail "no task on node 3"
cluster stop 3; cluster start 3
node_is 3 locked || fail "node 3 is $(on 3 info -f '{{.Swarm.LocalNodeState}}')"
is "its ping" locked "$(curl -s -o /dev/null -D - --unix-socket "$CLUSTER_DIR/n3/swarmd.sock" http://d/_ping | sed -n 's/^Swarm: \(.*\)\r$/\1/p')"
for pid in $before; do kill -0 "$pid" || fail "a container died with its locked manager"; done
says 'needs to be unlocked' on 3 node ls
says 'needs to be unlocked' on 3 service create busybox
says 'needs to be unlocked' on 3 swarm leave
says 'needs to be unlocked' on 3 swarm init
says 'needs to be unlocked' on 3 swarm join --token x 198.18.0.11
docker service ls >/dev/null || fail "the others do not go on"
unlock() { echo "$2" | cluster ctl "$1" swarm unlock; }
says 'swarm could not be unlocked: invalid key provided' unlock 3 SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
says 'swarm could not be unlocked: invalid key provided' unlock 3 nonsense
is "the API's answer to a wrong key" 401 "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$CLUSTER_DIR/n3/swarmd.sock" -H 'Content-Type: application/json' -d '{"UnlockKey":"x"}' http://d/swarm/unlock)"
node_is 3 locked || fail "a wrong key unlocked node 3"
unlock 3 "  $key " || fail "the right key does not unlock"
active() { node_is "$1" active && on "$1" node ls >/dev/null; }
eventually 10 "node 3 to be active" active 3
is "the same processes" "$before" "$(on 3 ps -q | xargs "$root/Scripts/cluster" docker 3 inspect --format '{{.State.Pid}}' | sort)"
sealed 3 || fail "unlocking left the keys in the clear"
is "tasks that were replaced" 3 "$(docker service ps -q web | wc -l)"

# Another key: one that was away meanwhile still has the old one, and takes the new one when it is back.
cluster stop 3
old=$(md5sum <"$(file 2)")
new=$(docker swarm unlock-key --rotate -q)
resealed() { [ "$(md5sum <"$(file 2)")" != "$old" ]; }
eventually 5 "node 2's keys to be sealed anew" resealed
[ "$new" != "$key" ] || fail "rotating changed nothing"
cluster start 3
says 'invalid key provided' unlock 3 "$new"
unlock 3 "$key"
eventually 10 "node 3 to be active again" active 3
cluster stop 2; cluster start 2
unlock 2 "$new" || fail "node 2 is not locked with the new key"
eventually 10 "node 2 to be active" active 2
opens() { cluster stop 3; cluster start 3; unlock 3 "$new" >/dev/null 2>&1 || { unlock 3 "$key" >/dev/null; false; }; }
eventually 30 "node 3 to take the new key" opens
eventually 10 "node 3 to be active with the new key" active 3

# A demoted manager's keys are in the clear again; so are all when autolock ends; the key of a locked one may be lost.
docker node demote node3 >/dev/null
eventually 15 "a worker's keys to be in the clear" clear 3
docker node promote node3 >/dev/null
eventually 15 "a new manager's keys to be sealed" sealed 3
cluster stop 3; cluster start 3
on 3 swarm leave --force >/dev/null || fail "a locked manager cannot leave by force"
node_is 3 inactive || fail "node 3 did not leave"
is "containers of a locked manager that left" "" "$(on 3 ps -aq)"
docker node demote node3 >/dev/null 2>&1 || true
docker swarm update --autolock=false >/dev/null
for i in 1 2; do eventually 10 "node $i's keys in the clear" clear $i; done
cluster stop 2; cluster start 2
eventually 10 "node 2 without a key" active 2
says 'cannot rotate because autolock is not turned on' docker swarm unlock-key --rotate
docker swarm leave --force >/dev/null
docker swarm init --autolock --advertise-addr 198.18.0.11 | grep -q SWMKEY-1- || fail "init --autolock prints no key"
sealed 1 || fail "init --autolock acknowledged before the keys were sealed"
