# The API over TCP: with mutual TLS for docker and swarmctl, without it only when asked for by name.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
files=$CLUSTER_DIR/files; mkdir "$files"
certificate() { # certificate NAME AUTHORITY [EXTENSIONS]
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$files/$1-key.pem" -out "$files/$1.csr" -subj "/CN=$1" 2>/dev/null
  openssl x509 -req -in "$files/$1.csr" -CA "$files/$2.pem" -CAkey "$files/$2-key.pem" -CAcreateserial -days 2 -out "$files/$1.pem" \
    -extfile <(printf '%s\n' "${3:-extendedKeyUsage=clientAuth}") 2>/dev/null
}
for authority in ca stranger; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$authority" \
    -keyout "$files/$authority-key.pem" -out "$files/$authority.pem" 2>/dev/null
done
certificate server ca $'subjectAltName=IP:198.18.0.11,DNS:localhost\nextendedKeyUsage=serverAuth'
certificate client ca; certificate other stranger
server=(--tlscacert "$files/ca.pem" --tlscert "$files/server.pem" --tlskey "$files/server-key.pem")

refuses() { local words=$1 output; shift; if output=$(timeout 10 "$@" 2>&1); then fail "went well: $*"; fi; grep -qF -e "$words" <<<"$output" || fail "$*: '$output' lacks '$words'"; }
refuses 'whoever reaches it would be root' "$SWARM_BIN/swarmd" --host tcp://0.0.0.0:2375
refuses 'needs --tlscacert FILE' "$SWARM_BIN/swarmd" --host tcp://0.0.0.0:2376 --tlsverify
refuses 'must be unix:///path or tcp://address:port' "$SWARM_BIN/swarmd" --host http://x
cluster stop 1 TERM
DAEMON_ARGS="--host tcp://198.18.0.11:2376 --tlsverify ${server[*]}" cluster start 1
at=tcp://198.18.0.11:2376
remote() { local program=$1; shift; cluster client "$program" -H $at --tlsverify --tlscacert "$files/ca.pem" --tlscert "$files/client.pem" --tlskey "$files/client-key.pem" "$@"; }
for program in docker "$SWARM_BIN/swarmctl"; do
  remote "$program" node ls | grep -q 'node1.*Ready' || fail "$program node ls"
  remote "$program" service create -d --name s --stop-signal KILL busybox:latest sh -c 'echo spoken; sleep 1000' >/dev/null 2>&1
  eventually 10 "the service" runs s 1
  container=$(docker ps -q)
  is "$program exec, both ways" "HELLO 0" "$(printf hello | remote "$program" exec -i "$container" tr a-z A-Z 2>&1; echo " $?")"
  said() { [ "$(remote "$program" service logs --raw s 2>/dev/null)" = spoken ]; }
  eventually 5 "$program service logs" said
  refuses 'ertificate' "$root/Scripts/cluster" client "$program" -H $at --tlsverify --tlscacert "$files/ca.pem" --tlscert "$files/other.pem" --tlskey "$files/other-key.pem" node ls
  refuses 'ertificate' "$root/Scripts/cluster" client "$program" -H $at --tlsverify --tlscacert "$files/stranger.pem" --tlscert "$files/client.pem" --tlskey "$files/client-key.pem" node ls
  refuses '198.18.0.11:2376' "$root/Scripts/cluster" client "$program" -H $at node ls
  refuses 'nope.pem' "$root/Scripts/cluster" client "$program" -H $at --tls --tlscacert "$files/ca.pem" --tlscert "$files/nope.pem" --tlskey "$files/nope.pem" node ls
  docker service rm s >/dev/null
  gone() { [ -z "$(docker ps -aq)" ]; }
  eventually 10 "the service's end" gone
done
DOCKER_TLS_VERIFY=1; export DOCKER_TLS_VERIFY
mkdir "$files/folder"; cp "$files/ca.pem" "$files/folder/ca.pem"; cp "$files/client.pem" "$files/folder/cert.pem"; cp "$files/client-key.pem" "$files/folder/key.pem"
for program in docker "$SWARM_BIN/swarmctl"; do
  DOCKER_CERT_PATH=$files/folder cluster client "$program" -H $at version >/dev/null || fail "$program by DOCKER_CERT_PATH"
done
unset DOCKER_TLS_VERIFY
secure=(--cacert "$files/ca.pem" --cert "$files/client.pem" --key "$files/client-key.pem")
status() { cluster client curl -s -m 5 -o /dev/null -w '%{http_code}' "$@"; }
is "curl with a certificate" 200 "$(status "${secure[@]}" https://198.18.0.11:2376/_ping)"
is "a web page's request" 403 "$(status "${secure[@]}" -H 'Origin: https://evil.example' https://198.18.0.11:2376/_ping)"
is "without a certificate" 000 "$(status --cacert "$files/ca.pem" https://198.18.0.11:2376/_ping || true)"

# More clients than there is room for are turned away; the daemon goes on, and has room again when they are gone.
crowd='use IO::Socket::UNIX; my @c; for (1 .. 4300) { my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or last; push @c, $s } print scalar @c, "\n"; $| = 1; sleep 2'
crowded=$(ulimit -n 8192 && perl -e "$crowd" "$CLUSTER_DIR/n1/swarmd.sock")
[ "$crowded" -gt 4096 ] || fail "only $crowded connections could be opened"
cluster logs 1 | grep -q "clients are turned away" || fail "nobody was turned away"
eventually 5 "room again" docker version

# Without TLS, asked for by name and warned of.
cluster stop 1 TERM
DAEMON_ARGS="--host tcp://198.18.0.11:2375 --insecure-tcp" cluster start 1
cluster logs 1 | grep -q "the API is served without TLS" || fail "no warning"
is "by address" 200 "$(status http://198.18.0.11:2375/_ping)"
is "by the host's name" 200 "$(status -H 'Host: node1:2375' http://198.18.0.11:2375/_ping)"
is "by a name that was made to resolve here" 403 "$(status -H 'Host: evil.example' http://198.18.0.11:2375/_ping)"
is "a web page's request, without TLS" 403 "$(status -H 'Origin: http://evil.example' http://198.18.0.11:2375/_ping)"
cluster client docker -H tcp://198.18.0.11:2375 node ls >/dev/null || fail "docker without TLS"
cluster client "$SWARM_BIN/swarmctl" -H tcp://198.18.0.11:2375 node ls >/dev/null || fail "swarmctl without TLS"
