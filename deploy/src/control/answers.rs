//! Who waits for which answer: a thread, which listens to the monitor itself or sleeps beside one that does; or a task, which
//! the answer wakes.
//!
//! Deliberately absent: what is asked, and what an answer means to whoever asked.

use super::{CONTROL, Control, end_at};
use crate::waits::{self, Line, Remembered};
use deploy_sys::{packet, poller::Interest};
use deploy_wire::{
    control::{Notice, Request},
    pid::Pid,
};
use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::{MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

#[derive(Default)]
pub(super) struct Answers {
    /// By the id of their request, from when it is asked until somebody takes it.
    by_id: HashMap<u64, Answer>,
    /// Whether one of those who asked listens for all of them.
    has_listener: bool,
    /// How many of them sleep meanwhile.
    sleepers: usize,
}

enum Answer {
    /// Not there yet; the task to wake then, where a task waits.
    Awaited(Option<Waker>),
    Come(Notice),
}

impl Control {
    /// Blocks until the answer comes. If the monitor is gone there is none, and this process ends.
    pub(super) fn ask(&self, id: u64, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Notice {
        self.answers().by_id.insert(id, Answer::Awaited(None));
        self.send(request, descriptors);
        let mut answers = self.answers();
        loop {
            if let Some(notice) = answers.take(id) {
                return notice;
            }
            if answers.has_listener {
                answers.sleepers += 1;
                let woken = self.answered.wait(answers);
                answers = woken.unwrap_or_else(PoisonError::into_inner);
                answers.sleepers -= 1;
                continue;
            }
            answers.has_listener = true;
            drop(answers);
            self.listen_for(id);
            answers = self.answers();
            answers.has_listener = false;
            if answers.sleepers > 0 {
                self.answered.notify_all(); // One of them listens next.
            }
        }
    }

    /// Listens, for everybody, until this answer is there.
    fn listen_for(&self, id: u64) {
        // Neither fails for a descriptor that is watched; if it did, the reactor would be woken and find nothing to do.
        let poller = &self.links.hub.poller;
        let _ = poller.change(self.socket(), CONTROL, Interest::Nothing);
        let mut packet = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        while matches!(self.answers().by_id.get(&id), Some(Answer::Awaited(_))) {
            if let Some(beside) = self.receive(packet::receive, &mut packet) {
                self.handle(&packet, beside);
            }
        }
        drop(packet);
        let _ = poller.change(self.socket(), CONTROL, Interest::Arrivals);
    }

    /// The answer has come: whoever waits for it wakes.
    pub(super) fn answer(&self, id: u64, notice: Notice) {
        let mut answers = self.answers();
        let Some(slot) = answers.by_id.get_mut(&id) else {
            return; // Whoever asked waits no more.
        };
        let before = std::mem::replace(slot, Answer::Come(notice));
        if answers.sleepers > 0 {
            self.answered.notify_all();
        }
        drop(answers);
        if let Answer::Awaited(Some(task)) = before {
            task.wake();
        }
    }

    /// Asks for a task, which the answer will wake.
    pub(super) fn question(
        &self,
        id: u64,
        of: Option<(Pid, Line)>,
        request: &Request,
        file: Option<File>,
    ) -> Question<'_> {
        self.answers().by_id.insert(id, Answer::Awaited(None));
        let descriptors: Vec<BorrowedFd<'_>> = file.as_ref().map(AsFd::as_fd).into_iter().collect();
        self.send(request, &descriptors);
        Question {
            control: self,
            id,
            of: of.map(|(pid, at)| (pid, waits::waits(pid, end_at(at)))),
        }
    }

    /// How many answers are waited for.
    pub(crate) fn asked(&self) -> usize {
        let answers = self.answers();
        let is_awaited = |answer: &&Answer| matches!(answer, Answer::Awaited(_));
        answers.by_id.values().filter(is_awaited).count()
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// The answer, if it has come.
    fn take(&mut self, id: u64) -> Option<Notice> {
        match self.by_id.remove(&id)? {
            Answer::Come(notice) => Some(notice),
            awaited => {
                self.by_id.insert(id, awaited);
                None
            }
        }
    }
}

/// What a task waits for. Dropped before the answer has come, it takes the request back.
pub(super) struct Question<'a> {
    control: &'a Control,
    id: u64,
    /// Whose end it asks for, if that is what it does.
    of: Option<(Pid, Remembered)>,
}

impl Future for Question<'_> {
    type Output = Notice;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Notice> {
        let task = cx.waker().clone();
        let mut answers = self.control.answers();
        if let Some(notice) = answers.take(self.id) {
            return Poll::Ready(notice);
        }
        let before = answers.by_id.insert(self.id, Answer::Awaited(Some(task)));
        drop(answers);
        drop(before); // With no lock held: it may be the last of a task, which asks something too.
        Poll::Pending
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let before = self.control.answers().by_id.remove(&self.id);
        if let Some(Answer::Awaited(_)) = before {
            let (id, of) = (self.id, self.of.as_ref().map(|(pid, _)| *pid));
            self.control.send(&Request::Withdraw { id, of }, &[]);
        }
    }
}
