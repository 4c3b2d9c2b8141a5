//! Schedules as text: JSON, since a plan is nested and every tool reads it, with each action and each series of choices
//! on a line of its own, so that people can read it, edit it and see in a diff what has changed.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::{FORMAT, Schedule};

/// The largest file that is read, in bytes. A run of ten minutes takes less.
const FILE_BYTES_MAX: u64 = 256 << 20;

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold a schedule that makes sense: with its name and where it is wrong.
    pub fn read(path: &Path) -> Result<Self, String> {
        let named = |error: String| format!("{}: {error}", path.display());
        let length = fs::metadata(path).map_err(|error| named(error.to_string()))?;
        if length.len() > FILE_BYTES_MAX {
            return Err(named("it is too long for a schedule".to_owned()));
        }
        let text = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        Self::parse(&text).map_err(named)
    }

    /// The schedule that a text spells.
    ///
    /// # Errors
    /// When it spells none that makes sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let schedule: Self =
            serde_json::from_str(text).map_err(|error| format!("no schedule: {error}"))?;
        if schedule.format > FORMAT {
            return Err(format!(
                "its format is {}, and {FORMAT} is the newest that is known",
                schedule.format
            ));
        }
        schedule
            .check()
            .map_err(|error| format!("the schedule makes no sense: {error}"))?;
        Ok(schedule)
    }

    /// Writes it, with the folders that lead there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, self.text())
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("{\n");
        entry(&mut text, "format", &json(&self.format));
        entry(&mut text, "about", &json(&self.about));
        if let Some(planted) = &self.planted {
            entry(&mut text, "planted", &json(planted));
        }
        if let Some(alarm) = &self.alarm {
            entry(&mut text, "alarm", &json(alarm));
        }
        if let Some(trace) = &self.trace {
            entry(&mut text, "trace", &json(trace));
        }
        let plan = serde_json::to_string_pretty(&self.plan).expect("a plan has an encoding");
        entry(&mut text, "plan", &plan.replace('\n', "\n  "));
        let actions = self.actions.iter().map(json);
        entry(&mut text, "actions", &lines("[", actions, "]"));
        let made = self.choices.made.iter();
        let made = made.map(|(series, choices)| format!("{}: {}", json(series), json(choices)));
        let fresh = json(&self.choices.fresh);
        let made = lines("{", made, "}").replace('\n', "\n  ");
        let _ = writeln!(
            text,
            "  \"choices\": {{\n    \"made\": {made},\n    \"fresh\": {fresh}\n  }}\n}}"
        );
        text
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("all that a schedule holds has an encoding")
}

fn entry(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  \"{name}\": {value},");
}

fn lines(open: &str, of: impl Iterator<Item = String>, close: &str) -> String {
    let lines: Vec<String> = of.map(|line| format!("\n    {line}")).collect();
    if lines.is_empty() {
        return format!("{open}{close}");
    }
    format!("{open}{}\n  {close}", lines.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::plan::Plan;
    use crate::replay::record;

    fn text() -> String {
        let mut plan = Plan::of_seed(1);
        plan.safety_phase = SECOND;
        record(plan).1.text()
    }

    #[track_caller]
    fn assert_refused(text: &str, why: &str) {
        let refused = Schedule::parse(text).expect_err("it is damaged");
        assert!(refused.contains(why), "{refused}");
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let text = text();

        let read = Schedule::parse(&text).expect("a schedule");

        assert_eq!(read.text(), text);
        assert!(!read.actions.is_empty());
        assert!(!read.choices.is_empty());
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused_with_the_place() {
        let text = text();

        assert_refused(&text[..text.len() / 2], "line ");
        assert_refused("", "line 1 column 0");
    }

    #[test]
    fn what_is_misspelled_is_refused() {
        let text = text();

        let unknown_setting = text.replacen("\"voters\"", "\"woters\"", 1);
        let unknown_series = text.replacen("\"clock origin 1\"", "\"clock origin one\"", 1);

        assert_refused(&unknown_setting, "unknown field `woters`");
        assert_refused(&unknown_series, "no series of choices: clock origin one");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let schedule = Schedule::parse(&text()).expect("a schedule");
        let mut members = schedule.clone();
        let mut client = schedule.clone();
        let mut newer = schedule;
        members.plan.members = 0;
        client.plan.clients.count = 0;
        newer.format = FORMAT + 1;

        assert_refused(&members.text(), "0 members, not 1 to 8");
        assert_refused(&client.text(), "0 clients");
        assert_refused(&newer.text(), "its format is 2, and 1 is the newest");
    }

    #[test]
    fn a_setting_that_is_left_out_is_off() {
        let text = text();
        let line = text.lines().find(|line| line.contains("\"turn_max\""));
        let without = text.replacen(line.expect("the setting"), "", 1);

        let read = Schedule::parse(&without).expect("a schedule");

        assert_eq!(read.plan.turn_max, 0);
    }
}
