"""A stock centrifuge-python client whose events are noted, and what the tests ask of the server besides."""

import asyncio
import json
import os
import urllib.error
import urllib.request
from urllib.parse import quote, urlsplit

from centrifuge import Client, ClientEventHandler, SubscriptionEventHandler

DEADLINE_S = 20
URL = os.environ["STOCK_URL"]
API_KEY = os.environ["STOCK_API_KEY"]

_names = iter(range(1, 1_000_000))


def unique(prefix):
    """A name that no other test has: rooms and users of one's own."""
    return f"{prefix}py{os.getpid()}-{next(_names)}"


class Journal:
    """What happened, in order, and waiting for it."""

    def __init__(self):
        self.entries = []
        self._changed = asyncio.Event()

    def add(self, kind, context):
        self.entries.append((kind, context))
        self._changed.set()

    def of(self, kind, begin=0):
        return [context for each, context in self.entries[begin:] if each == kind]

    async def wait(self, kind, count=1, begin=0):
        """Waits for so many events of a kind from `begin` on, and gives them."""
        async def enough():
            while len(self.of(kind, begin)) < count:
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(enough(), DEADLINE_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"not {count} of {kind!r} in {DEADLINE_S} s: {self.entries[-12:]}") from None
        return self.of(kind, begin)


def _noting(base, journal, hook=None):
    """An event handler that notes each event under its name without `on_`."""
    def note(kind):
        async def handler(_self, context):
            if hook:
                await hook(kind, context)
            journal.add(kind, context)

        return handler

    names = [name for name in dir(base) if name.startswith("on_")]
    return type("Noting", (base,), {name: note(name.removeprefix("on_")) for name in names})()


class Member:
    """A client; `hook` is awaited at each of its events, before the event is noted."""

    def __init__(self, name=None, hook=None, **options):
        self.name = name or unique("user-")
        self.journal = Journal()
        address = f"ws://{urlsplit(URL).netloc}/connection/websocket?name={self.name}"
        events = _noting(ClientEventHandler, self.journal, hook)
        self.client = Client(address, events=events, proxy=None, timeout=DEADLINE_S, **options)

    async def __aenter__(self):
        await self.client.connect()
        await self.client.ready()
        self.id = self.journal.of("connected")[0].client
        return self

    async def __aexit__(self, *_):
        await self.client.disconnect()

    async def subscribe(self, room, **options):
        journal = Journal()
        events = _noting(SubscriptionEventHandler, journal)
        subscription = self.client.new_subscription(room, events=events, **options)
        subscription.journal = journal
        await subscription.subscribe()
        await subscription.ready()
        return subscription


async def data_of(subscription, count, begin=0):
    """The data of publications, as soon as there are so many from `begin` on."""
    contexts = await subscription.journal.wait("publication", count, begin)
    return [context.pub.data for context in contexts]


async def request(path, body=b"", method="POST", **headers):
    """Status and text of an HTTP answer."""
    def ask():
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(URL + path, body if method == "POST" else None, fields, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def publish(room, message):
    """Publishes over plain HTTP; the outcome."""
    body = json.dumps(message).encode()
    status, text = await request(f"rooms/{quote(room, safe='')}", body, content_type="application/json")
    assert status == 200, text
    return json.loads(text)
