# The CA's root is replaced while everything runs: again and again, with a root of the operator's own, with a node that is
# down and comes back, with another leader in the middle; and what the old root signed opens no door any more.
source "$(dirname "$0")/common.sh"
cluster up 4 --managers 3 >/dev/null
root_of() { docker swarm ca; }
in_progress() { docker info --format '{{.Swarm.Cluster.RootRotationInProgress}}'; }
is_over() { [ "$(in_progress)" = false ]; }
# What nodes show is what is wanted.
all_ready() { [ "$(docker node ls --format '{{.TLSStatus}}' | sort -u)" = Ready ]; }
issuers() { docker node inspect --format '{{.Description.TLSInfo.CertIssuerPublicKey}}' "$@" | sort -u | wc -l; }
says() { local words=$1 out; shift; out=$("$@" 2>&1) && fail "accepted: $*"; grep -qF -- "$words" <<<"$out" || fail "$*: $out"; }
all_pids() { for i in 1 2 3 4; do cluster ctl $i ps -q --filter label=com.docker.swarm.service.name=steady | xargs -r "$root/Scripts/cluster" docker $i inspect --format '{{.State.Pid}}'; done | sort; }
identity=$CLUSTER_DIR/n4/data/swarm/certificates/swarm-node.pem

docker service create -d --no-resolve-image --name steady --replicas 4 --stop-grace-period 0s busybox:latest sleep 100000 >/dev/null
eventually 30 "4 steady tasks" runs steady 4
before=$(all_pids)
first=$(root_of) token=$(docker swarm join-token -q worker)
cp "$identity" "$CLUSTER_DIR/stolen.pem"

# Clients go on creating while roots come and go.
( failed=0 made=0
  while [ ! -e "$CLUSTER_DIR/enough" ]; do
    if docker config create "c$made" - <<<x >/dev/null 2>>"$CLUSTER_DIR/creates"; then made=$((made + 1)); else failed=$((failed + 1)); fi
    sleep 0.1
  done
  echo "$made $failed" >"$CLUSTER_DIR/created" ) &

for round in 1 2; do
  old=$(root_of)
  output=$(docker swarm ca --rotate) || fail "rotation $round: $output"
  new=$(root_of)
  [ "$old" != "$new" ] || fail "rotation $round: the root is still the same"
  grep -q '^desired root digest: sha256:' <<<"$output" || fail "no digest: $output"
  grep -qF "$(tail -2 <<<"$new" | head -1)" <<<"$output" || fail "the new root is not shown: $output"
  is_over || fail "rotation $round: not over"
  all_ready || fail "rotation $round: $(docker node ls --format '{{.Hostname}} {{.TLSStatus}}')"
  is "issuers after rotation $round" 1 "$(issuers node1 node2 node3 node4)"
done
[ "$(docker swarm join-token -q worker)" != "$token" ] || fail "the join token still names the old root"

# A root of the operator's own, in the form that openssl writes; and what is none.
make_root() { # NAME DAYS
  openssl ecparam -name prime256v1 -genkey -noout -out "$CLUSTER_DIR/$1.key" 2>/dev/null
  openssl req -x509 -new -key "$CLUSTER_DIR/$1.key" -days "$2" -subj "/CN=$1" -out "$CLUSTER_DIR/$1.pem" 2>/dev/null
}
make_root mine 800; make_root brief 300
rotate() { docker swarm ca --rotate "$@"; }
says 'CA certificate expires too soon' rotate --ca-cert "$CLUSTER_DIR/brief.pem" --ca-key "$CLUSTER_DIR/brief.key"
says 'the CA key does not belong to the CA certificate' rotate --ca-cert "$CLUSTER_DIR/mine.pem" --ca-key "$CLUSTER_DIR/brief.key"
says 'flag requires that a --ca-key flag' rotate --ca-cert "$CLUSTER_DIR/mine.pem"
says 'if a signing CA key is provided, the signing CA cert must also be provided' rotate --ca-key "$CLUSTER_DIR/mine.key"
rotate -q --ca-cert "$CLUSTER_DIR/mine.pem" --ca-key "$CLUSTER_DIR/mine.key"
is "the operator's root" "$(cat "$CLUSTER_DIR/mine.pem")" "$(root_of)"
openssl req -x509 -new -key "$CLUSTER_DIR/mine.key" -days 900 -subj /CN=again -out "$CLUSTER_DIR/again.pem" 2>/dev/null
says 'Cannot update to a cert with an identical key' rotate --ca-cert "$CLUSTER_DIR/again.pem" --ca-key "$CLUSTER_DIR/mine.key"

