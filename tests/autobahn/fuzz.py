"""Runs Autobahn's fuzzing client against a server and judges its reports (started by run.sh).

    fuzz.py WSTEST [URL] [CASES...]

wstest itself always exits with 0, and leaves out of its index what it did not run: hence all is judged here.
"""

import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "target" / "autobahn"

# The number of cases in each group: 301 without compression, 216 with.
CASES_PER_GROUP = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1, 12: 90, 13: 126}
DEFAULT_CASES = [f"{group}.*" for group in CASES_PER_GROUP]

# NON-STRICT (a fault found, but late) and UNIMPLEMENTED are failures.
GOOD = {"OK", "INFORMATIONAL"}

# 9.1 and 9.2 send messages of 16 MiB; 9.3 and 9.4 send one of 4 MiB in 65,536 fragments.
RAISED_LIMITS = {
    "limits.message_bytes_max": "32MiB",
    "limits.message_fragments_max": "100000",
    "limits.unfinished_bytes_max": "256MiB",
    "limits.backlog_bytes_max": "128MiB",
    "room.window_bytes_max": "64MiB",
}

# 12 and 13 are compression. The other groups' clients do not offer it, so that it may be on for all.
COMPRESSION = {"deflate.mode": "on"}

# A server that is broken altogether fails every case in the same way.
EXPLAINED_MAX = 30

READY_WITHIN_S = 20
STOP_WITHIN_S = 15
# The clients of 12 and 13 compress in Python: most of the time is theirs.
CASES_WITHIN_S = 1200


def main():
    # So that the server and wstest are ended with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("autobahn: ended by SIGTERM"))
    wstest, *rest = sys.argv[1:]
    url = rest.pop(0) if rest and "://" in rest[0] else None
    cases = rest or DEFAULT_CASES
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        # A room of its own for every run: nobody else is in it.
        url = url or "ws://%s/ws/autobahn" % stack.enter_context(server())
        begun = time.monotonic()
        run_cases(wstest, url, cases)
        seconds = time.monotonic() - begun
    return judge(cases, seconds)


@contextlib.contextmanager
def server():
    """Starts shardcast on a free port, gives its address, and ends it."""
    program = os.environ.get("SHARDCAST_BIN", str(ROOT / "target" / "release" / "shardcast"))
    if not os.access(program, os.X_OK):
        sys.exit(f"autobahn: {program} is missing: cargo build --release")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    arguments = [program, "serve", "--listen", address]
    for key, value in (RAISED_LIMITS | COMPRESSION).items():
        arguments += ["--set", f"{key}={value}"]
    print("autobahn:", *arguments, flush=True)
    # Nothing of the caller's settings; SHARDCAST_BIN is none of the server's, which refuses what it does not know.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHARDCAST_")}
    process = subprocess.Popen(arguments, env=environment)
    try:
        wait_until_ready(process, address)
        yield address
        if process.poll() is not None:
            sys.exit(f"autobahn: the server ended during the cases, with {process.returncode}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_ready(process, address):
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        with contextlib.suppress(OSError, urllib.error.URLError):
            with urllib.request.urlopen(f"http://{address}/health/ready", timeout=2):
                return
        if process.poll() is not None:
            sys.exit(f"autobahn: the server ended before it was ready, with {process.returncode}")
        if time.monotonic() > deadline:
            sys.exit(f"autobahn: the server was not ready after {READY_WITHIN_S} s")
        time.sleep(0.05)


def run_cases(wstest, url, cases):
    spec = {
        "options": {"failByDrop": False},
        "outdir": str(OUTPUT),
        "servers": [{"agent": "shardcast", "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    spec_file = OUTPUT / "spec.json"
    spec_file.write_text(json.dumps(spec, indent=2))
    log_file = OUTPUT / "wstest.log"
    print(f"autobahn: cases {' '.join(cases)} against {url} (log: {log_file})", flush=True)
    with log_file.open("w") as log:
        command = [wstest, "-m", "fuzzingclient", "-s", str(spec_file)]
        try:
            unbuffered = dict(os.environ, PYTHONUNBUFFERED="1")
            finished = subprocess.run(
                command, cwd=OUTPUT, env=unbuffered, stdout=log, stderr=log, timeout=CASES_WITHIN_S
            )
        except subprocess.TimeoutExpired:
            # There is nothing to judge: it writes its index at the end. The log tells which case it was at.
            print(log_file.read_text()[-500:])
            sys.exit(f"autobahn: the cases were not through after {CASES_WITHIN_S} s")
    if finished.returncode != 0:
        print(log_file.read_text()[-3000:])
        sys.exit(f"autobahn: wstest ended with {finished.returncode}")


def judge(cases, seconds):
    index_file = OUTPUT / "index.json"
    if not index_file.exists():
        print((OUTPUT / "wstest.log").read_text()[-3000:])
        sys.exit("autobahn: wstest wrote no reports")
    results = json.loads(index_file.read_text()).get("shardcast", {})

    verdicts = collections.Counter(result["behavior"] for result in results.values())
    closes = collections.Counter(result["behaviorClose"] for result in results.values())
    bad = [case for case in results if not {results[case]["behavior"], results[case]["behaviorClose"]} <= GOOD]
    bad.sort(key=case_order)
    for case in bad[:EXPLAINED_MAX]:
        explain(case, results[case])
    if bad[EXPLAINED_MAX:]:
        print("autobahn: and the cases", ", ".join(bad[EXPLAINED_MAX:]))

    expected = expected_count(cases)
    print(f"autobahn: {len(results)} cases in {seconds:.1f} s; behavior: {told(verdicts)}; close: {told(closes)}")
    informational = sorted((case for case in results if results[case]["behavior"] == "INFORMATIONAL"), key=case_order)
    if informational:
        print("autobahn: informational:", ", ".join(informational))
    if not results or (expected is not None and len(results) != expected):
        print(f"autobahn: FAILED: {len(results)} cases have a result, expected: {expected or 'at least one'}")
        return 1
    print(f"autobahn: FAILED: {len(bad)} cases" if bad else "autobahn: passed")
    return 1 if bad else 0


def expected_count(cases):
    """How many results there must be, if the patterns are whole groups or single cases."""
    total = 0
    for pattern in cases:
        parts = pattern.split(".")
        if parts[0].isdigit() and parts[1:] == ["*"]:
            total += CASES_PER_GROUP.get(int(parts[0]), 0)
        elif "*" in pattern:
            return None
        else:
            total += 1
    return total or None


def case_order(case):
    return [int(part) for part in case.split(".")]


def told(counter):
    return ", ".join(f"{count} {name}" for name, count in counter.most_common()) or "none"


def explain(case, result):
    report = OUTPUT / result.get("reportfile", "")
    print(f"autobahn: case {case}: behavior {result['behavior']}, close {result['behaviorClose']} ({report})")
    with contextlib.suppress(OSError, ValueError):
        fields = json.loads(report.read_text())
        keys = ("result", "resultClose", "remoteCloseCode", "localCloseCode", "wasClean", "wasNotCleanReason")
        for key in keys + ("expected", "received"):
            if fields.get(key) not in (None, "", [], {}):
                print(f"    {key}: {str(fields[key])[:200]}")


if __name__ == "__main__":
    sys.exit(main())
