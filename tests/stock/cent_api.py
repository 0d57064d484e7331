"""Point 14: the server API as stock cent calls it, and by hand where cent has no words for it.

node tests/stock/server.mjs python tests/stock/cent_api.py      (tests/stock/run.sh installs the packages)
"""

import json
import time
import unittest

import cent
from cent import AsyncClient, CentApiResponseError, CentUnauthorizedError

from member import API_KEY, URL, Member, data_of, request, unique


class CentApi(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.api = AsyncClient(URL + "api", API_KEY)

    async def asyncTearDown(self):
        await self.api.close()

    async def refused(self, awaitable, code):
        with self.assertRaises(CentApiResponseError) as caught:
            await awaitable
        self.assertEqual(caught.exception.code, code)

    async def publish(self, channel, count=1, **options):
        for n in range(1, count + 1):
            result = await self.api.publish(cent.PublishRequest(channel=channel, data={"n": n}, **options))
        return result

    async def test_publish_tells_the_position_where_there_is_a_history(self):
        room = unique("h-")
        first, second = await self.publish(room), await self.publish(room)
        self.assertEqual((first.offset, second.offset), (1, 2))
        self.assertEqual(first.epoch, second.epoch)
        self.assertTrue(first.epoch)
        await self.publish(unique("plain-"))

    async def test_published_data_tags_and_no_sender(self):
        room = unique("h-")
        async with Member() as one:
            subscription = await one.subscribe(room)
            data = {"nested": [1, None, "hé", {"deep": True}]}
            tags = {"kind": "test"}
            await self.api.publish(cent.PublishRequest(channel=room, data=data, tags=tags))
            await self.api.publish(cent.PublishRequest(channel=room, data="only text"))
            self.assertEqual(await data_of(subscription, 2), [data, "only text"])
            first = subscription.journal.of("publication")[0].pub
            self.assertEqual((first.tags, first.info), (tags, None))

    async def test_the_same_idempotency_key_publishes_once(self):
        room, other = unique("h-"), unique("h-")
        async with Member() as one:
            subscription = await one.subscribe(room)
            key = unique("key-")
            results = [await self.publish(room, idempotency_key=key) for _ in range(3)]
            self.assertEqual({(each.offset, each.epoch) for each in results}, {(1, results[0].epoch)})
            self.assertEqual((await self.publish(room, idempotency_key=key + "x")).offset, 2)
            self.assertEqual((await self.publish(other, idempotency_key=key)).offset, 1)
            await self.api.publish(cent.PublishRequest(channel=room, data="last"))
            self.assertEqual(await data_of(subscription, 3), [{"n": 1}, {"n": 1}, "last"])

    async def test_skip_history_is_delivered_and_not_kept(self):
        room, keeping = unique("plain-"), unique("h-")
        async with Member() as one:
            subscription = await one.subscribe(room)
            await self.api.publish(cent.PublishRequest(channel=room, data="passing", skip_history=True))
            self.assertEqual(await data_of(subscription, 1), ["passing"])
        # Offsets are dense: it has one, and nobody gets it later.
        await self.api.publish(cent.PublishRequest(channel=keeping, data=1, skip_history=True))
        self.assertEqual((await self.publish(keeping)).offset, 2)

    async def test_broadcast_answers_for_each_channel(self):
        rooms = [unique("h-"), "no room has blanks", unique("plain-"), unique("h-")]
        async with Member() as one:
            subscriptions = [await one.subscribe(room) for room in rooms if " " not in room]
            result = await self.api.broadcast(cent.BroadcastRequest(channels=rooms, data={"to": "all"}))
            self.assertEqual([bool(each.error) for each in result.responses], [False, True, False, False])
            self.assertIn(result.responses[1].error.code, [102, 107])
            self.assertEqual((result.responses[0].result.offset, result.responses[3].result.offset), (1, 1))
            for subscription in subscriptions:
                self.assertEqual(await data_of(subscription, 1), [{"to": "all"}])

    async def test_a_channel_that_no_room_can_be(self):
        for channel in ["", "no room has blanks", "x" * 256]:
            with self.assertRaises(CentApiResponseError) as caught:
                await self.publish(channel)
            self.assertIn(caught.exception.code, [102, 107], channel)

    async def test_presence_and_its_counts(self):
        room, name = unique("who-"), unique("ann-")
        async with Member(name) as one, Member(name) as two, Member() as three:
            for member in [one, two, three]:
                await member.subscribe(room)
            presence = (await self.api.presence(cent.PresenceRequest(channel=room))).presence
            users = {client: info.user for client, info in presence.items()}
            self.assertEqual(users, {one.id: name, two.id: name, three.id: three.name})
            statistics = await self.api.presence_stats(cent.PresenceStatsRequest(channel=room))
            self.assertEqual((statistics.num_clients, statistics.num_users), (3, 2))
        await self.refused(self.api.presence(cent.PresenceRequest(channel=unique("plain-"))), 108)

    async def test_history_pages_and_its_removal(self):
        room = unique("h-")
        last = await self.publish(room, 5)

        async def page(**options):
            if "since" in options:
                options["since"] = cent.StreamPosition(offset=options["since"], epoch=last.epoch)
            result = await self.api.history(cent.HistoryRequest(channel=room, **options))
            self.assertEqual((result.offset, result.epoch), (5, last.epoch))
            offsets = [each.offset for each in result.publications]
            self.assertEqual([each.data["n"] for each in result.publications], offsets)
            return offsets

        self.assertEqual(await page(limit=-1), [1, 2, 3, 4, 5])
        self.assertEqual(await page(limit=0), [])
        self.assertEqual(await page(limit=2), [1, 2])
        self.assertEqual(await page(limit=2, since=2), [3, 4])
        self.assertEqual(await page(limit=2, reverse=True), [5, 4])
        self.assertEqual(await page(limit=-1, reverse=True, since=3), [2, 1])
        forged = cent.StreamPosition(offset=1, epoch="forged")
        await self.refused(self.api.history(cent.HistoryRequest(channel=room, limit=1, since=forged)), 112)
        await self.refused(self.api.history(cent.HistoryRequest(channel=unique("plain-"), limit=1)), 108)
        await self.api.history_remove(cent.HistoryRemoveRequest(channel=room))
        self.assertEqual(await page(limit=-1), [])
        self.assertEqual((await self.publish(room)).offset, 6)

    async def test_channels_with_their_members(self):
        prefix = unique("h-list-")
        async with Member() as one, Member() as two:
            await one.subscribe(prefix + "-a")
            await two.subscribe(prefix + "-a")
            await one.subscribe(prefix + "-b")
            await one.subscribe(unique("h-other-"))
            listed = (await self.api.channels(cent.ChannelsRequest(pattern=prefix + "*"))).channels
            found = {name: each.num_clients for name, each in listed.items()}
            self.assertEqual(found, {prefix + "-a": 2, prefix + "-b": 1})
            everything = (await self.api.channels(cent.ChannelsRequest())).channels
            self.assertLessEqual(set(listed), set(everything))

    async def test_info_of_the_node(self):
        async with Member() as one:
            await one.subscribe(unique("h-"))
            (node,) = (await self.api.info(cent.InfoRequest())).nodes
            self.assertTrue(node.uid and node.name and node.version)
            self.assertGreaterEqual(node.num_clients, 1)
            self.assertGreaterEqual(node.num_channels, 1)

    async def test_subscribe_unsubscribe_disconnect(self):
        room = unique("h-")
        async with Member() as one, Member(one.name) as two:
            await self.api.subscribe(cent.SubscribeRequest(user=one.name, channel=room, client=one.id))
            await one.journal.wait("subscribed")
            await self.publish(room)
            await one.journal.wait("publication")
            self.assertEqual(two.journal.of("subscribed"), [], "only the client that was named")
            await self.api.unsubscribe(cent.UnsubscribeRequest(user=one.name, channel=room))
            await one.journal.wait("unsubscribed")
            closing = cent.Disconnect(code=4500, reason="house rules")
            await self.api.disconnect(cent.DisconnectRequest(user=one.name, whitelist=[two.id], disconnect=closing))
            (ended,) = await one.journal.wait("disconnected")
            self.assertEqual((ended.code, ended.reason), (4500, "house rules"))
            self.assertEqual(two.journal.of("disconnected"), [])
        await self.api.disconnect(cent.DisconnectRequest(user=unique("nobody-")))

    async def test_refresh_of_who_is_there_and_of_nobody(self):
        soon = int(time.time()) + 600
        async with Member() as one:
            await self.api.refresh(cent.RefreshRequest(user=one.name, expire_at=soon))
            await one.subscribe(unique("h-"))
            self.assertEqual(len(one.journal.of("connected")), 1)
        await self.api.refresh(cent.RefreshRequest(user=unique("nobody-"), expired=True))

    async def test_batch(self):
        room = unique("h-")
        for parallel in [False, True]:
            requests = [
                cent.PublishRequest(channel=room, data={"n": 1}),
                cent.PublishRequest(channel=room, data={"n": 2}),
                cent.PresenceStatsRequest(channel=room),
                cent.ChannelsRequest(pattern=room),
            ]
            replies = (await self.api.batch(cent.BatchRequest(requests=requests, parallel=parallel))).replies
            self.assertEqual(len(replies), 4)
            self.assertEqual(abs(replies[1].offset - replies[0].offset), 1)
            self.assertEqual(replies[2].num_clients, 0)
        empty = await self.api.batch(cent.BatchRequest(requests=[]))
        self.assertEqual(empty.replies, [])

    async def test_the_synchronous_client_and_a_wrong_key(self):
        room = unique("h-")
        with cent.Client(URL + "api", API_KEY) as client:
            self.assertEqual(client.publish(cent.PublishRequest(channel=room, data=1)).offset, 1)
        with cent.Client(URL + "api", "wrong-" + API_KEY) as client:
            with self.assertRaises(CentUnauthorizedError):
                client.publish(cent.PublishRequest(channel=room, data=2))
        self.assertEqual((await self.api.history(cent.HistoryRequest(channel=room, limit=0))).offset, 1)

    async def test_by_hand(self):
        room = unique("h-")
        good = json.dumps({"channel": room, "data": 1}).encode()
        legacy = json.dumps({"method": "publish", "params": {"channel": room, "data": 1}}).encode()
        unknown_fields = json.dumps({"channel": room, "data": 1, "future": {"field": []}}).encode()
        statuses = [
            ("the key in Authorization", "api/publish", good, {"authorization": f"apikey {API_KEY}"}, 200),
            ("a wrong one there", "api/publish", good, {"authorization": "apikey wrong-key-wrong-key"}, 401),
            ("the old way", "api", legacy, {"x_api_key": API_KEY}, 200),
            ("unknown fields", "api/publish", unknown_fields, {"x_api_key": API_KEY}, 200),
            ("malformed", "api/publish", b"{", {"x_api_key": API_KEY}, 400),
            ("nothing", "api/publish", b"", {"x_api_key": API_KEY}, 400),
        ]
        for what, path, body, headers, expected in statuses:
            status, text = await request(path, body, **headers)
            self.assertEqual(status, expected, f"{what}: {text}")
            if expected == 200:
                self.assertIn("result", json.loads(text), what)
        self.assertEqual((await request("api/publish", method="GET"))[0], 405)

    async def test_what_is_missing_or_unknown_is_an_error_in_an_answer_of_200(self):
        cases = [
            ("publish", {"channel": unique("h-")}, [107]),
            ("publish", {"data": 1}, [107]),
            ("broadcast", {"channels": [], "data": 1}, [107]),
            ("history", {}, [107]),
            ("no_such_method", {}, [104]),
            ("block_user", {"user": "x"}, [104, 108]),
        ]
        for method, body, codes in cases:
            status, text = await request(f"api/{method}", json.dumps(body).encode(), x_api_key=API_KEY)
            self.assertEqual(status, 200, f"{method} {body}: {text}")
            self.assertIn(json.loads(text)["error"]["code"], codes, f"{method} {body}: {text}")

    async def test_errors_as_http_statuses_where_asked_for(self):
        body = json.dumps({"channel": unique("plain-"), "limit": 1}).encode()
        status, text = await request("api/history", body, x_api_key=API_KEY, x_centrifugo_error_mode="transport")
        self.assertEqual((status, json.loads(text)["code"]), (400, 108))


if __name__ == "__main__":
    unittest.main(verbosity=2)
