# A resuming member of a room in Python. Run it:
#   shardcast --set room.history_count_max=1000
#   pip install -r requirements.txt && python follow.py ws://127.0.0.1:8080/ws/lobby
#   curl -d 'hello' http://127.0.0.1:8080/rooms/lobby
import random
import sys
import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080/ws/lobby"
since = ""  # where we are: kept over lost connections, and worth keeping in a file
while True:
    try:
        with connect(url + since, subprotocols=["shardcast.v1"]) as room:
            for message in room:  # str or bytes; its first line is EPOCH:OFFSET, or EPOCH:OFFSET STATE when we join
                binary = isinstance(message, bytes)
                header, _, payload = message.partition(b"\n" if binary else "\n")
                position, _, state = (header.decode() if binary else header).partition(" ")
                since = f"?since={position}"
                if not state:
                    print(payload, flush=True)
                elif state == "lost":
                    print("(lost: too long away; load everything anew)", flush=True)
    except (OSError, WebSocketException) as error:
        print(f"{error}; reconnecting", file=sys.stderr)
    time.sleep(0.5 + random.random())
