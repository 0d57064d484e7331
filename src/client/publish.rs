//! `shardcast publish`: one text, or every line of standard input, into a room.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use tokio::sync::mpsc;

use super::input::{self, Line};
use super::message::one_line;
use super::output::Output;
use super::publisher::{Kind, Publisher};
use super::retry::{Outcome, Retry};
use super::target::Target;
use super::{ClientError, notice};

/// Longest line; longer ones are skipped and told, bytes. (What a server takes is its own setting.)
const LINE_BYTES_MAX: usize = 4 << 20;
/// How long a publication given as an argument is tried unless told otherwise.
const RETRY_ONE_FOR: Duration = Duration::from_secs(10);

/// Arguments of `shardcast publish`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without TEXT, every line of standard input is a publication, sent at once: the next follows when \
    the server has acknowledged it. While the server is away or busy, input waits and the same line is tried again, \
    so that nothing is lost. A line whose acknowledgement got lost is sent again with its Idempotency-Key: it is \
    in the room twice only if the server has forgotten the key. Lines that the server does not take (too long) are \
    reported and skipped. Exit code: 0 if everything was acknowledged, 1 if not, 69 if the \
    server was unavailable for longer than --retry-for."
)]
pub(crate) struct PublishArgs {
    /// The room's name, or its URL (http://HOST/rooms/ROOM or ws://HOST/ws/ROOM)
    room: String,
    /// What to publish; without it, every line of standard input
    text: Option<String>,
    /// The server, for a room's name
    #[arg(long, value_name = "URL", env = "SHARDCAST_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Key for the server's API
    #[arg(long, value_name = "KEY", env = "SHARDCAST_API_KEY", hide_env_values = true, value_parser = authorization)]
    api_key: Option<HeaderValue>,
    /// Publish as binary messages
    #[arg(long)]
    binary: bool,
    /// How long to try one publication, such as 30s or 5m [default: 10s for TEXT, for ever for standard input]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    retry_for: Option<Duration>,
}

/// Runs `shardcast publish`.
pub(super) async fn publish(arguments: PublishArgs) -> Result<(), ClientError> {
    let target = Target::new(&arguments.room, &arguments.server)?;
    let kind = if arguments.binary { Kind::Binary } else { Kind::Text };
    let publisher = Publisher::new(target, kind, arguments.api_key)?;
    match arguments.text {
        Some(text) => publish_one(publisher, arguments.retry_for.unwrap_or(RETRY_ONE_FOR), text).await,
        None => {
            let lines = input::lines(LINE_BYTES_MAX)?;
            publish_lines(Retry::new(publisher, arguments.retry_for), kind, lines).await
        }
    }
}

/// One publication; prints the server's answer (its offset and the number of members).
async fn publish_one(publisher: Publisher, retry_for: Duration, text: String) -> Result<(), ClientError> {
    match Retry::new(publisher, Some(retry_for)).publish("the text", &Bytes::from(text)).await? {
        Outcome::Accepted(receipt) => {
            let output = Output::start()?;
            // A reader that went away does not need it.
            drop(output.write(Bytes::from(format!("{receipt}\n"))).await);
            Ok(output.finish().await?)
        }
        Outcome::Refused(why) => Err(ClientError::Failed(format!("the text was not published: {why}"))),
    }
}

/// Every line, in order, each acknowledged before the next.
async fn publish_lines(
    mut retry: Retry,
    kind: Kind,
    mut lines: mpsc::Receiver<std::io::Result<Line>>,
) -> Result<(), ClientError> {
    let mut refused: u64 = 0;
    let mut invalid = Invalid::Unseen;
    while let Some(line) = lines.recv().await {
        let line = line?;
        let number = line.number;
        let outcome = match line.bytes {
            None => Outcome::Refused(format!("it has more than {LINE_BYTES_MAX} bytes")),
            Some(bytes) => {
                let payload = if kind == Kind::Text { invalid.text(number, bytes) } else { bytes.into() };
                retry.publish(&format!("line {number}"), &payload).await?
            }
        };
        if let Outcome::Refused(why) = outcome {
            refused += 1;
            notice(format_args!("line {number} was not published: {}", one_line(&why)));
        }
    }
    match refused {
        0 => Ok(()),
        1 => Err(ClientError::Failed("1 line was not published".to_owned())),
        _ => Err(ClientError::Failed(format!("{refused} lines were not published"))),
    }
}

/// Whether input was seen that is not UTF-8, which a text message has to be.
enum Invalid {
    Unseen,
    Told,
}

impl Invalid {
    /// The line as text; what is not UTF-8 is replaced, and told once.
    fn text(&mut self, number: u64, bytes: Vec<u8>) -> Bytes {
        match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                if matches!(self, Self::Unseen) {
                    notice(format_args!("line {number} is not UTF-8: in such lines, bad bytes are replaced by U+FFFD"));
                    *self = Self::Told;
                }
                Bytes::from(String::from_utf8_lossy(error.as_bytes()).into_owned())
            }
        }
    }
}

fn authorization(key: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| "a key has only visible ASCII characters".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// `250ms`, `30s`, `5m`, `2h`; a bare `0`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a time is a number and ms, s, m or h".to_owned())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if number == 0 => 0,
        _ => return Err("a time is a number and ms, s, m or h".to_owned()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_keys() {
        for (text, expected) in [("0", 0), ("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for bad in ["", "s", "10", "1d", "1.5s", "-1s", "99999999999999999999s", "9999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(authorization("k").unwrap(), "Bearer k");
        assert!(authorization("a\nb").is_err());
    }
}
