//! What has to be there before the first run: the revisions, both built.

use std::io::Write;
use std::path::Path;

use super::command_bench::{CommandBench, Runner};
use super::gate::CompareError;
use super::options::Servers;
use super::server_process::ServerCommand;
use super::worktree::{self, Worktree};
use crate::scenario::Scenario;

/// Stands for the folder of a side's revision.
const DIR: &str = "{dir}";

/// Servers that can be started.
pub(super) struct Prepared {
    base: ServerCommand,
    candidate: ServerCommand,
    /// Removed with this.
    _revisions: [Option<Worktree>; 2],
}

impl Prepared {
    /// Checks out and builds what is to be built.
    pub(super) fn new(servers: &Servers, scratch: &Path, out: &mut dyn Write) -> Result<Self, CompareError> {
        let wants_folder = servers.base_revision.is_some()
            || servers.candidate_revision.is_some()
            || servers.build.is_some()
            || [&servers.base, &servers.candidate].iter().any(|command| command.contains(DIR));
        if !wants_folder {
            let (base, candidate) = (command(servers, &servers.base, None), command(servers, &servers.candidate, None));
            return Ok(Self { base, candidate, _revisions: [None, None] });
        }
        let here = worktree::repository_root(&servers.repository)?;
        let add = |revision: &Option<String>, name: &str| {
            revision.as_ref().map(|revision| Worktree::add(&here, revision, scratch.join(name))).transpose()
        };
        let revisions = [add(&servers.base_revision, "base")?, add(&servers.candidate_revision, "candidate")?];
        let folder = |revision: &Option<Worktree>| {
            revision.as_ref().map_or_else(|| here.clone(), |worktree| worktree.directory().to_owned())
        };
        let [base, candidate] = [folder(&revisions[0]), folder(&revisions[1])];
        if let Some(build) = &servers.build {
            worktree::build(build, &candidate, out)?;
            if base != candidate {
                worktree::build(build, &base, out)?;
            }
        }
        Ok(Self {
            base: command(servers, &servers.base, Some(&base)),
            candidate: command(servers, &servers.candidate, Some(&candidate)),
            _revisions: revisions,
        })
    }

    pub(super) fn bench<'a>(&self, scenario: &'a Scenario, scratch: &Path, runner: &'a Runner<'a>) -> CommandBench<'a> {
        let commands = (self.base.clone(), self.candidate.clone());
        CommandBench::new(scenario, commands, scratch.to_owned(), runner)
    }
}

fn command(servers: &Servers, text: &str, directory: Option<&Path>) -> ServerCommand {
    let place = directory.map(|directory| directory.display().to_string());
    ServerCommand {
        command: place.map_or_else(|| text.to_owned(), |place| text.replace(DIR, &place)),
        directory: directory.map(Path::to_owned),
        cores: servers.cores.clone(),
        start_timeout: servers.start_timeout,
        stop_timeout: servers.stop_timeout,
    }
}
