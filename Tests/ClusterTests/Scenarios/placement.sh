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

# Tasks are spread over racks, and within a rack over its nodes: node4 is alone in its own.
for i in 1 2 3; do docker node update --label-add rack=a node$i >/dev/null; done
docker node update --label-add rack=b node4 >/dev/null
create --name spread --placement-pref spread=node.labels.rack --placement-pref spread=engine.labels.none --replicas 6 busybox:latest sleep 1000
eventually 30 "6 spread tasks" runs spread 6
is "spread over racks" "node1=1 node2=1 node3=1 node4=3" "$(where spread)"
# A rack that takes no more keeps nobody waiting.
docker node update --availability pause node4 >/dev/null
docker service scale -d spread=9 >/dev/null
eventually 30 "9 spread tasks" runs spread 9
is "with one rack paused" "node1=2 node2=2 node3=2 node4=3" "$(where spread)"
docker node update --availability active node4 >/dev/null
docker service rm spread >/dev/null

# What a node offers beside CPU and memory: claimed by count, given by name.
offer() { cluster stop 4; DAEMON_ARGS="$*" cluster start 4 >/dev/null; }
offered() { docker node inspect --format '{{json .Description.Resources.GenericResources}}' node4; }
offers() { offered | grep -qF "$1"; }
offer --label disk=fast --node-generic-resource gpu=A --node-generic-resource gpu=B --node-generic-resource ssd=3
eventually 30 "node 4's offer" offers '{"NamedResourceSpec":{"Kind":"gpu","Value":"A"}},{"NamedResourceSpec":{"Kind":"gpu","Value":"B"}},{"DiscreteResourceSpec":{"Kind":"ssd","Value":3}}'
is "as the node itself says" "$(offered)" "$(cluster ctl 4 info --format '{{json .GenericResources}}')"
is "its engine's label" fast "$(docker node inspect --format '{{.Description.Engine.Labels.disk}}' node4)"
create --name claims --generic-resource gpu=1 --generic-resource ssd=1 --replicas 3 --restart-delay 0s busybox:latest sleep 1000
eventually 30 "2 of 3 claims" runs claims 2
# The third waits, on no node.
is "where claims run" "=1 node4=2" "$(where claims)"
errors() { docker service ps --no-trunc --format '{{.Error}}' claims; }
says() { errors | grep -qF "$1"; }
eventually 5 "the third claim's refusal" says 'no suitable node (insufficient resources on 4 nodes)'
given() { for id in $(cluster ctl 4 ps -q --filter label=com.docker.swarm.service.name=claims); do cluster ctl 4 exec "$id" sh -c 'echo $DOCKER_RESOURCE_GPU/$DOCKER_RESOURCE_SSD'; done | sort | paste -sd' '; }
is "what tasks were given" "A/1 B/1" "$(given)"
# Freed by one, taken by the next.
docker service scale -d claims=1 >/dev/null
eventually 30 "1 claim" runs claims 1
docker service scale -d claims=2 >/dev/null
eventually 30 "2 claims" runs claims 2
is "what tasks were given then" "A/1 B/1" "$(given)"
# The node comes back with less.
offer --node-generic-resource gpu=B --node-generic-resource ssd=3
eventually 30 "the one that holds A to go" says 'assigned node no longer meets constraints'
eventually 30 "1 claim to stay" runs claims 1
is "who stays" "B/1" "$(given)"
offer --node-generic-resource gpu=B --node-generic-resource gpu=C --node-generic-resource ssd=3
eventually 30 "2 claims again" runs claims 2
is "what tasks have in the end" "B/1 C/1" "$(given)"
