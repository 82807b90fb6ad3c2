//! What each process prints, in files of its own: `DIR/JOB/NUMBER-PID.out` and `.err`.
//!
//! The number is that of the process in its job: 0 is the first one, and the others are numbered as they were started. A
//! stream to which nothing was written has no file. The bytes are those that the process wrote. The job's directory is made
//! anew, and so are all files in it: nothing that is there is ever written to, and no link followed.
//!
//! Deliberately absent: a thread. What is written goes to the system's memory; and where the disk is slow, the job waits for it,
//! as for a slow terminal.

use crate::{clusters, failure::Failure};
use deploy_wire::{
    event::{Event, Stream},
    pid::{Job, Pid},
};
use nix::libc::O_NOFOLLOW;
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// One stream of one process.
type Voice = (Pid, Stream);

/// The files of one job.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    open: HashMap<Voice, File>,
    /// Those that there are, of processes that live.
    made: HashSet<Voice>,
    /// Why nothing is written any more.
    failure: Option<String>,
}

/// Makes sure that there is such a directory, and that one for a job can be made in it, before anything begins.
pub fn prepare(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    let tried = directory.join(format!(".deploy-{}", std::process::id()));
    fs::create_dir(&tried)
        .and_then(|()| fs::remove_dir(&tried))
        .map_err(|error| {
            let directory = directory.display();
            Failure::setting(format!(
                "nothing can be made in `{directory}` of --output: {error}"
            ))
        })
}

impl Files {
    /// In a new directory below this one, for what the job prints.
    pub fn new(directory: &Path, job: Job) -> Result<Files, Failure> {
        let directory = directory.join(clusters::short(job));
        fs::create_dir(&directory).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::setting(format!(
                "`{}` is there already, and nothing is written over: remove it, or name another directory with --output",
                directory.display()
            )),
            _ => failed(&directory, &error),
        })?;
        Ok(Files {
            directory,
            open: HashMap::new(),
            made: HashSet::new(),
            failure: None,
        })
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Why something is missing in them.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Writes what a process printed. Says so, once, if that is not possible.
    pub fn handle_event(&mut self, event: &Event) -> Option<&str> {
        match event {
            Event::Output { pid, stream, bytes } if self.failure.is_none() => {
                let error = self.write((*pid, *stream), bytes).err()?;
                self.open.clear();
                let path = self.path((*pid, *stream));
                self.failure = Some(format!(
                    "{} could not be written: {error}; what came after that is not in the files",
                    path.display()
                ));
                self.failure()
            }
            Event::Exited { pid, .. } => {
                for stream in [Stream::Stdout, Stream::Stderr] {
                    self.open.remove(&(*pid, stream));
                    self.made.remove(&(*pid, stream));
                }
                None
            }
            _ => None,
        }
    }

    fn write(&mut self, voice: Voice, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = self.open.get_mut(&voice) {
            return file.write_all(bytes);
        }
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(!self.made.contains(&voice))
            .custom_flags(O_NOFOLLOW)
            .open(self.path(voice))?;
        self.made.insert(voice);
        file.write_all(bytes)?;
        self.open.insert(voice, file);
        Ok(())
    }

    fn path(&self, (pid, stream): Voice) -> PathBuf {
        let kind = match stream {
            Stream::Stdout => "out",
            Stream::Stderr => "err",
        };
        // As many digits as keep most jobs in order in a listing.
        let name = format!("{:04}-{pid}.{kind}", pid.number());
        self.directory.join(name)
    }
}

fn failed(directory: &Path, error: &io::Error) -> Failure {
    Failure::setting(format!(
        "the directory `{}` of --output cannot be made: {error}",
        directory.display()
    ))
}

/// Files that are open at once: a quarter of the usual limit for all. With more voices than these they are opened again.
const OPEN_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::exit::{End, ExitStatus};

    /// A directory that goes with the test.
    struct Place(PathBuf);

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn place(name: &str) -> Place {
        let name = format!("deploy-files-{}-{name}", std::process::id());
        let place = Place(std::env::temp_dir().join(name));
        prepare(&place.0).unwrap();
        place
    }

    const JOB: Job = Job::from_bits(5);

    fn output(number: u32, stream: Stream, bytes: &[u8]) -> Event {
        let (pid, bytes) = (Pid::new(JOB, number), bytes.to_vec());
        Event::Output { pid, stream, bytes }
    }

    #[test]
    fn each_stream_has_a_file_with_its_bytes_however_many_there_are() {
        let place = place("many");
        let mut files = Files::new(&place.0, JOB).unwrap();
        let count = OPEN_MAX as u32 + 10;
        for round in 0..3 {
            for number in 0..count {
                let event = output(number, Stream::Stdout, &[b'\xff', round, b'\n']);
                assert_eq!(files.handle_event(&event), None);
            }
        }
        files.handle_event(&output(3, Stream::Stderr, b"oh"));
        for number in 0..count {
            let name = format!("{number:04}-{}.out", Pid::new(JOB, number));
            let bytes = fs::read(files.directory().join(name)).unwrap();
            assert_eq!(bytes, b"\xff\x00\n\xff\x01\n\xff\x02\n");
        }
        let all = fs::read_dir(files.directory()).unwrap().count();
        assert_eq!(all, count as usize + 1);
        let status = ExitStatus::new(End::Code(0));
        for number in 0..count {
            let pid = Pid::new(JOB, number);
            files.handle_event(&Event::Exited { pid, status });
        }
        assert!(files.open.is_empty() && files.made.is_empty());
    }

    #[test]
    fn nothing_that_is_there_is_written_to() {
        let place = place("there");
        let mut files = Files::new(&place.0, JOB).unwrap();
        let again = Files::new(&place.0, JOB).unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");
        let elsewhere = place.0.join("elsewhere");
        let name = format!("0000-{}.out", Pid::new(JOB, 0));
        std::os::unix::fs::symlink(&elsewhere, files.directory().join(name)).unwrap();
        let said = files.handle_event(&output(0, Stream::Stdout, b"x"));
        assert!(said.unwrap().contains("File exists"));
        assert!(!elsewhere.exists() && files.failure().is_some());
        assert_eq!(files.handle_event(&output(1, Stream::Stdout, b"x")), None);
    }
}
