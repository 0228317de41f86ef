# Clients that others wrote: Docker's SDK for Python, Ansible's modules for swarms, Prometheus' service discovery.
# NO_ORACLE=1 leaves it out: it takes them from PyPI and Debian.
[ -z "${NO_ORACLE:-}" ] || { echo "left out: NO_ORACLE is set"; exit 0; }
source "$(dirname "$0")/common.sh"
command -v prometheus >/dev/null || fail "prometheus is missing: Scripts/install-dependencies"
# Kept between runs; made anew when a run was interrupted while it was made.
tools=/tmp/swarm-test-clients
if [ ! -e "$tools/ready" ]; then
  rm -rf "$tools"; mkdir -p "$tools/wheels" "$tools/collections"
  python3 -m venv "$tools/venv" >/dev/null
  "$tools/venv/bin/pip" install -q --disable-pip-version-check 'docker==7.1.0' 'ansible-core==2.18.*' ||
    fail "PyPI does not deliver docker and ansible-core; NO_ORACLE=1 leaves this scenario out"
  # The package of all collections is large: only two of them are unpacked.
  "$tools/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$tools/wheels" 'ansible==11.*' ||
    fail "PyPI does not deliver ansible; NO_ORACLE=1 leaves this scenario out"
  python3 - "$tools" <<'UNPACK'
import glob, sys, zipfile
archive = zipfile.ZipFile(glob.glob(sys.argv[1] + "/wheels/ansible-*.whl")[0])
wanted = ("ansible_collections/community/docker/", "ansible_collections/community/library_inventory_filtering_v1/")
archive.extractall(sys.argv[1] + "/collections", [name for name in archive.namelist() if name.startswith(wanted)])
UNPACK
  rm -rf "$tools/wheels"; touch "$tools/ready"
fi
cluster up 1 >/dev/null
socket=$CLUSTER_DIR/n1/swarmd.sock

# The SDK: creates, reads back, changes, follows, removes.
DOCKER_HOST=unix://$socket timeout 120 "$tools/venv/bin/python" - <<'SDK' || fail "the Python SDK"
import time
import docker
from docker.errors import APIError, NotFound
from docker.types import (ConfigReference, EndpointSpec, Mount, NetworkAttachmentConfig, Resources, RestartPolicy,
                          SecretReference, ServiceMode, UpdateConfig)

client = docker.from_env()
assert client.ping() and client.info()["Swarm"]["ControlAvailable"]
assert client.swarm.attrs["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
node = client.nodes.list(filters={"role": "manager"})[0]
spec = node.attrs["Spec"]
spec["Labels"] = {"disk": "ssd"}
assert node.update(spec)
assert client.nodes.get(node.id).attrs["Spec"]["Labels"] == {"disk": "ssd"}
network = client.networks.create("app", driver="overlay", attachable=True, labels={"a": "b"})
assert client.networks.list(names=["app"])[0].id == network.id
secret = client.secrets.create(name="sec", data=b"s3cret", labels={"k": "v"})
config = client.configs.create(name="cfg", data=b"hello {{.Service.Name}}", templating={"name": "golang"})
assert client.secrets.get(secret.id).attrs["Spec"]["Labels"] == {"k": "v"}
service = client.services.create(
    "busybox:latest", ["sh", "-c", "cat /cfg; echo; cat /run/secrets/sec; echo; exec sleep 1000"], name="web",
    env=["A=1"], labels={"l": "1"}, container_labels={"c": "2"}, constraints=["node.labels.disk == ssd"],
    mode=ServiceMode("replicated", 2), networks=[NetworkAttachmentConfig(network.id, aliases=["w"])],
    secrets=[SecretReference(secret.id, "sec")], configs=[ConfigReference(config.id, "cfg", "/cfg")],
    mounts=[Mount("/data", "v1")], stop_grace_period=1_000_000_000, restart_policy=RestartPolicy("any", delay=1),
    resources=Resources(mem_limit=64 << 20), update_config=UpdateConfig(parallelism=0, monitor=100_000_000),
    endpoint_spec=EndpointSpec(ports={9010: 80}))

def running(count):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        tasks = client.services.get(service.id).tasks(filters={"desired-state": "running"})
        # An update under way writes the service's state, and with it a new version.
        state = client.services.get(service.id).attrs.get("UpdateStatus", {}).get("State")
        if sum(task["Status"]["State"] == "running" for task in tasks) == count == len(tasks) and state != "updating":
            return tasks
        time.sleep(0.05)
    raise AssertionError(f"not {count} running: {tasks}")

tasks = running(2)
assert all(task["NetworksAttachments"] for task in tasks), tasks
lines = sorted(b"".join(service.logs(stdout=True)).split())
assert lines == [b"hello", b"hello", b"s3cret", b"s3cret", b"web", b"web"], lines
assert client.services.list(filters={"name": "we"}, status=True)[0].attrs["ServiceStatus"]["RunningTasks"] == 2
service.reload()
assert service.scale(1)
running(1)
service.reload()
before = service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
assert service.update(env=["A=2"]) is not None
service.reload()
after = service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]
assert (before, after["Env"], after["Labels"]) == (["A=1"], ["A=2"], {"c": "2"}), after
running(1)
service.reload()
assert service.force_update()
try:
    client.api.update_service(service.id, 1, task_template=service.attrs["Spec"]["TaskTemplate"], name="web")
    raise AssertionError("a stale version was accepted")
