"""One round of measurements: each variant of a server in turn, a line of JSON for each on standard output.

python3 measure.py [swap] WHAT...        WHAT: memory, sse-memory, sse-20, sse-100, sse-300, deflate, storm
                                         swap: the last variant first

SHARDCAST and LOADGEN name the binaries (default: target/release/…). The server has one shard and core 0; whoever loads it
runs on core 1: loadgen for memory and sse, this program for what loadgen does not speak (compression, joins and leaves).
"""

import asyncio
import json
import os
import random
import re
import resource
import select
import socket
import subprocess
import sys
import time

SHARDCAST = os.environ.get("SHARDCAST", "target/release/shardcast")
LOADGEN = os.environ.get("LOADGEN", "target/release/loadgen")
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


class Server:
    def __init__(self, settings):
        arguments = [SHARDCAST, "serve", "--listen", "127.0.0.1:0", "--shards", "1", "--log-level", "error"]
        for setting in settings:
            arguments += ["--set", setting]
        self.process = subprocess.Popen(["taskset", "-c", "0", *arguments], stdout=subprocess.PIPE, text=True)
        self.port = None
        while self.port is None:
            found = re.search(r"open\s+http://127\.0\.0\.1:(\d+)/", self.process.stdout.readline())
            self.port = found and int(found.group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def cpu_s(self):
        tasks = f"/proc/{self.process.pid}/task"
        return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks)) / 1e9

    def memory_bytes(self):
        lines = open(f"/proc/{self.process.pid}/smaps_rollup").read().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def loadgen(server, adapter, path, arguments):
    scheme = "http" if adapter == "sse" else "ws"
    command = [LOADGEN, "run", "--adapter", adapter, "--url", f"{scheme}://127.0.0.1:{server.port}{path}"]
    command += ["--publish", "http", "--publish-url", f"http://127.0.0.1:{server.port}/rooms/{{room}}", "--pin", "1"]
    command += ["--server-pid", str(server.process.pid), "--quiet", "--format", "json", "--warm-up", "1s", *arguments]
    command += ["--limits-arrival-timeout", "1s"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    report = json.loads(done.stdout)
    figures, total = report["server"], report["total"]
    return {
        "cpu_us_per_delivery": figures["cpu_ns_per_delivery"] / 1e3,
        "memory_bytes_per_connection": figures["memory_per_connection_bytes"],
        "p50_ms": total["latency"]["p50_ns"] / 1e6,
        "p99_ms": total["latency"]["p99_ns"] / 1e6,
        "deliveries": total["deliveries"],
        "lost": total["lost"],
        "generator_busiest": report["generator"]["busiest_thread"],
        "others": report["generator"]["others"],
        "problems": report["validity"]["problems"],
    }


def by_loadgen(adapter, path, *arguments):
    def measured():
        with Server([]) as server:
            return loadgen(server, adapter, path, arguments)

    return measured


def trades(length):
    """JSON as a market's feed has it: names that come again, numbers that do not."""
    text = '{"channel":"trades","market":"BTC-EUR","sequence":%d,"trades":[' % random.randrange(10**7, 10**8)
    while len(text) < length:
        number, price = random.getrandbits(63), 60_000 + random.randrange(500) + random.randrange(100) / 100
        size, side = random.randrange(100_000), random.choice(["buy", "sell"])
        comma = "" if text.endswith("[") else ","
        text += f'{comma}{{"id":{number},"price":"{price:.2f}","size":"0.{size:05}","side":"{side}"}}'
    return text + "]}"


def deflate(mode, members=10_000, per_second=3, seconds=4):
    """A room of raw members, who read whatever comes; published over HTTP."""

    def measured():
        random.seed(5)
        payloads = [trades(990).encode() for _ in range(64)]
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if mode == "on" else ""
        request = f"GET /ws/room HTTP/1.1\r\nHost: x\r\n{UPGRADE}{offer}\r\n".encode()
        with Server([f"deflate.mode={mode}"]) as server:
            os.sched_setaffinity(0, {1})
            poll, sockets = select.epoll(), {}
            for _ in range(members):
                connection = socket.create_connection(("127.0.0.1", server.port))
                connection.sendall(request)
                answer = connection.recv(4096)
                assert b" 101 " in answer and (b"permessage-deflate" in answer) == (mode == "on"), answer
                connection.setblocking(False)
                sockets[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN | select.EPOLLET)
            publisher = socket.create_connection(("127.0.0.1", server.port))
            publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer, got, sent, length = bytearray(1 << 20), 0, 0, 0
            begin, cpu_s = time.monotonic(), server.cpu_s()
            while (now := time.monotonic() - begin) < seconds + 1:
                if now < seconds and now >= sent / per_second:
                    payload = payloads[sent % len(payloads)]
                    head = b"POST /rooms/room HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(payload)
                    publisher.sendall(head + payload)
                    sent, length = sent + 1, length + len(payload)
                for number, _ in poll.poll(0.002, 4096):
                    try:
                        while count := sockets[number].recv_into(buffer):
                            got += count
                    except BlockingIOError:
                        pass
            cpu_s, deliveries = server.cpu_s() - cpu_s, sent * members
            os.sched_setaffinity(0, {0, 1})
            return {
                "cpu_us_per_delivery": cpu_s * 1e6 / deliveries,
                "bytes_per_delivery": got / deliveries,
                "payload_bytes": length / sent,
                "deliveries": deliveries,
            }

    return measured


def frame(text):
    payload = text.encode()
    length = len(payload)
    header = bytes([0x81, 0x80 | length]) if length < 126 else bytes([0x81, 0xFE]) + length.to_bytes(2, "big")
    return header + bytes(4) + payload


class Listener(asyncio.Protocol):
    """A session that subscribes, wants to hear of joins and leaves, and counts them."""

    def __init__(self, number):
        self.number, self.rest, self.is_up, self.events = number, b"", False, 0
        self.subscribed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        head = f"GET /connection/websocket?name=user-{self.number} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n"
        transport.write(head.encode())

    def data_received(self, data):
        if not self.is_up:
            self.rest += data
            if b"\r\n\r\n" not in self.rest:
                return
            self.is_up, data = True, self.rest.split(b"\r\n\r\n", 1)[1]
            commands = '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"room","join_leave":true}}'
            self.transport.write(frame(commands))
        self.events += data.count(b'"join":') + data.count(b'"leave":')
        if b'"id":2,' in data and not self.subscribed.done():
            self.subscribed.set_result(None)


def storm(settings, members=10_000):
    async def join_all(server):
        loop, gate, listeners = asyncio.get_running_loop(), asyncio.Semaphore(200), []

        async def join(number):
            async with gate:
                _, listener = await loop.create_connection(lambda: Listener(number), "127.0.0.1", server.port)
                listeners.append(listener)
                await listener.subscribed

        memory, cpu_s, begin = server.memory_bytes(), server.cpu_s(), time.monotonic()
        await asyncio.gather(*[join(number) for number in range(members)])
        took_s = time.monotonic() - begin
        await asyncio.sleep(1.5)
        figures = {
            "joins_s": took_s,
            "cpu_us_per_join": (server.cpu_s() - cpu_s) * 1e6 / members,
            "memory_bytes_per_member": (server.memory_bytes() - memory) / members,
            "events_max": max(listener.events for listener in listeners),
            "events_mean": sum(listener.events for listener in listeners) / members,
        }
        for listener in listeners:
            listener.transport.abort()
        return figures

    def measured():
        with Server(settings) as server:
            os.sched_setaffinity(0, {1})
            try:
                return asyncio.run(join_all(server))
            finally:
                os.sched_setaffinity(0, {0, 1})

    return measured


def sse(per_second):
    load = ["--subscribers", "1000", "--rate", str(per_second), "--duration", "4s"]
    return {"raw": by_loadgen("raw", "/ws/{room}", *load), "sse": by_loadgen("sse", "/sse/{room}", *load)}


def idle(adapter, path):
    return by_loadgen(adapter, path, "--subscribers", "10000", "--rate", "2", "--duration", "1s")


ROUNDS = {
    "memory": {
        "raw": idle("raw", "/ws/{room}"),
        "session": idle("centrifuge", "/connection/websocket"),
    },
    "sse-memory": {
        "raw": idle("raw", "/ws/{room}"),
        "sse": idle("sse", "/sse/{room}"),
    },
    "sse-20": sse(20),
    "sse-100": sse(100),
    "sse-300": sse(300),
    "deflate": {"plain": deflate("off"), "deflate": deflate("on")},
    "storm": {
        "off": storm([]),
        "events": storm(["room.presence=members", "room.presence_events=on"]),
    },
}


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    swapped, whats = sys.argv[1] == "swap", sys.argv[1:]
    for what in whats[swapped:]:
        variants = list(ROUNDS[what].items())
        for name, measured in reversed(variants) if swapped else variants:
            print(json.dumps({"what": what, "variant": name, **measured()}), flush=True)


main()
