# Each refusal of the API with its status and its whole text, as clients of Docker Engine know them.
source "$(dirname "$0")/common.sh"
cluster up 2 --managers 1 >/dev/null
cluster add 3
on=1
# ask METHOD PATH [BODY]: the answer's body, and its status on the last line.
ask() {
  local method=$1 path=$2; shift 2
  curl -gsS -m 30 --unix-socket "$CLUSTER_DIR/n$on/swarmd.sock" -w '\n%{http_code}' -X "$method" \
    ${1:+-H 'Content-Type: application/json' -d "$1"} "http://d/v1.41$path"
}
# error STATUS TEXT METHOD PATH [BODY]: ID stands for any identifier.
error() {
  local status=$1 text=$2 answer; shift 2
  answer=$(ask "$@" | sed -E 's/\b[0-9a-z]{25}\b/ID/g')
  is "$* (status)" "$status" "$(tail -1 <<<"$answer")"
  is "$*" "$text" "$(sed '$d' <<<"$answer" | jq -r .message)"
}
# made METHOD PATH [BODY]: succeeds and tells the new object's identifier.
made() {
  local answer; answer=$(ask "$@")
  [[ $(tail -1 <<<"$answer") = 2* ]] || fail "$*: $answer"
  sed '$d' <<<"$answer" | jq -r '.ID // .Id'
}
version() { ask GET "$1" | sed '$d' | jq .Version.Index; }
rpc() { echo "rpc error: code = $1 desc = $2"; }

# A node of no swarm.
on=3
outside='This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
for path in /services /nodes /tasks /secrets /configs /swarm; do error 503 "$outside" GET $path; done
error 503 "$outside" POST /services/create '{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"busybox"}}}'
error 503 'This node is not part of a swarm' POST /swarm/leave
error 400 'invalid ListenAddr "": invalid empty address' POST /swarm/init '{}'
error 400 'at least 1 RemoteAddr is required to join' POST /swarm/join '{"ListenAddr":"0.0.0.0:2377"}'
error 500 'invalid join token' POST /swarm/join '{"ListenAddr":"0.0.0.0:2377","RemoteAddrs":["198.18.0.11:2377"],"JoinToken":"x"}'
error 500 'Datapath port number is not in valid range (1024-49151) : 80' POST /swarm/init '{"ListenAddr":"0.0.0.0:2377","DataPathPort":80}'
error 500 'subnet size is out of range: 40' POST /swarm/init '{"ListenAddr":"0.0.0.0:2377","SubnetSize":40}'
error 503 'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing dial tcp 198.18.0.11:1: connect: connection refused"' POST /swarm/join '{"ListenAddr":"0.0.0.0:2377","RemoteAddrs":["198.18.0.11:1"],"JoinToken":"SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx"}'
# A worker.
on=2
worker="This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager."
error 503 "$worker" GET /services
error 503 "$worker" GET /nodes
# A manager.
on=1
error 503 'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.' POST /swarm/init '{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"198.18.0.11"}'
error 503 'You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ' POST /swarm/leave
error 409 'swarm is not locked' POST /swarm/unlock '{"UnlockKey":"SWMKEY-1-x"}'

service() { echo "{\"Name\":\"$1\",\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"busybox:latest\",\"Args\":[\"sleep\",\"1000\"]${3:-}}${2:-}}${4:-}}"; }
web=$(made POST /services/create "$(service web '' '' ',"Mode":{"Replicated":{"Replicas":1}},"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8088}]}')")
made POST /services/create "$(service hosted '' '' ',"Mode":{"Replicated":{"Replicas":0}},"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8089,"PublishMode":"host"}]}')" >/dev/null
sec=$(made POST /secrets/create '{"Name":"sec1","Data":"czNjcmV0"}')
made POST /configs/create '{"Name":"cfg1","Data":"czNjcmV0"}' >/dev/null
for user in full other; do
  made POST /services/create "$(service $user '' ",\"Secrets\":[{\"SecretID\":\"$sec\",\"SecretName\":\"sec1\",\"File\":{\"Name\":\"x\",\"UID\":\"0\",\"GID\":\"0\",\"Mode\":292}}]" ',"Mode":{"Replicated":{"Replicas":0}}')" >/dev/null
done
net=$(made POST /networks/create '{"Name":"n1","Driver":"overlay"}')
made POST /services/create "$(service onnet ",\"Networks\":[{\"Target\":\"$net\"}]" '' ',"Mode":{"Replicated":{"Replicas":0}}')" >/dev/null

