//! Whether the two runs of a pair can be made at once.

use super::bench::Pairing;
use super::command_bench::authority;
use super::gate::CompareError;
use super::options::Servers;
use crate::scenario::Scenario;
use crate::scenario::load::PORT;

/// How the runs of a pair are made, and what to know of it.
pub(super) struct Choice {
    pub(super) pairing: Pairing,
    /// Why it is not the way that is the default; none: it is, or was asked for.
    pub(super) note: Option<String>,
}

/// What was asked for; if nothing was, both at once unless something is in the way.
pub(super) fn choose(asked: Option<Pairing>, servers: &Servers, scenario: &Scenario) -> Result<Choice, CompareError> {
    match (asked, obstacle(servers, scenario)) {
        (Some(Pairing::Interleaved), Some(why)) => Err(CompareError::CannotInterleave { why }),
        (Some(pairing), _) => Ok(Choice { pairing, note: None }),
        (None, None) => Ok(Choice { pairing: Pairing::Interleaved, note: None }),
        (None, Some(why)) => {
            let note = format!(
                "note: the two runs of a pair are made one after the other, since {why}: where a machine changes its \
                 speed, intervals will be wide"
            );
            Ok(Choice { pairing: Pairing::Sequential, note: Some(note) })
        }
    }
}

/// Why two servers cannot be up and measured at once; none: they can.
fn obstacle(servers: &Servers, scenario: &Scenario) -> Option<&'static str> {
    let target = &scenario.target;
    let publishes_elsewhere =
        target.publish_url.as_ref().is_some_and(|url| !url.contains(PORT) && authority(url) != authority(&target.url));
    if ![&servers.base, &servers.candidate].into_iter().all(|command| command.contains(PORT)) {
        Some("both servers need a port of their own ({port} in their commands)")
    } else if publishes_elsewhere {
        Some("target.publish_url names a port that only one of two servers can have ({port} in it)")
    } else if scenario.publishers.window.is_some() {
        Some("in a closed loop two servers take each other's CPU (publishers.window)")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Publishers, Target};

    #[test]
    fn both_at_once_unless_something_is_in_the_way() {
        let target = |publish_url: Option<&str>| Target {
            url: "ws://h:1/{room}".to_owned(),
            publish_url: publish_url.map(str::to_owned),
            ..Target::default()
        };
        for (candidate, publish_url, window, obstacle) in [
            ("x {port}", None, None, None),
            ("x {port}", Some("http://h:1/publish"), None, None),
            ("x {port}", Some("http://h:{port}/publish"), None, None),
            ("x {port}", Some("http://h:2/publish"), None, Some("target.publish_url")),
            ("x 9000", None, None, Some("{port} in their commands")),
            ("x {port}", None, Some(8), Some("closed loop")),
        ] {
            let servers = Servers::new("x {port}", candidate);
            let publishers = Publishers { window, ..Publishers::default() };
            let scenario = Scenario { target: target(publish_url), publishers, ..Scenario::default() };
            let chosen = |asked| choose(asked, &servers, &scenario);
            let by_default = chosen(None).unwrap();
            let asked = chosen(Some(Pairing::Interleaved));
            match obstacle {
                None => {
                    assert_eq!((by_default.pairing, by_default.note), (Pairing::Interleaved, None));
                    assert_eq!(asked.unwrap().pairing, Pairing::Interleaved);
                }
                Some(why) => {
                    assert_eq!(by_default.pairing, Pairing::Sequential);
                    assert!(by_default.note.unwrap().contains(why), "{why}");
                    assert!(asked.err().unwrap().to_string().contains(why), "{why}");
                }
            }
            let sequential = chosen(Some(Pairing::Sequential)).unwrap();
            assert_eq!((sequential.pairing, sequential.note), (Pairing::Sequential, None));
        }
    }
}
