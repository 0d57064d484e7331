//! What has to be there before the first run: a temporary folder, the base's revision, both built.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::command_bench::{CommandBench, Runner};
use super::gate::CompareError;
use super::options::Servers;
use super::server_process::ServerCommand;
use super::worktree::{self, Worktree};
use crate::clock::Nanos;
use crate::scenario::Scenario;

/// Stands for the folder of a side's revision.
const DIR: &str = "{dir}";

/// A folder of its own for this process. Removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self, CompareError> {
        let name = format!("loadgen-{}-{}", std::process::id(), Nanos::now().0);
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|source| CompareError::File { path: path.display().to_string(), source })?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean up.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// Servers that can be started.
pub(super) struct Prepared {
    base: ServerCommand,
    candidate: ServerCommand,
    _base_revision: Option<Worktree>,
}

impl Prepared {
    /// Checks out and builds what is to be built.
    pub(super) fn new(servers: &Servers, scratch: &Path, out: &mut dyn Write) -> Result<Self, CompareError> {
        let wants_folder = servers.base_revision.is_some()
            || servers.build.is_some()
            || [&servers.base, &servers.candidate].iter().any(|command| command.contains(DIR));
        if !wants_folder {
            let (base, candidate) = (command(servers, &servers.base, None), command(servers, &servers.candidate, None));
            return Ok(Self { base, candidate, _base_revision: None });
        }
        let here = worktree::repository_root(&servers.repository)?;
        let add = |revision: &String| Worktree::add(&here, revision, scratch.join("base"));
        let base_revision = servers.base_revision.as_ref().map(add).transpose()?;
        let there = base_revision.as_ref().map_or_else(|| here.clone(), |worktree| worktree.directory().to_owned());
        if let Some(build) = &servers.build {
            worktree::build(build, &here, out)?;
            if there != here {
                worktree::build(build, &there, out)?;
            }
        }
        Ok(Self {
            base: command(servers, &servers.base, Some(&there)),
            candidate: command(servers, &servers.candidate, Some(&here)),
            _base_revision: base_revision,
        })
    }

    pub(super) fn bench<'a>(
        &self,
        scenario: &'a Scenario,
        scratch: &Path,
        runner: &'a mut Runner<'a>,
    ) -> CommandBench<'a> {
        let commands = (self.base.clone(), self.candidate.clone());
        CommandBench::new(scenario, commands, scratch.join("server.log"), runner)
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
