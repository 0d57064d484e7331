//! The shortest proof that the shipped binary works: start it, ask it, publish, end it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{Running, exit_code_within};

const READY_WITHIN: Duration = Duration::from_secs(20);
const RETRY_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// Runs the check against the binary `server`.
pub(crate) fn check(server: &Path) -> Result<(), String> {
    let address = free_address()?;
    let mut command = Command::new(server);
    let running = Running::start(command.args(["serve", "--listen"]).arg(address.to_string()))?;
    wait_until_ready(&running, address)?;

    let answer = request(address, "POST", "/rooms/smoke", "a message from the smoke test")?;
    println!("    POST /rooms/smoke: {} {}", answer.status, answer.body.trim());
    if !(200..300).contains(&answer.status) {
        return Err(format!("POST /rooms/smoke was answered with {}: {}", answer.status, answer.body.trim()));
    }
    for field in ["\"offset\"", "\"members\""] {
        if !answer.body.contains(field) {
            return Err(format!("the answer to POST /rooms/smoke has no {field}: {}", answer.body.trim()));
        }
    }

    let status = running.terminate()?;
    println!("    after SIGTERM: {status}");
    if status.success() { Ok(()) } else { Err(format!("after SIGTERM the server ended with {status}")) }
}

/// Runs a scenario of the load generator against the server, for as long as it may take.
pub(crate) fn check_under_load(server: &Path, loadgen: &Path, scenario: &str) -> Result<(), String> {
    let address = free_address()?;
    let mut command = Command::new(server);
    let running = Running::start(command.args(["serve", "--listen"]).arg(address.to_string()))?;
    wait_until_ready(&running, address)?;
    let mut load = Command::new(loadgen);
    load.args(["run", scenario, "--no-live", "--url", &format!("ws://{address}/ws/{{room}}")]);
    load.args(["--server-metrics", &format!("http://{address}/metrics")]);
    match exit_code_within(&mut load, LOAD_LIMIT)? {
        0 => {}
        code => return Err(format!("loadgen run {scenario} ended with exit code {code}")),
    }
    let status = running.terminate()?;
    if status.success() { Ok(()) } else { Err(format!("after SIGTERM the server ended with {status}")) }
}

/// An address with a port that was free just now.
fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("no free port: {error}"))
}

fn wait_until_ready(running: &Running, address: SocketAddr) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let seen = match request(address, "GET", "/health/ready", "") {
            Ok(answer) if answer.status == 200 => {
                println!("    ready after {} ms", begun.elapsed().as_millis());
                return Ok(());
            }
            Ok(answer) => format!("{} {}", answer.status, answer.body.trim()),
            Err(problem) => problem,
        };
        if begun.elapsed() > READY_WITHIN {
            return Err(format!("not ready after {} s: GET /health/ready: {seen}", READY_WITHIN.as_secs()));
        }
        // Waits for the server's end, which is also the pause between two questions.
        if let Some(status) = running.wait(RETRY_EVERY) {
            return Err(format!("the server ended before it was ready, with {}", status?));
        }
    }
}

/// An HTTP answer: as much of it as the check looks at.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    body: String,
}

fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer, String> {
    let fail = |error| format!("{method} {path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).map_err(fail)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(fail)?;
    stream.set_write_timeout(Some(ANSWER_WITHIN)).map_err(fail)?;
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).map_err(fail)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(fail)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| format!("{method} {path}: the answer is not HTTP/1.1"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let answer = parse("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(answer, Some(Answer { status: 202, body: "{}".to_owned() }));
        for broken in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 2\r\n\r\n"] {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_server_that_ends_at_once_is_a_failure() {
        let problem = check(Path::new("/bin/false")).expect_err("it serves nothing");
        assert!(problem.contains("ended before it was ready"), "{problem}");
    }
}