# Nothing was started again.
is "containers" "$before" "$(all_pids)"
is "tasks" 4 "$(docker service ps -q steady | wc -l)"

# A node that is down is waited for, also by the rotation that takes the place of the first, and by another leader.
cluster stop 4
down() { [ "$(docker node ls --filter name=node4 --format '{{.Status}}')" = Down ]; }
eventually 60 "node 4 to be down" down
rotate -d
shown() { docker node inspect --format '{{.Description.TLSInfo.CertIssuerPublicKey}}' "$@" | sort -u; }
renewed() { [ "$(shown node1 node2 node3)" = "$(docker info --format '{{.Swarm.Cluster.TLSInfo.CertIssuerPublicKey}}')" ]; }
still() { [ "$(in_progress)" = true ]; }
eventually 30 "all that are up to have certificates of the new root" renewed
is "while node 4 is down" true "$(in_progress)"
is "the root that all believe" "$(cat "$CLUSTER_DIR/mine.pem")" "$(root_of)"
rotate -d
eventually 30 "the same with the root that takes its place" renewed
is "still" true "$(in_progress)"
is "issuers with node 4's" 2 "$(issuers node1 node2 node3 node4)"
# Somebody joins meanwhile.
cluster add 5
cluster ctl 5 swarm join --token "$(docker swarm join-token -q worker)" --advertise-addr 198.18.0.15 198.18.0.11:2377 >/dev/null
leader=$(docker node ls --format '{{.Hostname}} {{.ManagerStatus}}' | awk '$2 == "Leader" { print substr($1, 5) }')
touch "$CLUSTER_DIR/enough"; wait
cluster stop "$leader"
cluster start "$leader" >/dev/null
eventually 30 "the rotation to go on under another leader" still
cluster start 4 >/dev/null
eventually 60 "the end of the rotation, once node 4 is back" is_over
eventually 30 "all to forget the old root" all_ready
is "issuers in the end" 1 "$(issuers node1 node2 node3 node4 node5)"

# A node that does not come back is removed, and nothing is waited for.
cluster stop 5
gone() { [ "$(docker node ls --filter name=node5 --format '{{.Status}}')" = Down ]; }
eventually 60 "node 5 to be down" gone
rotate -d
docker node rm node5 >/dev/null
eventually 60 "the end of the rotation without node 5" is_over
eventually 30 "all to follow" all_ready
current=$(root_of)

# What was signed by the first root, and the token that names it, are worth nothing.
[ "$current" != "$first" ] || fail "the first root is back"
cluster add 6
says 'remote CA does not match fingerprint' cluster ctl 6 swarm join --token "$token" 198.18.0.11:2377
knock() { # what a manager answers to whoever shows the certificate in a file
  nsenter --net="/run/netns/$CLUSTER_NAME-client" timeout 5 openssl s_client -quiet -connect 198.18.0.11:2377 \
    -alpn swarm/1 -cert "$1" -key "$1" </dev/null 2>/dev/null | tr -d '\0' || true
}
grep -aq 'missed a rotation of the CA' <<<"$(knock "$CLUSTER_DIR/stolen.pem")" || fail "the stolen certificate: $(knock "$CLUSTER_DIR/stolen.pem")"
grep -aq 'missed a rotation of the CA' <<<"$(knock "$identity")" && fail "node 4's own certificate is refused"

# Nobody was refused.
eventually 30 "4 steady tasks in the end" runs steady 4
read -r made failed <"$CLUSTER_DIR/created"
[ "$made" -ge 20 ] || fail "only $made configs were created"
is "refused creates ($(sort -u "$CLUSTER_DIR/creates" | head -3))" 0 "$failed"
