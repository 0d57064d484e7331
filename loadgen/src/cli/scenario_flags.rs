//! The flags that stand for fields of the scenario, made from their table.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::scenario::check::PayloadBytesMin;
use crate::scenario::fields::{self, FIELDS, Field, Kind, SECTIONS, Shown};
use crate::scenario::load::{LoadError, Ports, load, load_for};
use crate::scenario::overrides::{OverrideError, Overrides};
use crate::scenario::{Phase, Scenario};

/// Where the scenario comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScenarioSource {
    /// The file, if any.
    pub file: Option<PathBuf>,
    /// What the flags say over it.
    pub overrides: Overrides,
}

impl ScenarioSource {
    /// Loads and checks it; see [`load`].
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, payload_bytes_min: PayloadBytesMin) -> Result<Scenario, LoadError> {
        load(self.file.as_deref(), &self.overrides, payload_bytes_min)
    }

    /// The same for one who starts the servers: URLs may say `{port}`.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load_for_servers(&self, payload_bytes_min: PayloadBytesMin) -> Result<Scenario, LoadError> {
        load_for(Ports::Chosen, self.file.as_deref(), &self.overrides, payload_bytes_min)
    }
}

/// Whether the help of a command lists the scenario's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Yes,
    No,
}

/// The positional scenario.
pub(super) fn file() -> Arg {
    Arg::new("scenario")
        .value_name("SCENARIO")
        .value_parser(value_parser!(PathBuf))
        .help("The scenario's TOML file; without it, defaults and flags")
}

/// Adds the flags of all fields.
pub(super) fn add(command: Command, listed: Listed) -> Command {
    let defaults = toml::Table::try_from(Scenario::default()).expect("a scenario consists of what TOML can say");
    let fields = SECTIONS.iter().flat_map(|&(section, _)| match section {
        "phase" => phases().to_vec(),
        _ => FIELDS.iter().filter(|field| field.section() == section).map(|field| flag(field, &defaults)).collect(),
    });
    let flags = fields.chain([Arg::new("set")
        .long("set")
        .value_name("PATH=VALUE")
        .action(ArgAction::Append)
        .help_heading(heading(""))
        .help("Any field by its path in the file, such as publishers.count=4; may be repeated")]);
    command.args(flags.map(|flag| if listed == Listed::No { flag.hide(true) } else { flag }))
}

/// `{n}`, which clap would take for a new line, with an escape sequence inside that terminals ignore and others do not
/// get.
const NOT_A_NEW_LINE: &str = "{\u{1b}[0mn}";

fn heading(section: &str) -> &'static str {
    SECTIONS.iter().find(|&&(name, _)| name == section).map_or("Scenario", |&(_, heading)| heading)
}

fn flag(field: &Field, defaults: &toml::Table) -> Arg {
    let kind = field.kind;
    let repeated = if kind == Kind::Table { " May be repeated." } else { "" };
    let default = default_of(field.path, defaults).map(|value| format!(" [default: {value}]")).unwrap_or_default();
    let mut arg = Arg::new(field.path)
        .long(field.flag)
        .value_name(field.value_name)
        .help_heading(heading(field.section()))
        .help(format!("{}{repeated}{default}", field.help).replace("{n}", NOT_A_NEW_LINE))
        .hide_short_help(field.shown == Shown::Long)
        .action(if kind == Kind::Table { ArgAction::Append } else { ArgAction::Set });
    if field.long_flag() != field.flag {
        arg = arg.alias(field.long_flag());
    }
    match kind {
        Kind::Choice(words) => arg.value_parser(PossibleValuesParser::new(words)),
        _ => arg
            .allow_negative_numbers(true)
            .value_parser(move |text: &str| fields::parse_value(kind, text).map(|_| text.to_owned())),
    }
}

fn default_of(path: &str, defaults: &toml::Table) -> Option<String> {
    let value = match path.split_once('.') {
        Some((section, name)) => defaults.get(section)?.get(name)?,
        None => defaults.get(path)?,
    };
    match value {
        toml::Value::Table(_) => None,
        toml::Value::Array(items) if items.is_empty() => None,
        toml::Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}

fn phases() -> [Arg; 3] {
    let time = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("TIME")
            .value_parser(fields::duration)
            .conflicts_with("phase")
            .help_heading(heading("phase"))
            .help(help)
    };
    [
        time("warm-up", "Time before the figures count; 0s: none [default: 2s]"),
        time("duration", "Time that counts [default: 10s]"),
        Arg::new("phase")
            .long("phase")
            .value_name("KIND:TIME[:RATE[:NAME]]")
            .action(ArgAction::Append)
            .value_parser(parse_phase)
            .help_heading(heading("phase"))
            .help(
                "A phase (warm-up, measured or cool-down), its length and messages per second; repeated for steps: \
                 --phase warm-up:2s --phase measured:10s:50 --phase measured:10s:100",
            ),
    ]
}

fn parse_phase(text: &str) -> Result<Phase, OverrideError> {
    let mut one = Overrides::default();
    one.phase(text)?;
    Ok(one.phases.remove(0))
}

/// What the flags say.
pub(super) fn source(matches: &ArgMatches, file: Option<PathBuf>) -> Result<ScenarioSource, OverrideError> {
    let mut overrides = Overrides::default();
    for pair in super::texts(matches, "set") {
        overrides.set_pair(&pair)?;
    }
    for field in FIELDS.iter().filter(|field| field.section() != "phase") {
        for text in super::texts(matches, field.path) {
            match field.path {
                "target.headers" => overrides.header(&text)?,
                "thresholds" => overrides.threshold(&text)?,
                path => overrides.set(path, &text)?,
            }
        }
    }
    overrides.phases = matches.get_many::<Phase>("phase").unwrap_or_default().cloned().collect();
    overrides.warm_up = matches.get_one::<Duration>("warm-up").copied();
    overrides.duration = matches.get_one::<Duration>("duration").copied();
    Ok(ScenarioSource { file, overrides })
}
