//! Programs that are on their way to this node: what of their frames is here can be read already, by those who pass it on.
//!
//! Deliberately absent: where the bytes come from and go to, and whether they are right, which is known when all are here.

use deploy_wire::client::Digest;
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// All of them. Its clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Transits(Arc<Mutex<BTreeMap<Digest, Arc<Transit>>>>);

/// One of them, as its readers have it.
#[derive(Debug, Default)]
pub(super) struct Transit {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// None, until it is known what will come.
    file: Option<Arc<File>>,
    arrived: u64,
    /// The disk took no more of the frame.
    is_cut: bool,
    end: Option<End>,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// All is here, and right.
    Whole,
    /// It could not be had, or not be kept.
    Failed,
}

/// What there is for a reader.
#[derive(Debug)]
pub(super) enum News {
    /// The frame's file, and how many of its bytes are there.
    Bytes(Arc<File>, u64),
    /// Nothing more for now.
    Nothing,
    /// Nothing more at all.
    End(End),
}

/// One of them, as whoever brings the bytes has it. Dropped before its end, it has failed.
#[derive(Debug)]
pub(super) struct Arriving {
    all: Transits,
    digest: Digest,
    transit: Arc<Transit>,
}

impl Transits {
    /// This program is on its way from now on; or it is already, and then there is that to wait for.
    pub(super) fn begin(&self, digest: Digest) -> Result<Arriving, Arc<Transit>> {
        let mut all = self.lock();
        if let Some(transit) = all.get(&digest) {
            return Err(transit.clone());
        }
        let transit = Arc::new(Transit::default());
        all.insert(digest, transit.clone());
        Ok(Arriving {
            all: self.clone(),
            digest,
            transit,
        })
    }

    /// The one whose name begins like this.
    pub(super) fn find(&self, beginning: &[u8]) -> Option<(Digest, Arc<Transit>)> {
        let all = self.lock();
        let found = all.iter().find(|(digest, _)| digest.starts_with(beginning));
        found.map(|(digest, transit)| (*digest, transit.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Transit>>> {
        self.0.lock().expect("nobody panics while they have it")
    }
}

impl Transit {
    /// What is there beyond these bytes of the frame. Blocks until there is something, but not for longer than `patience`.
    pub(super) fn wait(&self, beyond: u64, patience: Duration) -> News {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let (Some(file), true) = (&state.file, state.arrived > beyond) {
                return News::Bytes(file.clone(), state.arrived);
            }
            if state.is_cut {
                return News::End(End::Failed);
            }
            if let Some(end) = state.end {
                return News::End(end);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return News::Nothing;
            }
            let waited = self.news.wait_timeout(state, left);
            state = waited.expect("nobody panics while they have it").0;
        }
    }

    /// Blocks until it has ended.
    pub(super) fn wait_for_end(&self) -> End {
        let mut state = self.lock();
        loop {
            if let Some(end) = state.end {
                return end;
            }
            let waited = self.news.wait(state);
            state = waited.expect("nobody panics while they have it");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while they have it")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.news.notify_all();
    }
}

impl Arriving {
    /// Its frame is written into this file.
    pub(super) fn set_file(&self, file: File) {
        self.transit
            .change(|state| state.file = Some(Arc::new(file)));
    }

    /// The next bytes have come. If they cannot be kept, nothing is passed on any more.
    pub(super) fn add(&self, bytes: &[u8]) -> io::Result<()> {
        let (file, at) = {
            let state = self.transit.lock();
            (state.file.clone(), state.arrived)
        };
        let file = file.expect("it was set before anything came");
        let written = file.write_all_at(bytes, at);
        self.transit.change(|state| match written {
            Ok(()) => state.arrived += bytes.len() as u64,
            Err(_) => state.is_cut = true,
        });
        written
    }

    /// All is here, and right.
    pub(super) fn finish(self) {
        self.transit.change(|state| state.end = Some(End::Whole));
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.all.lock().remove(&self.digest);
        self.transit.change(|state| {
            state.end.get_or_insert(End::Failed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, thread};

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn what_has_come_can_be_read_before_the_rest() {
        let all = Transits::default();
        let arriving = all.begin([1; 32]).unwrap();
        let (digest, transit) = all.find(&[1; 16]).unwrap();
        assert_eq!(digest, [1; 32]);
        assert!(all.begin([1; 32]).is_err() && all.find(&[2; 16]).is_none());
        assert!(matches!(transit.wait(0, NONE), News::Nothing));
        arriving.set_file(tempfile::tempfile().unwrap());
        arriving.add(b"hello").unwrap();
        let News::Bytes(file, 5) = transit.wait(4, NONE) else {
            panic!("there are five bytes");
        };
        let mut bytes = String::new();
        (&*file).read_to_string(&mut bytes).unwrap();
        assert_eq!(bytes, "hello");
        let reader = transit.clone();
        let reader = thread::spawn(move || reader.wait(5, Duration::from_secs(60)));
        arriving.add(b" again").unwrap();
        assert!(matches!(reader.join().unwrap(), News::Bytes(_, 11)));
        arriving.finish();
        assert!(matches!(transit.wait(11, NONE), News::End(End::Whole)));
        assert!(matches!(transit.wait(0, NONE), News::Bytes(_, 11)));
        assert!(all.find(&[1; 16]).is_none());
    }

    #[test]
    fn who_waits_learns_that_it_has_failed() {
        let all = Transits::default();
        let arriving = all.begin([1; 32]).unwrap();
        let transit = all.begin([1; 32]).unwrap_err();
        let waits = thread::spawn(move || transit.wait_for_end());
        drop(arriving);
        assert_eq!(waits.join().unwrap(), End::Failed);
        assert!(all.begin([1; 32]).is_ok());
    }
}
