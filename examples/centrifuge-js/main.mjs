// Rooms through the stock centrifuge-js library, which reconnects and resumes by itself. Run it:
//   shardcast --set room.history_count_max=1000
//   npm install && node main.mjs http://127.0.0.1:8080 lobby
//   curl -d 'hello' http://127.0.0.1:8080/rooms/lobby
import { Centrifuge } from "centrifuge";
import WebSocket from "ws"; // a browser, and Node from 22 on, has one of its own

const [server = "http://127.0.0.1:8080", room = "lobby"] = process.argv.slice(2);
const client = new Centrifuge(`${server.replace(/^http/, "ws")}/connection/websocket`, { websocket: WebSocket });

const subscription = client.newSubscription(room);
subscription.on("publication", ({ data }) => console.log(typeof data === "string" ? data : JSON.stringify(data)));
subscription.on("subscribed", ({ wasRecovering, recovered }) => {
  if (wasRecovering && !recovered) console.log("(lost: too long away; load everything anew)");
});
subscription.subscribe();
client.connect();
// More rooms on the same connection: client.newSubscription("another").subscribe()
// To publish: await subscription.publish({ any: "JSON" })
