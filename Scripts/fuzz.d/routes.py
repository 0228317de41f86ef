"""The routes that the daemon's sources declare, and a valid document for each that takes one."""
import pathlib
import re

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "Sources/DockerAPI"
# Routes that a loop declares: what the loop puts into them.
LOOPS = {"\\(word)": ["pause", "unpause"]}


def declared():
    """Every (METHOD, pattern), and the names that queries and filters are asked for."""
    routes, queries, filters = [], set(), set()
    for path in sorted(SOURCES.glob("*.swift")):
        text = path.read_text()
        for method, pattern in re.findall(r'router\.on\(\s*(\.?\w+),\s*"([^"]+)"', text):
            methods = [method[1:]] if method.startswith(".") else ["GET", "HEAD"]
            for hole, words in LOOPS.items():
                if hole in pattern:
                    routes += [(m, pattern.replace(hole, word)) for m in methods for word in words]
                    break
            else:
                if "\\(" in pattern:
                    raise SystemExit(f"fuzz: {path.name} declares '{pattern}' in a loop that Scripts/fuzz.d/routes.py does not know")
                routes += [(m, pattern) for m in methods]
        queries |= set(re.findall(r'(?:value|flag)\("([A-Za-z-]+)"\)', text)) | {"version", "h", "w", "since", "until"}
        for known in re.findall(r'filters\(\s*\[([^\]]*)\]', text) + re.findall(r'Set<String> = \[([^\]]*)\]', text):
            filters |= set(re.findall(r'"([^"]+)"', known))
    if len(routes) < 80:
        raise SystemExit(f"fuzz: only {len(routes)} routes found in {SOURCES}: the expression that finds them is out of date")
    return routes, sorted(queries), sorted(filters)


CONTAINER = {
    "Image": "busybox:latest", "Command": ["sh", "-c"], "Args": ["trap exit TERM; while :; do sleep 1; done"], "Labels": {"a": "b"},
    "Env": ["A=b", "C={{.Task.Slot}}"], "Dir": "/tmp", "User": "0:0", "Groups": ["0"], "Hostname": "h{{.Task.Slot}}", "TTY": False, "OpenStdin": False, "ReadOnly": False,
    "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 511}},
               {"Type": "volume", "Source": "fuzzvol", "Target": "/v", "ReadOnly": True, "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}, "DriverConfig": {"Name": "local"}}}],
    "StopSignal": "SIGTERM", "StopGracePeriod": 1000000000, "Init": True, "Hosts": ["10.0.0.1 a"],
    "DNSConfig": {"Nameservers": ["127.0.0.1"], "Search": ["x"], "Options": ["ndots:1"]},
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1000000000, "Timeout": 1000000000, "Retries": 3, "StartPeriod": 1000000000, "StartInterval": 1000000000},
    "Secrets": [{"SecretName": "sec", "SecretID": "{{ID:/secrets/sec}}", "File": {"Name": "s", "UID": "0", "GID": "0", "Mode": 292}}],
    "Configs": [{"ConfigName": "conf", "ConfigID": "{{ID:/configs/conf}}", "File": {"Name": "/c", "UID": "0", "GID": "0", "Mode": 292}}],
    "CapabilityAdd": ["CAP_NET_ADMIN"], "CapabilityDrop": ["CAP_CHOWN"], "Sysctls": {"net.ipv4.ip_forward": "1"},
    "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}], "Privileges": {"NoNewPrivileges": True, "CredentialSpec": None, "Seccomp": {"Mode": "default"}}, "OomScoreAdj": 10,
}
RESTART = {"Condition": "on-failure", "Delay": 5000000000, "MaxAttempts": 2, "Window": 1000000000}
UPDATE = {"Parallelism": 1, "Delay": 1000000, "FailureAction": "pause", "Monitor": 1000000, "MaxFailureRatio": 0.5, "Order": "start-first"}


