//! The half of a record that writes: the scribe's.
//!
//! Deliberately absent: reading, but of what a master before this one has left.

use super::layout::{HEAD_BYTES, Head, Limits, Segment, Unwritten, file_name, position};
use deploy_wire::client::Position;
use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSlice, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What writes them.
#[derive(Debug)]
pub struct Pen {
    dir: PathBuf,
    pub(super) segments: VecDeque<Segment>,
    /// The last segment, while it can be written.
    pub(super) file: Option<File>,
    /// Whether the disk took nothing the last time.
    is_failing: bool,
    limits: Limits,
}

/// Events on their way to the disk.
#[derive(Debug)]
pub struct Piece {
    pub(super) events: Vec<Unwritten>,
    pub(super) from: Position,
    pub(super) until: Position,
}

/// What has come of a piece.
#[derive(Debug)]
pub struct Written {
    pub(super) segments: VecDeque<Segment>,
    pub(super) until: Position,
    /// The disk took nothing, for this reason, and did before: what is not there is not kept.
    pub error: Option<io::Error>,
}

impl Piece {
    /// Adds what follows it.
    pub fn append(&mut self, mut next: Piece) {
        self.events.append(&mut next.events);
        self.until = next.until;
    }
}

impl Pen {
    /// Of a new record in this directory, which is made.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn create(dir: PathBuf, limits: Limits) -> io::Result<Pen> {
        DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Pen::new(dir, limits))
    }

    fn new(dir: PathBuf, limits: Limits) -> Pen {
        Pen {
            dir,
            segments: VecDeque::new(),
            file: None,
            is_failing: false,
            limits,
        }
    }

    pub(super) fn resume(
        dir: PathBuf,
        limits: Limits,
        next: Option<Position>,
    ) -> io::Result<(Pen, Position)> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let Some(first) = entry.file_name().to_str().and_then(position) else {
                continue; // Something else of the job's.
            };
            if next.is_some_and(|next| first.sequence >= next.sequence) {
                fs::remove_file(entry.path())?;
                continue;
            }
            let bytes = entry.metadata()?.len();
            segments.push(Segment { first, bytes });
        }
        segments.sort_by_key(|segment| segment.first.sequence);
        let mut pen = Pen::new(dir, limits);
        pen.segments = segments.into();
        let end = pen.cut(next)?;
        Ok((pen, end))
    }

    /// Cuts off what was written in the last segment behind a position, or not wholly. Returns where it ends.
    fn cut(&mut self, next: Option<Position>) -> io::Result<Position> {
        let Some(segment) = self.segments.back_mut() else {
            return Ok(Position::default());
        };
        let path = self.dir.join(file_name(segment.first));
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (mut whole, mut at, mut head) = (0, segment.first, [0; HEAD_BYTES]);
        while whole + HEAD_BYTES as u64 <= segment.bytes {
            file.read_exact_at(&mut head, whole)?;
            let head = Head::read(&head);
            let end = whole + (HEAD_BYTES + head.message_bytes) as u64;
            let is_behind = next.is_some_and(|next| head.at.sequence >= next.sequence);
            // In one segment none is missing: what is not the next is what a disk has made of it.
            if is_behind || end > segment.bytes || head.at != at {
                break;
            }
            let Some(sequence) = at.sequence.checked_add(1) else {
                break;
            };
            whole = end;
            at = Position {
                sequence,
                output: at.output.saturating_add(head.output.into()),
            };
        }
        segment.bytes = whole;
        file.set_len(whole)?;
        Ok(at)
    }

    /// Hands a piece to the system at once, by which the record may be longer than its limit. Blocks as a write to a file
    /// does. What the disk has no room for is not kept, nor is what follows until there is room again.
    pub fn write(&mut self, piece: &Piece) -> Written {
        let written = self.try_write(piece);
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        Written {
            segments: self.segments.clone(),
            until: piece.until,
            error: written.err().filter(|_| !was_failing),
        }
    }

    /// Nothing more will be added: what only writing needs is given back.
    pub fn seal(&mut self) {
        self.file = None;
    }

    /// The directory that it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn try_write(&mut self, piece: &Piece) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.begin_segment(piece.from)?,
        };
        let slices = piece.events.iter();
        let slices = slices.flat_map(|event| [&event.head[..], &event.message[..]]);
        let written = write_all(&mut file, slices);
        let segment = self
            .segments
            .back_mut()
            .expect("it was begun with its file");
        let Ok(bytes) = written else {
            // A piece of an event is worse than none. The next goes to a segment of its own.
            let _ = file.set_len(segment.bytes);
            if segment.bytes == 0 {
                self.drop_segment(self.segments.len() - 1);
            }
            return written.map(drop);
        };
        segment.bytes += bytes;
        if segment.bytes < self.limits.segment_bytes {
            self.file = Some(file);
        }
        let bytes = |pen: &Pen| pen.segments.iter().map(|one| one.bytes).sum::<u64>();
        while bytes(self) > self.limits.record_bytes && self.segments.len() > 1 {
            self.drop_segment(0);
        }
        Ok(())
    }

    fn begin_segment(&mut self, first: Position) -> io::Result<File> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(self.dir.join(file_name(first)))?;
        self.segments.push_back(Segment { first, bytes: 0 });
        Ok(file)
    }

    fn drop_segment(&mut self, index: usize) {
        if let Some(segment) = self.segments.remove(index) {
            // What cannot be removed goes with the directory.
            let _ = fs::remove_file(self.dir.join(file_name(segment.first)));
        }
    }
}

/// Writes all of these, one behind the other, in few calls. Returns how many bytes they have.
fn write_all<'a>(file: &mut File, slices: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
    let mut slices: Vec<IoSlice<'a>> = slices.map(IoSlice::new).collect();
    let mut bytes = 0;
    let mut left = &mut slices[..];
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes += count as u64;
                IoSlice::advance_slices(&mut left, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
