# Requests that once did harm, and twenty seconds of new ones, mutated at the wire: never a trap, a hang or a leak.
source "$(dirname "$0")/common.sh"
[ -n "$(ls "$root/Tests/ClusterTests/Corpus")" ] || fail "the corpus is empty"
"$root/Scripts/fuzz" api 20 7

# What no single connection shows: a process started while its container is being frozen once held the thaw for a minute.
cluster up 1 >/dev/null
docker run -d --name solo busybox:latest sleep 10000 >/dev/null
starts() { while [ ! -e "$CLUSTER_DIR/enough" ]; do docker exec -d solo true 2>/dev/null || true; done; }
starts & starts & starts &
for i in $(seq 12); do
  timeout 30 "$root/Scripts/cluster" docker 1 pause solo >/dev/null || fail "pause $i"
  timeout 30 "$root/Scripts/cluster" docker 1 unpause solo >/dev/null || fail "unpause $i"
done
touch "$CLUSTER_DIR/enough"; wait
is "the container in the end" running "$(docker inspect --format '{{.State.Status}}' solo)"