def service(name, replicas, pending, port=0):
    return {
        "Name": name, "Labels": {"a": "b"}, "Mode": {"Replicated": {"Replicas": replicas}}, "UpdateConfig": UPDATE, "RollbackConfig": UPDATE,
        "TaskTemplate": {
            "ContainerSpec": CONTAINER, "RestartPolicy": RESTART, "ForceUpdate": 0, "Runtime": "container", "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
            "Placement": {"Constraints": ["node.labels.absent==1"] if pending else [], "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
                          "MaxReplicas": 10, "Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
            "Resources": {"Limits": {"NanoCPUs": 500000000, "MemoryBytes": 67108864, "Pids": 50}, "Reservations": {"NanoCPUs": 1000000, "MemoryBytes": 65536,
                          "GenericResources": [{"DiscreteResourceSpec": {"Kind": "x", "Value": 1}}]} if pending else {"MemoryBytes": 65536}},
            "Networks": [{"Target": "net", "Aliases": ["alias"], "DriverOpts": {}}],
        },
        "EndpointSpec": {"Mode": "vip", "Ports": [{"Name": "p", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "ingress"}] if port else []},
    }


CLUSTER = {
    "Name": "default", "Labels": {}, "Orchestration": {"TaskHistoryRetentionLimit": 5}, "Dispatcher": {"HeartbeatPeriod": 5000000000},
    "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 500, "ElectionTick": 10, "HeartbeatTick": 1},
    "CAConfig": {"NodeCertExpiry": 7776000000000000, "ForceRotate": 0, "ExternalCAs": [{"Protocol": "cfssl", "URL": "http://127.0.0.1:1", "Options": {}, "CACert": ""}]},
    "EncryptionConfig": {"AutoLockManagers": False}, "TaskDefaults": {"LogDriver": {"Name": "json-file", "Options": {}}},
}
JOIN = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "198.18.0.11", "DataPathAddr": "198.18.0.11", "RemoteAddrs": ["198.18.0.99:2377"],
        "JoinToken": "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx", "Availability": "active"}
STANDALONE = {
    "Image": "busybox:latest", "Cmd": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"], "Entrypoint": [], "Env": ["A=b"], "Hostname": "h", "Domainname": "d", "User": "0",
    "WorkingDir": "/tmp", "Labels": {"a": "b"}, "Tty": False, "OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True,
    "StopSignal": "SIGTERM", "StopTimeout": 1, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/anonymous": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Timeout": 1000000000, "Retries": 1, "StartPeriod": 0},
    "HostConfig": {"Binds": ["fuzzvol:/v:ro"], "Mounts": [{"Type": "tmpfs", "Target": "/t"}], "Tmpfs": {"/u": "size=64k"}, "NetworkMode": "bridge",
                   "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "31999"}]}, "PublishAllPorts": False, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1},
                   "AutoRemove": False, "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "CapAdd": ["NET_ADMIN"], "CapDrop": ["CHOWN"], "Dns": ["127.0.0.1"],
                   "DnsOptions": ["ndots:1"], "DnsSearch": ["x"], "ExtraHosts": ["a:10.0.0.1"], "GroupAdd": ["0"], "ReadonlyRootfs": False, "SecurityOpt": ["no-new-privileges"],
                   "Sysctls": {"net.ipv4.ip_forward": "1"}, "Ulimits": [{"Name": "nofile", "Hard": 200, "Soft": 100}], "Init": True, "OomScoreAdj": 10, "Memory": 67108864,
                   "NanoCpus": 500000000, "PidsLimit": 50},
    "NetworkingConfig": {"EndpointsConfig": {"bridge": {"Aliases": ["alias"], "IPAMConfig": {"IPv4Address": ""}}}},
}


def standalone(port):
    host = STANDALONE["HostConfig"]
    return {**STANDALONE, "HostConfig": {**host, "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": str(port)}]} if port else {}}}


FILE = {"Name": "fuzzfile", "Data": "c2VjcmV0", "Labels": {"a": "b"}, "Templating": {"Name": "golang", "Options": {}}}
EXEC = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": ["cat"], "Env": ["A=b"], "User": "0", "WorkingDir": "/tmp", "Privileged": False,
        "ConsoleSize": [24, 80], "DetachKeys": "ctrl-p"}


