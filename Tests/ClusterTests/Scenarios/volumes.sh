# Volumes as objects: made, listed, used, refused while used, pruned; by docker and by swarmctl alike.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
same() { diff <(docker "$@" 2>&1) <(ctl "$@" 2>&1) || fail "docker's and ours differ: $*"; }
refused() { local words=$1 output; shift; if output=$(docker "$@" 2>&1); then fail "accepted: $*"; fi; grep -qF "$words" <<<"$output" || fail "$*: '$output' lacks '$words'"; }
is "a volume made" data "$(docker volume create --label b=2 --label a=1 data)"
is "the same one again" data "$(ctl volume create data)"
is "with options" scratch "$(ctl volume create -o type=tmpfs -o device=tmpfs -o o=size=1m scratch)"
same volume ls
same volume ls --format '{{.Name}} {{.Driver}} {{.Mountpoint}} {{.Scope}}'
same volume ls -q -f label=a=1
same volume inspect data scratch
same volume inspect nope
refused 'get nope: no such volume' volume rm nope
docker volume rm -f nope >/dev/null || fail "--force minds an absent volume"
refused 'invalid characters for a local volume name' volume create 'a b'
refused 'invalid characters for a local volume name' volume create _data
for name in . .. %2e _data; do
  is "removing a volume called $name" 404 "$(curl -s --path-as-is -o /dev/null -w '%{http_code}' -X DELETE --unix-socket "$CLUSTER_DIR/n1/swarmd.sock" "http://d/volumes/$name")"
done
refused 'plugin "nfs" not found' volume create -d nfs x
refused 'invalid option: "nope"' volume create -o nope=1 x
refused 'other options' volume create -o type=tmpfs -o device=tmpfs data
anonymous=$(docker volume create)
[[ $anonymous =~ ^[0-9a-f]{64}$ ]] || fail "the name of a volume without one: $anonymous"

# What a task wrote stays when the service goes; a volume made by a task is listed with its labels.
docker service create -q -d --name w --stop-signal KILL --mount type=volume,src=data,dst=/d --mount type=volume,src=made,dst=/m,volume-label=x=y \
  --mount type=volume,dst=/nameless busybox:latest sh -c 'echo kept >/d/file; sleep 1000' >/dev/null 2>&1
eventually 10 "the writer" runs w 1
wrote() { grep -q kept "$CLUSTER_DIR/n1/data/volumes/data/_data/file"; }
eventually 5 "the file" wrote
container=$(docker ps -q --no-trunc)
refused "remove data: volume is in use - [$container]" volume rm data
is "volumes that nobody has" "$(printf '%s\nscratch' "$anonymous" | sort)" "$(docker volume ls -q -f dangling=true | sort)"
is "labels of a volume that a task made" '{"x":"y"}' "$(docker volume inspect -f '{{json .Labels}}' made)"
is "all volumes" 5 "$(docker volume ls -q | wc -l)"
docker service rm w >/dev/null
gone() { [ -z "$(docker ps -aq)" ]; }
eventually 10 "the writer's end" gone
is "volumes after the service" "data made scratch" "$(docker volume ls -q | grep -v "$anonymous" | sort | xargs)"
is "what pruning removes" "$anonymous" "$(docker volume prune -f | grep -x "$anonymous")"
cluster stop 1 TERM; cluster start 1
is "volumes after a restart" "data made scratch" "$(docker volume ls -q | sort | xargs)"
grep -q kept "$CLUSTER_DIR/n1/data/volumes/data/_data/file" || fail "what the task wrote is gone"
ctl volume prune -a -f | grep -qx scratch || fail "prune --all"
is "nothing left" "" "$(docker volume ls -q)"
