//! Follows the file while the process runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::Signal;

use crate::file::{File, Problem};
use crate::gateway::Gateway;
use crate::plan::{Kept, Plan};
use crate::telemetry;

/// How often the files are looked at. A file of Kubernetes changes by a link, which no watch on the
/// file itself would see.
const LOOK: Duration = Duration::from_secs(1);

/// The file that the settings are in.
#[derive(Debug, Clone)]
pub(super) struct Source {
    path: PathBuf,
}

impl Source {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where relative paths in the file begin.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn text(&self) -> Result<String, String> {
        std::fs::read_to_string(&self.path).map_err(|error| format!("{}: {error}", self.name()))
    }

    pub(super) fn file(&self, text: &str) -> Result<File, String> {
        File::parse(text).map_err(|problem| self.told(&problem, text))
    }

    /// Makes the plan of a file. An error gives the line in `text`.
    pub(super) async fn plan(
        &self,
        file: &File,
        text: &str,
        kept: &mut Kept,
    ) -> Result<Plan, String> {
        let made = Plan::new(file, self.folder(), kept).await;
        made.map_err(|problem| self.told(&problem, text))
    }

    pub(super) fn told(&self, problem: &Problem, text: &str) -> String {
        problem.told(&self.name(), text).to_string()
    }
}

/// Makes a new plan when the file or one that it names has changed, or at SIGHUP. A plan that cannot
/// be made changes nothing.
pub(super) async fn keep_up_to_date(
    source: Source,
    text: String,
    mut followed: File,
    gateway: Gateway,
    mut kept: Kept,
    mut hang_up: Signal,
) {
    let mut looked_at = Ok(text);
    loop {
        let is_asked = tokio::select! {
            _ = hang_up.recv() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        let found = source.text();
        if !is_asked && found == looked_at && !kept.beside.have_changed() {
            continue;
        }
        looked_at = found.clone();
        match follow(&source, found, &followed, &gateway, &mut kept).await {
            Ok(file) => {
                followed = file;
                metrics::counter!(telemetry::RELOADS).increment(1);
                tracing::info!(file = source.name(), "the file was read again");
            }
            Err(why) => {
                metrics::counter!(telemetry::RELOAD_FAILURES).increment(1);
                tracing::error!(%why, "the changed file is not used: the settings before it stay");
            }
        }
    }
}

async fn follow(
    source: &Source,
    found: Result<String, String>,
    before: &File,
    gateway: &Gateway,
    kept: &mut Kept,
) -> Result<File, String> {
    // All of them are read again. Without a plan the text alone counts.
    kept.beside.clear();
    let found = found?;
    let file = source.file(&found)?;
    if let Some(setting) = change_of_the_process(before, &file) {
        return Err(format!(
            "{}: `{setting}` cannot change while the process runs: restart it",
            source.name()
        ));
    }
    let plan = source.plan(&file, &found, kept).await?;
    gateway.follow(plan);
    Ok(file)
}

/// The first changed setting that only the start of the process reads.
fn change_of_the_process(old: &File, new: &File) -> Option<&'static str> {
    let (old_limits, limits) = (&old.limits, &new.limits);
    [
        ("listen", old.listen != new.listen),
        ("operators", old.operators != new.operators),
        ("log", old.log != new.log),
        ("limits.head", old_limits.head != limits.head),
        ("limits.headers", old_limits.headers != limits.headers),
        ("limits.connections", old_limits.connections != limits.connections),
        ("limits.streams", old_limits.streams != limits.streams),
        ("timeouts.head", old.timeouts.head != new.timeouts.head),
        ("timeouts.drain", old.timeouts.drain != new.timeouts.drain),
    ]
    .into_iter()
    .find_map(|(name, has_changed)| has_changed.then_some(name))
}