except APIError as error:
    assert "update out of sequence" in str(error), error
try:
    secret.remove()
    raise AssertionError("a secret in use was removed")
except APIError as error:
    assert error.status_code == 400 and "in use by the following service: web" in str(error), error
service.remove()
try:
    client.services.get("web")
    raise AssertionError("the service is still there")
except NotFound:
    pass
deadline = time.monotonic() + 20
while client.containers.list():
    assert time.monotonic() < deadline
    time.sleep(0.05)
for made in (secret, config, network):
    made.remove()
kinds = {(event["Type"], event["Action"]) for event in client.events(since=0, until=int(time.time()) + 1, decode=True)}
assert {("service", "create"), ("service", "remove"), ("secret", "create"), ("config", "remove")} <= kinds, kinds
SDK

# Ansible: a playbook that makes, changes nothing the second time, changes one thing the third, and removes.
cat >"$CLUSTER_DIR/play.yml" <<'PLAY'
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/community.docker.docker: {docker_host: "{{ socket }}"}
  tasks:
    - community.docker.docker_swarm: {state: present, advertise_addr: 198.18.0.11, task_history_retention_limit: 4}
    - community.docker.docker_node: {hostname: node1, labels: {zone: a}, availability: active}
    - community.docker.docker_network: {name: play, driver: overlay, attachable: true, state: "{{ state }}"}
      when: state == 'present'
    - community.docker.docker_secret: {name: plays, data: s3cret, labels: {a: b}, state: present}
      when: state == 'present'
    - community.docker.docker_config: {name: playc, data: hello, state: present}
      when: state == 'present'
    - community.docker.docker_swarm_service:
        name: play
        state: "{{ state }}"
        image: busybox:latest
        args: [sleep, "1000"]
        replicas: "{{ replicas }}"
        env: {A: "1", B: two}
        labels: {l: "1"}
        container_labels: {c: "2"}
        networks: [{name: play, aliases: [alias]}]
        secrets: [{secret_name: plays, filename: /run/secrets/plays, mode: "0400"}]
        configs: [{config_name: playc, filename: /etc/playc}]
        mounts: [{type: volume, source: playv, target: /data}, {type: tmpfs, target: /t, tmpfs_size: 1M}]
        publish: [{published_port: 9011, target_port: 80, protocol: tcp, mode: ingress}]
        limits: {memory: 64M, cpus: 0.5}
        reservations: {memory: 16M}
        placement: {constraints: [node.labels.zone == a], replicas_max_per_node: 9}
        restart_config: {condition: on-failure, delay: 1s, max_attempts: 3, window: 10s}
        update_config: {parallelism: 2, delay: 1s, order: start-first, failure_action: rollback}
        healthcheck: {test: ["CMD", "true"], interval: 10s, timeout: 2s, retries: 3, start_period: 1s}
        stop_grace_period: 1s
        hosts: {example.com: 1.2.3.4}
        dns: [1.1.1.1]
        logging: {driver: json-file, options: {max-size: 1m}}
        resolve_image: false
    - community.docker.docker_swarm_info: {nodes: true, services: true, tasks: true}
    - community.docker.docker_swarm_service_info: {name: play}
    - community.docker.docker_secret: {name: plays, state: absent}
      when: state == 'absent'
    - community.docker.docker_config: {name: playc, state: absent}
      when: state == 'absent'
    - community.docker.docker_network: {name: play, state: absent}
      when: state == 'absent'
      register: gone
      until: gone is succeeded
      retries: 20
      delay: 1
