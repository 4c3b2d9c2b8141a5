//! What a failure leaves behind: its schedule, and of the first one a small schedule and charts of that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use liferaft_sim::chart;
use liferaft_sim::plan::Plan;
use liferaft_sim::replay::{record, retell};
use liferaft_sim::schedule::Schedule;
use liferaft_sim::shrink::shrink;
use serde::Serialize;

/// Where evidence goes, and how much work it is worth.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// The folder.
    pub(crate) folder: &'a Path,
    /// How long the first failure is shrunk at most; not at all if zero.
    pub(crate) shrink: Duration,
    /// The bug or flaw that is planted.
    pub(crate) planted: Option<String>,
    /// The first failure, and its file.
    first: Option<(Schedule, PathBuf)>,
    files: Files,
}

/// The files that were written.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Files {
    /// The schedules of failures as they ran.
    schedules: Vec<PathBuf>,
    /// The first one, shrunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    shrunk: Option<PathBuf>,
    /// Charts of it, as text and as a picture.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    charts: Vec<PathBuf>,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(folder: &'a Path, shrink: Duration) -> Self {
        Self {
            folder,
            shrink,
            planted: None,
            first: None,
            files: Files::default(),
        }
    }

    /// Runs a plan that failed once more, and keeps its schedule.
    pub(crate) fn keep(&mut self, plan: Plan) {
        let seed = plan.seed;
        let (_, mut schedule) = record(plan);
        schedule.planted.clone_from(&self.planted);
        let name = match &self.planted {
            Some(planted) => format!("{planted}-{seed}"),
            None => format!("seed-{seed}"),
        };
        let Some(file) = self.write(&schedule, &name) else {
            return;
        };
        eprintln!("its schedule: {}", file.display());
        self.files.schedules.push(file.clone());
        if self.first.is_none() {
            self.first = Some((schedule, file));
        }
    }

    /// Shrinks the first failure and draws it, if there is one. Tells which files there are.
    pub(crate) fn finish(mut self) -> Option<Files> {
        let (schedule, file) = self.first.take()?;
        if self.shrink.is_zero() {
            return Some(self.files);
        }
        let seconds = self.shrink.as_secs();
        eprintln!("shrinking {} for {seconds} s at most", file.display());
        let Some(shrunk) = shrink(&schedule, self.shrink) else {
            eprintln!("its replay does not end with the same alarm");
            return Some(self.files);
        };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}-shrunk");
        eprintln!(
            "{} after {} replays{}",
            shrunk.schedule.about,
            shrunk.replays,
            if shrunk.is_minimal {
                ""
            } else {
                ", when time was up"
            }
        );
        self.files.shrunk = self.write(&shrunk.schedule, &name);
        self.files.charts = draw(&shrunk.schedule, self.folder, &name);
        for file in self.files.shrunk.iter().chain(&self.files.charts) {
            eprintln!("written: {}", file.display());
        }
        if let Some(file) = &self.files.shrunk {
            eprintln!(
                "to keep it as a test: cp {} sim/tests/regressions/",
                file.display()
            );
        }
        Some(self.files)
    }

    fn write(&self, schedule: &Schedule, name: &str) -> Option<PathBuf> {
        let file = self.folder.join(format!("{name}.json"));
        match schedule.write(&file) {
            Ok(()) => Some(file),
            Err(error) => {
                eprintln!("error: {}: {error}", file.display());
                None
            }
        }
    }
}

/// Draws a replay of a schedule. Tells where.
pub(crate) fn draw(schedule: &Schedule, folder: &Path, name: &str) -> Vec<PathBuf> {
    let (_, story) = retell(schedule);
    let charts = [
        (format!("{name}.txt"), chart::text(&story)),
        (format!("{name}.svg"), chart::svg(&story, &title(schedule))),
    ];
    let written = charts.into_iter().filter_map(|(file, chart)| {
        let file = folder.join(file);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, chart));
        match written {
            Ok(()) => Some(file),
            Err(error) => {
                eprintln!("error: {}: {error}", file.display());
                None
            }
        }
    });
    written.collect()
}

fn title(schedule: &Schedule) -> String {
    let planted = schedule.planted.iter();
    let planted = planted.map(|planted| format!(", {planted} planted"));
    format!("{}{}", schedule.about, planted.collect::<String>())
}
