//! What is told while pairs run, and where their runs are kept: a line per run, no figures. Whoever saw them would be
//! tempted to stop.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::bench::{Attempt, StageKind, Watch};

/// Tells of runs and keeps them.
pub struct Progress<'a> {
    out: &'a mut dyn Write,
    folder: Option<&'a Path>,
}

impl<'a> Progress<'a> {
    /// Tells on `out`; keeps runs in `folder`, if any, one folder per side: `compare` reads them.
    pub fn new(out: &'a mut dyn Write, folder: Option<&'a Path>) -> Self {
        Self { out, folder }
    }
}

impl Watch for Progress<'_> {
    fn ran(&mut self, attempt: &Attempt<'_>) -> io::Result<()> {
        let stage = match attempt.stage {
            StageKind::First => "pair",
            StageKind::Doubled => "further pair",
            StageKind::Confirmation => "confirming pair",
            StageKind::ConfirmationDoubled => "further confirming pair",
        };
        let (pair, pairs, side) = (attempt.pair, attempt.pairs, attempt.side.name());
        let how = match attempt.problems {
            [] => "done".to_owned(),
            problems => format!("invalid ({}): {}", attempt.repeat + 1, problems.join("; ")),
        };
        writeln!(self.out, "{stage} {pair}/{pairs} {side}: {how}")?;
        self.out.flush()?;
        let (Some(folder), Some(run)) = (self.folder, attempt.run) else {
            return Ok(());
        };
        let kind = if attempt.stage.confirms() { "confirming" } else { "pair" };
        let name = match attempt.problems {
            [] => format!("{kind}-{pair:03}.json"),
            _ => format!("{kind}-{pair:03}-invalid-{}.json", attempt.repeat + 1),
        };
        let folder = folder.join(side);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), serde_json::to_string(run)?)
    }
}

/// Whether this is the name of a run that [`Progress`] kept.
pub(super) fn is_kept_run(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    (name.starts_with("pair-") || name.starts_with("confirming-")) && name.ends_with(".json")
}