PLAY
# play STATE REPLICAS CHANGED: what Ansible says it has changed.
play() {
  local output
  output=$(cd "$CLUSTER_DIR" && ANSIBLE_COLLECTIONS_PATH=$tools/collections ANSIBLE_HOME=$CLUSTER_DIR/ansible \
    ANSIBLE_DEPRECATION_WARNINGS=0 ANSIBLE_LOCALHOST_WARNING=0 ANSIBLE_INVENTORY_UNPARSED_WARNING=0 LC_ALL=C.UTF-8 \
    timeout 170 "$tools/venv/bin/ansible-playbook" -e "socket=unix://$socket state=$1 replicas=$2" \
    -e "ansible_python_interpreter=$tools/venv/bin/python" --diff play.yml 2>&1 </dev/null) || fail "Ansible: $output"
  grep -q "changed=$3 " <<<"$output" || fail "Ansible ($1, $2 replicas) did not change $3: $output"
}
play present 1 6
eventually 20 "Ansible's service to run" runs play 1
play present 1 0
play present 2 1
eventually 20 "Ansible's service to have grown" runs play 2

# Prometheus finds nodes, services and tasks through the socket, and scrapes a service by what it found.
docker service create -d --name measured --network play --env A=1 --label job=busy --stop-grace-period 1s \
  -p 9012:80 busybox:latest sh -c 'mkdir /www; echo "answer 42" >/www/metrics; exec httpd -f -p 80 -h /www' >/dev/null 2>&1
eventually 20 "the measured service" runs measured 1
cat >"$CLUSTER_DIR/prometheus.yml" <<YAML
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
$(for role in nodes services tasks; do cat <<ROLE
  - job_name: $role
    dockerswarm_sd_configs: [{host: "unix://$socket", role: $role, refresh_interval: 1s}]
ROLE
done)
  - job_name: answer
    dockerswarm_sd_configs: [{host: "unix://$socket", role: services, refresh_interval: 1s}]
    relabel_configs:
      - {source_labels: [__meta_dockerswarm_service_label_job, __meta_dockerswarm_service_endpoint_port_publish_mode], regex: busy;ingress, action: keep}
      - {source_labels: [__meta_dockerswarm_service_endpoint_port_publish_mode], target_label: __address__, replacement: "198.18.0.11:9012"}
      - {source_labels: [__meta_dockerswarm_service_name], target_label: service}
YAML
cluster run 1 prometheus --config.file "$CLUSTER_DIR/prometheus.yml" --storage.tsdb.path "$CLUSTER_DIR/prometheus" \
  --web.listen-address 127.0.0.1:9090 >"$CLUSTER_DIR/prometheus.log" 2>&1 &
prometheus=$!
query() { cluster run 1 curl -sS -m 5 "http://127.0.0.1:9090/api/v1/$1"; }
targets() { query targets | jq -r '.data.activeTargets[].discoveredLabels | select(.job == "'"$1"'") | .'"$2" | sort -u | paste -sd,; }
discovers() { [ "$(targets "$1" "$2")" = "$3" ]; }
eventually 30 "Prometheus to find the node" discovers nodes __meta_dockerswarm_node_hostname node1
eventually 30 "Prometheus to find the services" discovers services __meta_dockerswarm_service_name measured,play
eventually 30 "Prometheus to find the tasks" discovers tasks __meta_dockerswarm_task_state running
measures() { [ "$(query 'query?query=answer%7Bservice="measured"%7D' | jq -r '.data.result[0].value[1]')" = 42 ]; }
eventually 30 "Prometheus to scrape the service" measures
kill $prometheus; wait $prometheus 2>/dev/null || true
docker service rm measured >/dev/null
unused() { [ -z "$(docker ps -q --filter label=com.docker.swarm.service.name=measured)" ]; }
eventually 20 "the measured service to be gone" unused
play absent 2 4
is "services at the end" "" "$(docker service ls -q)"
