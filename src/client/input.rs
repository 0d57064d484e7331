//! Lines of standard input, read by a thread of its own.
//!
//! A thread rather than tokio's standard input, because a blocked read of that keeps the runtime (and the process) from
//! ending. The thread fills a bounded queue and waits while it is full: whoever writes to us waits too. A line is
//! handed on as soon as its end is read. The thread ends with the input or when the queue's reader is gone; else with
//! the process.

use std::io::{self, BufRead};

use tokio::sync::mpsc;

/// Lines read and not yet taken.
const LINES_MAX: usize = 32;

/// A line of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Without its end; `None`: longer than allowed, and skipped.
    pub(super) bytes: Option<Vec<u8>>,
}

/// Starts reading. Lines of more than `line_bytes_max` are skipped, and told. The queue ends with the input.
///
/// # Errors
/// No thread can be started.
pub(super) fn lines(line_bytes_max: usize) -> io::Result<mpsc::Receiver<io::Result<Line>>> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut input = io::stdin().lock();
        let mut number = 0;
        loop {
            number += 1;
            let line = match read_line(&mut input, line_bytes_max) {
                Ok(None) => break,
                Ok(Some(bytes)) => Ok(Line { number, bytes }),
                Err(error) => Err(error),
            };
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                break;
            }
        }
    })?;
    Ok(receiver)
}

/// One line without its `\n` or `\r\n`; `Some(None)`: it was too long; `None`: there is no more. Holds no more than the
/// longest line.
fn read_line(input: &mut impl BufRead, line_bytes_max: usize) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut line = Vec::new();
    let mut length: usize = 0;
    let mut any = false;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            break;
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        length = length.saturating_add(part.len());
        // One byte more than allowed may still be the `\r` of the line's end.
        if length <= line_bytes_max + 1 {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    if !any {
        return Ok(None);
    }
    if length == line.len() && line.last() == Some(&b'\r') {
        line.pop();
        length -= 1;
    }
    Ok(Some((length <= line_bytes_max).then_some(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_their_ends() {
        let input = b"one\r\n\ntwelve bytes\r\nthirteen byte\nexactly ten\r\n\xff\nlast";
        // A buffer of four bytes: lines come in pieces.
        let mut input = io::BufReader::with_capacity(4, &input[..]);
        let mut next = || read_line(&mut input, 12).unwrap();
        for expected in [&b"one"[..], b"", b"twelve bytes"] {
            assert_eq!(next(), Some(Some(expected.to_vec())));
        }
        assert_eq!(next(), Some(None));
        for expected in [&b"exactly ten"[..], b"\xff", b"last"] {
            assert_eq!(next(), Some(Some(expected.to_vec())));
        }
        assert_eq!(next(), None);
    }
}
