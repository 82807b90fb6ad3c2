//! What happened to the cluster and by whom, for whoever asks later: one JSON object a line, in the master's state.
//!
//! It is bounded: a full file takes the place of the one before. Deliberately absent: what programs print; and any promise
//! beyond a crash of the machine, which may cost the last lines.

use deploy_sys::tell;
use serde_json::{Map, Value};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// A log that is written to.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: File,
    has_failed: bool,
}

impl Audit {
    /// Goes on with the log in this state directory.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(state: &Path) -> io::Result<Audit> {
        let path = state.join(FILE);
        Ok(Audit {
            file: open(&path)?,
            path,
            has_failed: false,
        })
    }

    /// Adds a [`line()`]. Several processes may do so. Blocks as a write to a file does.
    pub fn add(&mut self, line: &str) {
        if let Err(error) = self.write(line.as_bytes())
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tell!("warning: {} is incomplete: {error}", self.path.display());
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.len() > FILE_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension(BEFORE))?;
            self.file = open(&self.path)?;
        }
        self.file.write_all(line)
    }
}

/// A line of the log: what happened just now, and what more is known.
pub fn line(event: &str, facts: &[(&str, &str)]) -> String {
    let mut fields = Map::new();
    fields.insert("time".to_string(), time(SystemTime::now()).into());
    fields.insert("event".to_string(), event.into());
    let more = facts
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(*value)));
    fields.extend(more);
    format!("{}\n", Value::Object(fields))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// As people and programs both read it: `2026-01-31T23:59:59Z`.
fn time(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let mut day = days;
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days_of = |year| if is_leap(year) { 366 } else { 365 };
    let mut year = 1970;
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{:02}Z",
        day + 1,
        second % 60
    )
}

const FILE: &str = "audit.jsonl";
/// What the full file is called: `audit.1`.
const BEFORE: &str = "1";
/// Some hundred thousand lines; there are two files at most.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_written_as_people_read_them() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_795_345_681, "2026-11-22T11:08:01Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn lines_are_whole_objects_and_the_log_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut audit = Audit::open(dir.path()).unwrap();
        audit.add(&line("joined", &[("who", "user \"ada\"\n")]));
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(text.lines().count(), 1);
        let entry: Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(entry["who"], "user \"ada\"\n");

        File::options()
            .write(true)
            .open(dir.path().join(FILE))
            .unwrap()
            .set_len(FILE_BYTES_MAX + 1)
            .unwrap();
        audit.add(&line("left", &[]));
        let now = fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert!(now < 100);
        assert!(dir.path().join("audit.1").exists());
    }
}
