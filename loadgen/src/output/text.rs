//! The summary at the end of a run: what matters first, aligned, at most 80 columns.

mod sections;

pub(super) use sections::asked_per_second;

use std::io::{self, Write};

use crate::outcome::Run;

/// Columns of a terminal that nobody widened.
const WIDTH: usize = 80;

/// Whether terminal colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The verdict is coloured (ANSI).
    Ansi,
    /// Plain text.
    Never,
}

/// Writes it.
///
/// # Errors
/// `out` does not take it.
pub fn write(run: &Run, colour: Colour, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { out, colour };
    sections::verdict(run, &mut page)?;
    sections::load(run, &mut page)?;
    sections::times(run, &mut page)?;
    sections::phases(run, &mut page)?;
    sections::costs(run, &mut page)?;
    sections::thresholds(run, &mut page)
}

/// Where the summary goes, a line at a time.
struct Page<'a> {
    out: &'a mut dyn Write,
    colour: Colour,
}

/// What a mark says.
#[derive(Clone, Copy)]
enum Tone {
    Good,
    Bad,
    Doubtful,
}

impl Page<'_> {
    /// A label and what belongs to it; what does not fit goes on below, indented.
    fn line(&mut self, label: &str, text: &str) -> io::Result<()> {
        const INDENT: usize = 14;
        for (index, part) in wrap(text, WIDTH - INDENT).iter().enumerate() {
            writeln!(self.out, "{:<INDENT$}{part}", if index == 0 { label } else { "" })?;
        }
        Ok(())
    }

    /// A sentence behind a coloured mark.
    fn marked(&mut self, tone: Tone, mark: &str, text: &str) -> io::Result<()> {
        let indent = mark.chars().count() + 2;
        let painted = match (self.colour, tone) {
            (Colour::Never, _) => mark.to_owned(),
            (Colour::Ansi, Tone::Good) => format!("\x1b[1;32m{mark}\x1b[0m"),
            (Colour::Ansi, Tone::Bad) => format!("\x1b[1;31m{mark}\x1b[0m"),
            (Colour::Ansi, Tone::Doubtful) => format!("\x1b[1;33m{mark}\x1b[0m"),
        };
        for (index, part) in wrap(text, WIDTH - indent).iter().enumerate() {
            if index == 0 {
                writeln!(self.out, "{painted}  {part}")?;
            } else {
                writeln!(self.out, "{:indent$}{part}", "")?;
            }
        }
        Ok(())
    }

    fn plain(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{}", line.trim_end())
    }
}

/// Breaks at blanks; a word longer than a line is cut. Control characters (a name may hold anything) become blanks.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(|one: char| one == ' ' || one.is_control()).filter(|word| !word.is_empty()) {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let line = lines.last_mut().expect("there is always one");
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + rest.len() <= width {
                line.extend(std::iter::repeat_n(' ', gap).chain(rest.drain(..)));
            } else if used == 0 {
                line.extend(rest.drain(..width));
            } else {
                lines.push(String::new());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::{Fabricated, text_of};

    fn summary(run: &Run) -> String {
        text_of(|out| write(run, Colour::Never, out))
    }

    #[test]
    fn a_good_run() {
        let text = summary(&Fabricated::default().run());
        assert!(text.starts_with("VALID  one-room"), "{text}");
        assert!(text.contains("none lost"), "{text}");
        assert!(text.contains("p99.999"), "{text}");
        assert!(!text.contains("with losses"), "nothing was lost:\n{text}");
    }

    #[test]
    fn a_bad_run_says_first_why() {
        let fault = Fabricated { lost_every: Some(40), pause_s: Some(8.0), median_ms: 3.0, ..Fabricated::default() };
        let run = fault.run();
        let text = summary(&run);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("INVALID  one-room"), "{text}");
        assert!(lines[1].contains(&run.validity.problems[0]), "{text}");
        assert!(text.contains("with losses"), "{text}");
        assert!(text.contains("missed"), "the threshold of p99 is not met:\n{text}");
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let mut run = Fabricated { lost_every: Some(40), ..Fabricated::default() }.run();
        run.scenario.name = "long ".repeat(30) + &"x".repeat(200) + "\x1b[2J\n";
        run.phases[0].name = "p".repeat(99);
        run.validity.problems.push("word ".repeat(60));
        run.total.published = u64::MAX;
        run.audit.expected = u64::MAX;
        run.audit.received = u64::MAX;
        run.connections.lost.insert("close 3008".repeat(20), u64::MAX);
        run.thresholds[0].bound = "<".repeat(100);
        let text = summary(&run);
        assert!(!text.contains('\x1b'), "a name may not send commands to the terminal");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn an_empty_run_is_written_too() {
        let mut run = Fabricated::default().run();
        run.total = crate::outcome::Figures::default();
        run.audit = crate::outcome::Audit::default();
        run.phases.clear();
        run.seconds.clear();
        run.server = None;
        let text = summary(&run);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn colour_only_if_asked() {
        let run = Fabricated::default().run();
        assert!(text_of(|out| write(&run, Colour::Ansi, out)).starts_with("\x1b[1;32mVALID\x1b[0m"));
    }
}
