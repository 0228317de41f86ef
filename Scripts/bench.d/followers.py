"""followers.py SOCKET events|logs N: the time of a create, with and without N followers, in rounds that take turns.

Prints lines of METRIC VALUE: create-without-KIND and create-with-KIND in ms (the median of a round), and their ratio.
The creates come one every 50 ms: what is told to a thousand clients is told after the answer, and before the next one.
"""
import os
import select
import socket
import statistics
import sys
import time

from fill import Connection, ask, service

ROUNDS, CREATES, PAUSE_SECONDS = 6, 30, 0.05
TARGETS = {"events": "/events", "logs": "/services/quiet/logs?stdout=1&stderr=1&follow=1"}


def follow(path, kind, count, until):
    """A child that holds the followers and reads what they are told, until its standard input ends."""
    poll = select.epoll()
    sockets = {}
    for _ in range(count):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(path)
        peer.sendall(f"GET {TARGETS[kind]} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        sockets[peer.fileno()] = peer
    for peer in sockets.values():
        if not peer.recv(65536).startswith(b"HTTP/1.1 200"):
            os._exit(1)
        poll.register(peer, select.EPOLLIN)
    poll.register(until, select.EPOLLIN | select.EPOLLHUP)
    os.write(1, b"ready\n")
    told = 0
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == until:
                os.write(1, b"%d\n" % told)
                return
            data = sockets[descriptor].recv(65536)
            if not data:
                os._exit(1)
            told += len(data)


def creates(connection, prefix):
    """The median time of a create, in ms."""
    times = []
    for index in range(CREATES):
        name = f"{prefix}{index}"
        began = time.monotonic()
        ask(connection, "POST", "/services/create", service(name, 0))
        times.append((time.monotonic() - began) * 1000)
        time.sleep(max(0, began + PAUSE_SECONDS - time.monotonic()))
    for index in range(CREATES):
        connection.request("DELETE", f"/services/{prefix}{index}")
        connection.getresponse().read()
        time.sleep(PAUSE_SECONDS)
    return statistics.median(times)


def main():
    path, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    connection = Connection(path)
    creates(connection, "warm")
    for round_number in range(ROUNDS):
        without = creates(connection, f"without{round_number}-")
        stop, said = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(stop[1])
            os.dup2(said[1], 1)
            follow(path, kind, count, stop[0])
            os._exit(0)
        os.close(stop[0])
        os.close(said[1])
        with os.fdopen(said[0]) as words:
            if words.readline() != "ready\n":
                raise SystemExit(f"{count} followers of {kind} were not let in")
            with_followers = creates(connection, f"with{round_number}-")
            os.close(stop[1])
            told = int(words.readline())
        os.waitpid(child, 0)
        if kind == "events" and told < count * CREATES * 100:
            raise SystemExit(f"the followers were told {told} bytes only")
        print(f"create-without-{kind} {without:.3f}\ncreate-with-{kind} {with_followers:.3f}\ncreate-ratio-{kind} {with_followers / without:.3f}")


if __name__ == "__main__":
    main()
