//! What a setting is, taken from where it is said once: the documentation of its field, in the source.
//!
//! Not a parser of Rust: it knows `struct` and `enum` at the start of a line, members one level in, as rustfmt writes
//! them. A test looks up each setting, so a miss cannot reach an operator.

const SOURCES: [&str; 2] = [include_str!("../../engine/settings.rs"), include_str!("mod.rs")];

/// The documentation of the struct or enum called `owner`, as one line. Empty: there is none.
pub(super) fn item(owner: &str) -> String {
    find(owner).map_or_else(String::new, |(doc, _)| doc)
}

/// The documentation of a field or variant of `owner`, as one line. Empty: there is none.
pub(super) fn member(owner: &str, name: &str) -> String {
    let Some((_, body)) = find(owner) else {
        return String::new();
    };
    let mut doc = String::new();
    for line in body {
        let declared = strip_visibility(line.trim_start()).split(|c: char| !c.is_alphanumeric() && c != '_').next();
        match doc_text(line) {
            Some(text) => push(&mut doc, text),
            None if declared == Some(name) => return doc,
            None if line.trim_start().starts_with("#[") => {}
            None => doc.clear(),
        }
    }
    String::new()
}

/// A documentation for operators: `None` is the word that stands for it, and a sentence with a link in it, which speaks
/// to readers of the Rust documentation, is left out.
pub(super) fn of_operators(doc: &str, none_word: Option<&str>) -> String {
    let doc = doc.replace("`None`", &format!("\"{}\"", none_word.unwrap_or("none")));
    doc.split_inclusive(". ").filter(|sentence| !sentence.contains("[`")).collect::<String>().trim_end().to_owned()
}

/// The documentation of `owner`, and the lines between its braces.
fn find(owner: &str) -> Option<(String, impl Iterator<Item = &'static str>)> {
    SOURCES.iter().find_map(|source| {
        let mut doc = String::new();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let mut words = strip_visibility(line).split_whitespace();
            match doc_text(line) {
                Some(text) if line.starts_with("///") => push(&mut doc, text),
                _ if matches!(words.next(), Some("struct" | "enum")) && words.next() == Some(owner) => {
                    return Some((doc, lines.take_while(|line| *line != "}")));
                }
                _ if line.starts_with("#[") => {}
                _ => doc.clear(),
            }
        }
        None
    })
}

fn strip_visibility(line: &str) -> &str {
    line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line)
}

fn doc_text(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("///").map(str::trim)
}

fn push(doc: &mut String, text: &str) {
    if !doc.is_empty() {
        doc.push(' ');
    }
    doc.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::{item, member, of_operators};

    #[test]
    fn documentation_is_found_where_it_is_written() {
        assert_eq!(item("LagPolicy"), "What happens to a member whose cursor falls behind the room's window.");
        assert_eq!(member("LagPolicy", "Disconnect"), "The connection is closed with code 3008, \"slow\".");
        assert_eq!(member("Limits", "rooms_max"), "Rooms that exist at a time. More: HTTP 503.");
        assert_eq!(member("Limits", "rooms"), "");
        assert_eq!(member("Nothing", "rooms"), "");
    }

    #[test]
    fn operators_read_words_not_rust() {
        let doc = "Number; `None`: one per core. At most [`MAX`]. More follows.";
        assert_eq!(of_operators(doc, Some("cores")), "Number; \"cores\": one per core. More follows.");
    }
}