# 409
error 409 "$(rpc AlreadyExists 'name conflicts with an existing object: service web already exists')" POST /services/create "$(service web)"
error 409 "$(rpc AlreadyExists 'secret sec1 already exists')" POST /secrets/create '{"Name":"sec1","Data":"YQ=="}'
error 409 "$(rpc AlreadyExists 'config cfg1 already exists')" POST /configs/create '{"Name":"cfg1","Data":"YQ=="}'
error 409 'network with name n1 already exists' POST /networks/create '{"Name":"n1","Driver":"overlay"}'
error 409 "$(rpc AlreadyExists 'ingress network (ID) is already present')" POST /networks/create '{"Name":"i","Driver":"overlay","Ingress":true}'
# 404
for kind in service node task secret config network; do error 404 "$kind nope not found" GET /${kind}s/nope; done
error 404 'No such container: nope' GET /containers/nope/json
error 404 'No such exec instance: nope' GET /exec/nope/json
error 404 'get nope: no such volume' GET /volumes/nope
error 404 'plugin "nope" not found' POST /networks/create '{"Name":"x","Driver":"nope"}'
error 404 'page not found' GET /nosuchpage
# 403
error 403 'bridge is a pre-defined network and cannot be removed' DELETE /networks/bridge
# 501
error 501 "$(rpc Unimplemented 'renaming services is not supported')" POST "/services/web/update?version=$(version /services/web)" "$(service other)"
error 501 "$(rpc Unimplemented 'service mode change is not allowed')" POST "/services/web/update?version=$(version /services/web)" "$(service web '' '' ',"Mode":{"Global":{}}')"
# 400 of the control API
bad() { local text=$1; shift; error 400 "$(rpc InvalidArgument "$text")" POST /services/create "$@"; }
bad 'name must be valid as a DNS name component' "$(service 'a b')"
bad 'name must be 63 characters or fewer' "$(service "$(printf 'a%.0s' $(seq 64))")"
bad 'ContainerSpec: image reference must be provided' '{"Name":"a","TaskTemplate":{"ContainerSpec":{"Args":["x"]}}}'
bad 'ContainerSpec: "A:B:C" is not a valid repository/tag' '{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"A:B:C"}}}'
bad 'ContainerSpec: duplicate mount point: /x' "$(service a '' ',"Mounts":[{"Type":"volume","Target":"/x"},{"Type":"volume","Target":"/x"}]')"
bad 'ContainerSpec: Interval in HealthConfig cannot be less than 1ms' "$(service a '' ',"Healthcheck":{"Interval":1000}')"
bad 'invalid memory value 100: Must be at least 4MiB' "$(service a ',"Resources":{"Limits":{"MemoryBytes":100}}')"
bad 'invalid cpu value 1e-07: Must be at least 0.001' "$(service a ',"Resources":{"Limits":{"NanoCPUs":100}}')"
bad 'TaskSpec: restart-delay cannot be negative' "$(service a ',"RestartPolicy":{"Delay":-1}')"
bad 'TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1' "$(service a '' '' ',"UpdateConfig":{"MaxFailureRatio":2}')"
bad "EndpointSpec: port published with ingress mode can't be used with dnsrr mode" "$(service a '' '' ',"EndpointSpec":{"Mode":"dnsrr","Ports":[{"TargetPort":80,"PublishedPort":9000}]}')"
bad 'EndpointSpec: duplicate published ports provided' "$(service a '' '' ',"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":9000},{"TargetPort":81,"PublishedPort":9000}]}')"
bad "port '8088' is already in use by service 'web' (ID) as an ingress port" "$(service a '' '' ',"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8088}]}')"
bad "port '8089' is already in use by service 'hosted' (ID) as a host-published port" "$(service a '' '' ',"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8089}]}')"
bad 'Service cannot be explicitly attached to the ingress network "ingress"' "$(service a ',"Networks":[{"Target":"ingress"}]')"
bad 'secret not found: nope' "$(service a '' ',"Secrets":[{"SecretID":"x","SecretName":"nope","File":{"Name":"x"}}]')"
bad 'secrets not found: a, b' "$(service a '' ',"Secrets":[{"SecretID":"x","SecretName":"a","File":{"Name":"x"}},{"SecretID":"y","SecretName":"b","File":{"Name":"y"}}]')"
bad 'config not found: nope' "$(service a '' ',"Configs":[{"ConfigID":"x","ConfigName":"nope","File":{"Name":"x"}}]')"
bad 'expanding hostname failed: template: expansion:1: unclosed action' "$(service a '' ',"Hostname":"{{.Foo"')"
bad 'Jobs may not have an update config' "$(service a '' '' ',"Mode":{"ReplicatedJob":{}},"UpdateConfig":{"Parallelism":1}')"
error 400 "$(rpc InvalidArgument "secret 'sec1' is in use by the following services: full, other")" DELETE /secrets/sec1
ask DELETE /services/other >/dev/null
error 400 "$(rpc InvalidArgument "secret 'sec1' is in use by the following service: full")" DELETE /secrets/sec1
error 400 "$(rpc InvalidArgument 'secret data must be larger than 0 and less than 512000 bytes')" POST /secrets/create '{"Name":"a"}'
error 400 "$(rpc InvalidArgument 'config data must be larger than 0 and less than 1024000 bytes')" POST /configs/create '{"Name":"a"}'
error 400 "$(rpc InvalidArgument 'name must be provided')" POST /secrets/create '{"Data":"YQ=="}'
error 400 "$(rpc InvalidArgument 'invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]')" POST /secrets/create '{"Name":"a b","Data":"YQ=="}'
error 400 "$(rpc InvalidArgument 'only updates to Labels are allowed')" POST "/secrets/sec1/update?version=$(version /secrets/sec1)" '{"Name":"sec1","Data":"YQ=="}'
error 400 "$(rpc InvalidArgument 'minimum certificate expiry time is: 1h0m0s')" POST "/swarm/update?version=$(version /swarm)" '{"Name":"default","CAConfig":{"NodeCertExpiry":1}}'
# 400, what is there does not allow it
error 400 "$(rpc FailedPrecondition 'attempting to demote the last manager of the swarm')" POST "/nodes/node1/update?version=$(version /nodes/node1)" '{"Role":"worker","Availability":"active"}'
error 400 "$(rpc FailedPrecondition 'node ID is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal')" DELETE /nodes/node1
error 400 "$(rpc FailedPrecondition "node ID is not down and can't be removed")" DELETE /nodes/node2
error 400 "$(rpc FailedPrecondition 'network ID is in use by service ID')" DELETE /networks/n1
error 400 "$(rpc FailedPrecondition 'ingress network cannot be removed because service ID depends on it')" DELETE /networks/ingress
error 400 "$(rpc FailedPrecondition 'service ID does not have a previous spec')" POST "/services/web/update?version=$(version /services/web)&rollback=previous" "$(service web)"
# 400 of the engine itself
error 400 'swarm spec must be named "default"' POST "/swarm/update?version=$(version /swarm)" '{"Name":"other"}'
error 400 'invalid Role: "foo"' POST "/nodes/node2/update?version=$(version /nodes/node2)" '{"Role":"foo","Availability":"active"}'
error 400 'invalid Availability: "foo"' POST "/nodes/node2/update?version=$(version /nodes/node2)" '{"Role":"worker","Availability":"foo"}'
error 400 'invalid RestartCondition: "foo"' POST /services/create "$(service a ',"RestartPolicy":{"Condition":"foo"}')"
error 400 'unrecognized update failure action foo' POST /services/create "$(service a '' '' ',"UpdateConfig":{"FailureAction":"foo"}')"
error 400 'unrecognized update order foo' POST /services/create "$(service a '' '' ',"UpdateConfig":{"Order":"foo"}')"
error 400 'invalid resolution mode: "foo"' POST /services/create "$(service a '' '' ',"EndpointSpec":{"Mode":"foo"}')"
error 400 'must specify only one service mode' POST /services/create "$(service a '' '' ',"Mode":{"Global":{},"Replicated":{}}')"
error 400 'mismatched Runtime and *Spec fields' POST /services/create '{"Name":"a"}'
error 400 "invalid service version 'x': strconv.ParseUint: parsing \"x\": invalid syntax" POST '/services/web/update?version=x' "$(service web)"
error 400 "invalid node version 'x': strconv.ParseUint: parsing \"x\": invalid syntax" POST '/nodes/node1/update?version=x' '{}'
error 400 "invalid swarm version 'x': strconv.ParseUint: parsing \"x\": invalid syntax" POST '/swarm/update?version=x' '{}'
error 400 'invalid secret version' POST '/secrets/sec1/update?version=x' '{}'
error 400 "Invalid filter 'foo'" GET '/services?filters={"foo":["x"]}'
error 400 '`since` time (10) cannot be after `until` time (5)' GET '/events?since=10&until=5'
# 500
error 500 "$(rpc Unknown 'update out of sequence')" POST '/services/web/update?version=1' "$(service web)"
error 500 "$(rpc Unknown 'constraint expected one operator from ==, !=')" POST /services/create "$(service a ',"Placement":{"Constraints":["node.role=manager"]}')"
error 500 "$(rpc Unknown "value '@@' is invalid")" POST /services/create "$(service a ',"Placement":{"Constraints":["node.role==@@"]}')"
error 500 'network nope not found' POST /services/create "$(service a ',"Networks":[{"Target":"nope"}]')"
error 500 'unrecognized rollback option foo' POST "/services/web/update?version=$(version /services/web)&rollback=foo" "$(service web)"
error 500 'unsupported registryAuthFrom value' POST "/services/web/update?version=$(version /services/web)&registryAuthFrom=foo" "$(service web)"
error 500 'Bad parameters: you must choose at least one stream' GET /services/web/logs
error 500 'tail value must be a positive integer or "all"' GET '/services/web/logs?stdout=1&tail=x'
error 500 "Invalid role filter: 'x'" GET '/nodes?filters={"role":["x"]}'
error 500 "Invalid membership filter: 'x'" GET '/nodes?filters={"membership":["x"]}'
error 500 "Invalid desired-state filter: 'x'" GET '/tasks?filters={"desired-state":["x"]}'