def document(rng, method, pattern):
    """A valid body; a new route gets one of another's until it has its own here."""
    known = {
        "/services/create": lambda: service(f"fuzz{rng.randrange(500)}", rng.choice([0, 1, 1, 3]), rng.random() < 0.75, rng.choice([0, rng.randrange(20000, 32000)])),
        "/services/{id}/update": lambda: service("target", rng.choice([0, 1, 2]), True),
        "/swarm/init": lambda: {**JOIN, "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24, "DataPathPort": 4789, "Spec": CLUSTER},
        "/swarm/join": lambda: JOIN, "/swarm/update": lambda: CLUSTER, "/swarm/unlock": lambda: {"UnlockKey": "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8"},
        "/swarm/leave": lambda: {}, "/nodes/{id}/update": lambda: {"Name": "", "Labels": {"zone": "a"}, "Role": "manager", "Availability": "active"},
        "/containers/create": lambda: standalone(rng.choice([0, rng.randrange(20000, 32000)])), "/containers/{id}/exec": lambda: EXEC, "/exec/{id}/start": lambda: {"Detach": rng.random() < 0.3, "Tty": False, "ConsoleSize": [24, 80]},
        "/containers/{id}/update": lambda: {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}, "Memory": 0},
        "/networks/create": lambda: {"Name": f"fuzznet{rng.randrange(9)}", "Driver": rng.choice(["overlay", "bridge"]), "Internal": False, "Attachable": True, "Ingress": False,
                                     "EnableIPv6": False, "Options": {"a": "b"}, "Labels": {"a": "b"}, "CheckDuplicate": True,
                                     "IPAM": {"Driver": "default", "Options": {}, "Config": [{"Subnet": f"10.{rng.randrange(90, 99)}.0.0/24", "IPRange": "", "Gateway": ""}]}},
        "/networks/{id}/connect": lambda: {"Container": "solo", "EndpointConfig": {"Aliases": ["x"], "IPAMConfig": {"IPv4Address": ""}}},
        "/networks/{id}/disconnect": lambda: {"Container": "solo", "Force": True},
        "/secrets/create": lambda: {**FILE, "Name": f"fuzzfile{rng.randrange(50)}"}, "/secrets/{id}/update": lambda: {**FILE, "Name": "sec"}, "/secrets/{id}/matches": lambda: FILE, "/configs/create": lambda: {**FILE, "Name": f"fuzzfile{rng.randrange(50)}"},
        "/configs/{id}/update": lambda: {**FILE, "Name": "conf"},
        "/volumes/create": lambda: {"Name": f"fuzzvol{rng.randrange(9)}", "Driver": "local", "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}, "Labels": {"a": "b"}},
    }
    if method not in ("POST", "PUT"):
        return {"a": "b"}
    return known.get(pattern, lambda: rng.choice([FILE, EXEC, CLUSTER, STANDALONE]))()


# Objects that a route may name. What must live on (the sentinel, its node and image) is never among what is removed.
NAMED = {"services": ["target", "web", "fuzz1", "fuzz2"], "tasks": ["web.1", "web.2"], "nodes": ["node1"], "networks": ["net", "lan", "bridge", "ingress", "fuzznet1"],
         "secrets": ["sec", "fuzzfile1"], "configs": ["conf", "fuzzfile1"], "volumes": ["vol", "fuzzvol1"], "containers": ["solo", "quick", "fuzzbox"],
         "images": ["busybox:latest", "fuzz:tag", "fuzz:loaded"], "distribution": ["busybox", "198.18.0.11:5000/x"], "exec": ["{{EXEC}}"]}
REMOVABLE = {"services": ["target", "fuzz1", "fuzz2", "fuzz3"], "nodes": ["absent"], "images": ["fuzz:tag", "fuzz:loaded"], "containers": ["quick", "fuzzbox"]}
