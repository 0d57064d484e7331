"""What deltas save: bytes and server CPU per delivery, for JSON of about 1 KiB in which a few fields change.

python3 tests/stock/measure_deltas.py SHARDCAST [SESSIONS [PER_SECOND [SECONDS [DEFLATE]]]]

Starts the server once per round, without and with deltas in turn, and prints a line for each: what `/metrics` counts
and what the kernel charges to the process, from one second after everybody is there. DEFLATE: off (default) or on.
"""

import http.client
import json
import os
import re
import select
import socket
import subprocess
import sys
import time

ROUNDS = 3
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def masked(text):
    """A client's text frame, masked with zeros."""
    body = text.encode()
    length = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0xFE]) + len(body).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + body


def message(number):
    """A scoreboard: of 30 fields the number, the clock and two players change each time."""
    fields = {f"player-{at:02}": f"points {1000 + at * 37}, lap {at % 7}" for at in range(28)}
    fields[f"player-{number % 28:02}"] = f"points {number}, lap {number % 9}"
    return json.dumps({"n": number, "clock": f"12:{number // 60 % 60:02}:{number % 60:02}", **fields}).encode()


class Sessions:
    """Clients in one room that read and throw away."""

    def __init__(self, port, count, extension):
        self.poller, self.sockets, self.buffer = select.epoll(), {}, bytearray(1 << 16)
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port))
            one.sendall(
                (
                    f"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extension}\r\n"
                ).encode()
            )
            commands = '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"room","delta":"fossil"}}'
            one.sendall(masked(commands))
            got = b""
            while b'"id":2' not in got:
                got += one.recv(4096)
            one.setblocking(False)
            self.sockets[one.fileno()] = one
            self.poller.register(one, select.EPOLLIN)

    def read_until(self, deadline):
        while (left := deadline - time.monotonic()) > 0:
            for number, _ in self.poller.poll(left, 256):
                self.sockets[number].recv_into(self.buffer)


def cpu_seconds(pid):
    """What the threads of the process have run for, theirs and the kernel's for them."""
    nanoseconds = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as statistics:
            nanoseconds += int(statistics.read().split()[0])
    return nanoseconds / 1e9


def counted(http_client):
    http_client.request("GET", "/metrics")
    page = http_client.getresponse().read().decode()

    def total(name):
        return sum(float(value) for value in re.findall(rf"^shardcast_{name}(?:{{.*}})? (\S+)$", page, re.M))

    return total("deliveries_total"), total("bytes_sent_total")


def run(binary, delta, sessions, per_second, seconds, deflate):
    settings = [f"room.delta={delta}", f"deflate.mode={deflate}"]
    command = [binary, "--listen", "127.0.0.1:0", *(part for one in settings for part in ("--set", one))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        port = next(int(found[1]) for line in server.stdout if (found := re.search(r"127\.0\.0\.1:(\d+)", line)))
        extension = "" if deflate == "off" else "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        members = Sessions(port, sessions, extension)
        asking = http.client.HTTPConnection("127.0.0.1", port)
        begun = time.monotonic()
        before = None
        for number in range(int((seconds + 1) * per_second)):
            if number == int(per_second):
                before = (*counted(asking), cpu_seconds(server.pid))
            asking.request("POST", "/rooms/room", message(number), {"content-type": "application/json"})
            asking.getresponse().read()
            members.read_until(begun + (number + 1) / per_second)
        members.read_until(time.monotonic() + 0.2)
        after = (*counted(asking), cpu_seconds(server.pid))
        deliveries, sent, cpu = (late - early for late, early in zip(after, before))
        assert deliveries >= sessions * per_second * seconds * 0.99, f"{deliveries} deliveries"
        print(
            f"delta {delta:6} deflate {deflate:3} {sessions} x {per_second}/s, {len(message(0))} bytes of JSON: "
            f"{sent / deliveries:7.1f} bytes, {cpu / deliveries * 1e6:5.2f} us of CPU per delivery",
            flush=True,
        )
    finally:
        server.kill()
        server.wait()


def main():
    binary, *rest = sys.argv[1:]
    sessions, per_second, seconds, deflate = [*rest, *("1000", "20", "5", "off")[len(rest) :]]
    for _ in range(ROUNDS):
        for delta in ("off", "fossil"):
            run(binary, delta, int(sessions), float(per_second), float(seconds), deflate)


if __name__ == "__main__":
    main()
