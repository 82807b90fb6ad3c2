//! What a worker hears in an order that broke once, over a real connection whose other end is played by hand.

use super::{CODED, Message, Receiver, Reply, Sender, Worker, code};
use crate::{channel_tests::connected, pool::message::Bytes};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// What is asked back in the same breath in which a long call is handed out is read before that call begins. So no bell
/// rings for it while the call runs, and it has to be heeded when the call begins.
#[test]
fn what_is_asked_back_before_a_long_call_begins_is_given_back_while_it_runs() {
    let ends = connected();
    let worker = Worker::new(ends.right);
    let serving = thread::spawn(move || worker.serve());
    let messages = Sender::<Message>::on(ends.left.clone()).patient();
    let replies = Receiver::<Reply>::on(ends.left.clone());
    assert!(matches!(replies.recv(), Ok(Reply::Ready)));

    for message in [call(0, long), call(1, short), Message::CallOff { id: 1 }] {
        messages.send(message).unwrap();
    }
    ends.left.hub.flush();
    let given_back = replies.recv_timeout(PATIENCE);
    let is_right = matches!(given_back, Ok(Reply::GivenBack { id: 1 }));
    assert!(is_right, "while the long one runs: {given_back:?}");

    *GATE.lock().unwrap_or_else(PoisonError::into_inner) = true;
    GATE_OPENED.notify_all();
    let answers = replies.recv_timeout(PATIENCE);
    let Ok(Reply::Answers(answers)) = &answers else {
        panic!("when the long one is done: {answers:?}");
    };
    assert_eq!(answers.iter().map(|done| done.id).collect::<Vec<_>>(), [0]);
    drop(messages); // The pool has let go.
    serving.join().unwrap().unwrap_err();
}

fn call(id: u64, function: code::Entry) -> Message {
    Message::Call {
        id,
        function: code::offset(function).unwrap(),
        given: Bytes(Arc::default()),
    }
}

/// Runs until the gate is open.
fn long(_: Vec<u8>) -> Vec<u8> {
    let open = GATE.lock().unwrap_or_else(PoisonError::into_inner);
    drop(GATE_OPENED.wait_while(open, |open| !*open));
    vec![CODED]
}

fn short(_: Vec<u8>) -> Vec<u8> {
    vec![CODED]
}

static GATE: Mutex<bool> = Mutex::new(false);
static GATE_OPENED: Condvar = Condvar::new();

/// Only a test that fails takes so long.
const PATIENCE: Duration = Duration::from_secs(10);
