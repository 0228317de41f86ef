"""fill.py SOCKET SERVICES TASKS SECONDS: fills a swarm's store; prints what it holds then and the id of one task.

Ten of the services have tasks that no node may run; the others have none.
"""
import http.client
import json
import socket
import sys
import time

FULL = 10  # services that have tasks


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("d", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(connection, method, target, document=None):
    connection.request(method, target, None if document is None else json.dumps(document), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read() or b"null")
    if answer.status >= 400:
        raise SystemExit(f"{method} {target}: {answer.status} {body}")
    return body


def service(name, replicas):
    return {"Name": name, "Labels": {"com.example.kind": "filler"}, "Mode": {"Replicated": {"Replicas": replicas}}, "EndpointSpec": {"Mode": "dnsrr"},
            "TaskTemplate": {"ContainerSpec": {"Image": "busybox:latest", "Args": ["sleep", "1000000"], "Env": ["A=b", "C=d"], "Labels": {"a": "b"}},
                             "Resources": {"Limits": {"MemoryBytes": 67108864}}, "RestartPolicy": {"Condition": "any", "Delay": 5000000000},
                             "Placement": {"Constraints": ["node.labels.absent==1"]}}}


def main():
    path, services, tasks, seconds = sys.argv[1], *map(int, sys.argv[2:])
    connection = Connection(path)
    deadline = time.monotonic() + seconds
    made = 0
    for index in range(FULL):
        ask(connection, "POST", "/services/create", service(f"full{index}", tasks // FULL))
        made += 1
    while made < services and time.monotonic() < deadline:
        ask(connection, "POST", "/services/create", service(f"empty{made - FULL}", 0))
        made += 1
    held = []
    while time.monotonic() < deadline + seconds:
        held = ask(connection, "GET", "/tasks")
        if len(held) >= tasks:
            break
        time.sleep(0.5)
    print(made, "services and", len(held), "tasks, one of them", held[0]["ID"])


if __name__ == "__main__":
    main()
