"""Stock centrifuge-python against a server (over WebSocket, the transport that it has).

node tests/stock/server.mjs python tests/stock/python_client.py      (tests/stock/run.sh installs the packages)
"""

import unittest

from cent import AsyncClient, Disconnect, DisconnectRequest, SubscribeRequest, UnsubscribeRequest
from centrifuge import ReplyError, StreamPosition
from centrifuge.client import DeltaType

from member import API_KEY, URL, Member, data_of, publish, unique


def numbers(first, last):
    return [{"n": n} for n in range(first, last + 1)]


class StockPython(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.api = AsyncClient(URL + "api", API_KEY)

    async def asyncTearDown(self):
        await self.api.close()

    async def refused(self, awaitable, code):
        with self.assertRaises(ReplyError) as caught:
            await awaitable
        self.assertEqual(caught.exception.code, code)

    async def test_publications_reach_everybody_the_sender_included(self):
        room = unique("h-")
        async with Member() as sender, Member() as other:
            subscriptions = [await sender.subscribe(room), await other.subscribe(room)]
            await subscriptions[0].publish({"text": "hé", "n": 1})
            await publish(room, {"from": "outside"})
            for subscription in subscriptions:
                self.assertEqual(await data_of(subscription, 2), [{"text": "hé", "n": 1}, {"from": "outside"}])
                own, outside = [context.pub for context in subscription.journal.of("publication")]
                self.assertEqual((own.info.client, own.info.user, own.offset), (sender.id, sender.name, 1))
                self.assertEqual((outside.info, outside.offset), (None, 2))

    async def test_history_in_pages_and_backwards(self):
        room = unique("h-")
        for message in numbers(1, 5):
            epoch = (await publish(room, message))["epoch"]
        async with Member() as one:
            subscription = await one.subscribe(room)
            cases = [
                ({"limit": -1}, [1, 2, 3, 4, 5]),
                ({"limit": 0}, []),
                ({"limit": 2, "since": StreamPosition(2, epoch)}, [3, 4]),
                ({"limit": 2, "reverse": True}, [5, 4]),
            ]
            for options, expected in cases:
                result = await subscription.history(**options)
                self.assertEqual([each.data["n"] for each in result.publications], expected, options)
                self.assertEqual((result.offset, result.epoch), (5, epoch))
            await self.refused(subscription.history(limit=1, since=StreamPosition(1, "forged")), 112)

    async def test_presence_joins_and_leaves(self):
        room = unique("who-")
        async with Member() as one:
            watching = await one.subscribe(room, join_leave=True)
            async with Member() as other:
                await other.subscribe(room)
                clients = (await watching.presence()).clients
                self.assertEqual({each.user for each in clients.values()}, {one.name, other.name})
                statistics = await watching.presence_stats()
                self.assertEqual((statistics.num_clients, statistics.num_users), (2, 2))
                id_of_other = other.id
            leaves = await watching.journal.wait("leave")
            self.assertEqual(leaves[0].info.client, id_of_other)
            self.assertIn(id_of_other, [context.info.client for context in watching.journal.of("join")])

    async def test_calls_are_not_available(self):
        async with Member() as one:
            await self.refused(one.client.rpc("anything", {}), 108)

    async def test_what_was_missed_comes_with_the_reconnect_once_and_in_order(self):
        room = unique("h-")
        missed = iter([numbers(3, 5), numbers(6, 9)])

        async def publish_meanwhile(kind, context):
            # Between the loss of the connection and the next attempt: the client waits for its handler.
            if kind == "connecting" and context.code == 3001:
                for message in next(missed):
                    await publish(room, message)

        async with Member(hook=publish_meanwhile) as one:
            subscription = await one.subscribe(room)
            for message in numbers(1, 2):
                await publish(room, message)
            await data_of(subscription, 2)
            for count in [5, 9]:
                begin = len(subscription.journal.entries)
                closing = Disconnect(code=3001, reason="shutdown")
                await self.api.disconnect(DisconnectRequest(user=one.name, disconnect=closing))
                (subscribed,) = await subscription.journal.wait("subscribed", begin=begin)
                self.assertTrue(subscribed.was_recovering and subscribed.recovered)
                self.assertEqual(await data_of(subscription, count), numbers(1, count))
            await publish(room, {"n": 10})
            self.assertEqual(await data_of(subscription, 10), numbers(1, 10))

    async def test_beyond_the_history_the_loss_is_told(self):
        room = unique("short-")

        async def publish_meanwhile(kind, context):
            if kind == "connecting" and context.code == 3001:
                for message in numbers(2, 12):
                    await publish(room, message)

        async with Member(hook=publish_meanwhile) as one:
            subscription = await one.subscribe(room)
            await publish(room, {"n": 1})
            await data_of(subscription, 1)
            begin = len(subscription.journal.entries)
            closing = Disconnect(code=3001, reason="shutdown")
            await self.api.disconnect(DisconnectRequest(user=one.name, disconnect=closing))
            (subscribed,) = await subscription.journal.wait("subscribed", begin=begin)
            self.assertTrue(subscribed.was_recovering)
            self.assertFalse(subscribed.recovered)
            self.assertEqual(subscribed.stream_position.offset, 12)
            await publish(room, {"n": 13})
            self.assertEqual(await data_of(subscription, 2), [{"n": 1}, {"n": 13}])

    async def test_a_terminal_close_is_one(self):
        async with Member() as one:
            closing = Disconnect(code=3500, reason="invalid token")
            await self.api.disconnect(DisconnectRequest(user=one.name, disconnect=closing))
            (ended,) = await one.journal.wait("disconnected")
            self.assertEqual((ended.code, ended.reason), (3500, "invalid token"))

    async def test_subscriptions_by_the_server(self):
        room = unique("h-")
        async with Member() as one:
            await self.api.subscribe(SubscribeRequest(user=one.name, channel=room))
            (subscribed,) = await one.journal.wait("subscribed")
            self.assertEqual((subscribed.channel, subscribed.recoverable), (room, True))
            await publish(room, {"n": 1})
            (publication,) = await one.journal.wait("publication")
            self.assertEqual((publication.channel, publication.pub.data), (room, {"n": 1}))
            await self.api.unsubscribe(UnsubscribeRequest(user=one.name, channel=room))
            await one.journal.wait("unsubscribed")

    async def test_unsubscribed_by_the_server(self):
        room = unique("h-")
        async with Member() as one:
            subscription = await one.subscribe(room)
            await self.api.unsubscribe(UnsubscribeRequest(user=one.name, channel=room))
            (unsubscribed,) = await subscription.journal.wait("unsubscribed")
            self.assertEqual(unsubscribed.code, 2000)

    async def test_deltas(self):
        state = {f"field {key}": "hé " * 20 for key in range(30)}
        messages = [{"n": n, **state} for n in range(1, 11)]
        for prefix, expected in (("delta-", [False] + [True] * 9), ("h-", [False] * 10)):
            room = unique(prefix)
            async with Member() as one:
                subscription = await one.subscribe(room, delta=DeltaType.FOSSIL)
                # What comes with the first may be whole too.
                await publish(room, messages[0])
                await data_of(subscription, 1)
                for message in messages[1:]:
                    await publish(room, message)
                self.assertEqual(await data_of(subscription, 10), messages)
                deltas = [context.pub.delta for context in subscription.journal.of("publication")]
                self.assertEqual(deltas, expected, "where the room makes them, from the second on")


if __name__ == "__main__":
    unittest.main(verbosity=2)
