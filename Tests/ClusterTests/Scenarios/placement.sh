# Where tasks go when there are several nodes: a platform that no node has, nodes that come late or are drained.
source "$(dirname "$0")/common.sh"
cluster up 3 --managers 1 >/dev/null
where() { docker service ps --filter desired-state=running --format '{{.Node}}' "$1" | sort | uniq -c | awk '{ print $2 "=" $1 }' | paste -sd' '; }
create() { docker service create -d --no-resolve-image --stop-grace-period 0s "$@" >/dev/null; }

# No node has the image's platform: said of all three.
curl -sS --fail-with-body --unix-socket "$CLUSTER_DIR/n1/swarmd.sock" -H 'Content-Type: application/json' http://d/v1.41/services/create -d '{
  "Name":"foreign","TaskTemplate":{"ContainerSpec":{"Image":"busybox:latest"},
  "Placement":{"Platforms":[{"Architecture":"s390x","OS":"linux"}]}}}' >/dev/null
foreign() { docker service ps --no-trunc --format '{{.Error}}' foreign | grep -qF 'no suitable node (unsupported platform on 3 nodes)'; }
eventually 5 "the platform's refusal" foreign

# A job for every node runs on one that comes later, too.
create --name everywhere --mode global-job busybox:latest true
completed() { [ "$(docker service ls --filter name=everywhere --format '{{.Replicas}}')" = "0/0 ($1/$1 completed)" ]; }
eventually 20 "the job on three nodes" completed 3
cluster add 4
cluster ctl 4 swarm join --token "$(ctl swarm join-token -q worker)" --advertise-addr 198.18.0.14 198.18.0.11:2377 >/dev/null
eventually 30 "the job on the fourth" completed 4

# The delay before restarts is not waited for when a node is drained; its return moves nothing.
create --name patient --restart-delay 10m --constraint node.hostname!=node1 --constraint node.hostname!=node4 --replicas 2 busybox:latest sleep 1000
eventually 20 "2 tasks" runs patient 2
is "one on each" "node2=1 node3=1" "$(where patient)"
docker node update --availability drain node3 >/dev/null
moved() { [ "$(where "$1")" = "$2" ]; }
runs_on() { runs "$1" "$2" && moved "$1" "$3"; }
eventually 20 "the drained node's tasks to move" runs_on patient 2 "node2=2"
drained() { [ -z "$(cluster ctl 3 ps -q)" ]; }
eventually 20 "the drained node to be empty" drained
docker node update --availability active node3 >/dev/null
is "after its return" "node2=2" "$(where patient)"
