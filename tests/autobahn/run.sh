#!/usr/bin/env bash
# The WebSocket conformance cases of the Autobahn test suite against shardcast.
#
#   tests/autobahn/run.sh [URL] [CASES...]
#
# URL    a room of a running server whose members get their own messages back, such as ws://127.0.0.1:8080/ws/autobahn.
#        Without it target/release/shardcast (or $SHARDCAST_BIN) is started, with limits that let every case through.
# CASES  patterns such as '9.*' or 7.1.6; without any, all 517: groups 1 to 10, and 12 and 13 (compression, which the
#        server of URL must have switched on: deflate.mode = "on").
#
# The suite's client needs Python 2.7; its environment is made once in ~/.cache/shardcast-autobahn (about 30 s; some
# packages are compiled, so a C compiler is needed too). Reports: target/autobahn/index.html.
# Exit code: 0 every case passed, 1 some did not, 77 skipped (no Python 2.7, or no pip to fill its environment with).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/shardcast-autobahn

case ${1:-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;; esac

skip() {
    echo "autobahn: skipped: $1" >&2
    exit 77
}

# A Python 2.7 that really runs: a shim of pyenv is on PATH without one behind it.
find_python2() {
    local python
    for python in python2.7 python2 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
        if "$python" -c 'import sys, ssl; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            "$python" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

# Makes the environment "$1" anew.
make_environment() {
    local python2 log=$1.log
    python2=$(find_python2) || skip "no Python 2.7 on PATH nor in ~/.pyenv/versions (pyenv install 2.7.18 makes one)"
    python3 -m pip --version >/dev/null 2>&1 || skip "python3 has no pip (apt-get install python3-pip)"
    echo "autobahn: making the environment $1 for $python2 (log: $log)" >&2
    rm -rf "$1" "$1.virtualenv"
    if ! {
        python3 -m pip install --disable-pip-version-check --no-deps \
            --target "$1.virtualenv" -r "$here/virtualenv.txt" &&
            PYTHONPATH="$1.virtualenv" python3 -m virtualenv --no-download --python "$python2" "$1" &&
            "$1/bin/python" -m pip install --disable-pip-version-check --no-deps -r "$here/requirements.txt" &&
            "$1/bin/python" -c 'import autobahntestsuite.fuzzing'
    } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "autobahn: the environment could not be made" >&2
        exit 1
    fi
    touch "$1/complete"
}

# The name changes with the packages; the lock lets two runs start at once.
environment=$cache/$(cat "$here"/{requirements,virtualenv}.txt | cksum | cut -d ' ' -f 1)
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ -e "$environment/complete" ] || make_environment "$environment"
exec 9>&-

exec python3 "$here/fuzz.py" "$environment/bin/wstest" "$@"
