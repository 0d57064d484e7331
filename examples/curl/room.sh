#!/usr/bin/env bash
# A room with nothing but curl: publish, follow as server-sent events, or poll. Run it:
#   shardcast --set room.history_count_max=1000
#   examples/curl/room.sh events lobby            # another shell: examples/curl/room.sh publish lobby 'hello'
#   examples/curl/room.sh poll lobby              # prints the answers, each with all publications since the last one
# SERVER=http://HOST:PORT for another server. Both go on where they were when the connection was lost.
set -u
server=${SERVER:-http://127.0.0.1:8080} room=${2:-lobby} position=''
lost='(lost: too long away; load everything anew)'

events() { # an event is some lines and an empty one; only then is its id where we are
    local line id='' event='' data=''
    while IFS= read -r line; do
        case $line in
            'id: '*) id=${line#id: } ;;
            'event: '*) event=${line#event: } ;;
            'data: '*) data+=${data:+$'\n'}${line#data: } ;;
            '')
                position=${id:-$position}
                case $event in
                    '') [ -z "$data" ] || printf '%s\n' "$data" ;;
                    lost) echo "$lost" ;;
                esac
                id='' event='' data=''
                ;;
        esac
    done < <(curl -sN ${position:+-H "Last-Event-ID: $position"} "$server/sse/$room")
}

poll() { # {"epoch":"…","offset":N,"recovered":…,"publications":[…]}: ask next behind this offset
    local answer
    answer=$(curl -sf "$server/rooms/$room/messages?wait=30s${position:+&after=$position}") || return
    position=$(sed -E 's/^\{"epoch":"([0-9a-f]+)","offset":([0-9]+).*/\1:\2/' <<<"$answer")
    case $answer in
        *'"recovered":false'*) echo "$lost" ;;
        *'"publications":[]'*) ;;
        *) printf '%s\n' "$answer" ;;
    esac
}

case ${1:-} in
    publish) exec curl -sf -H 'Content-Type: text/plain' --data-binary "${3:?what?}" "$server/rooms/$room" ;;
    events) while :; do events && sleep 1; done ;;
    poll) while :; do poll || sleep 1; done ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" && exit 64 ;;
esac
