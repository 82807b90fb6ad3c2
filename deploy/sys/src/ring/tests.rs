//! Rings of this process, and their ends in two threads.

use super::{short::SHORT_BYTES_MAX, *};
use crate::{fd::socketpair_stream, memfd, stream, threads};
use std::{fs, os::fd::AsFd, sync::mpsc, thread};

fn pair(capacity: usize) -> (Writer, Reader) {
    let (file, reader) = make(capacity).unwrap();
    (Writer::map(file.as_fd(), capacity).unwrap(), reader)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn bytes_come_in_order_around_the_end() {
    let (mut writer, mut reader) = pair(4096);
    let mut buffer = [0; 4096];
    assert_eq!(kind(reader.read(&mut buffer)), io::ErrorKind::WouldBlock);
    for round in 0..50u32 {
        let first = round.to_le_bytes();
        let second: Vec<u8> = (0..1000).map(|n| (n + round) as u8).collect();
        assert_eq!(writer.write(&first, &second).unwrap(), 1004);
        assert_eq!(reader.read(&mut buffer[..4]).unwrap(), 4);
        assert_eq!(buffer[..4], first);
        let mut onto = vec![9];
        onto.reserve(1000);
        assert_eq!(reader.read_onto(&mut onto, 1000).unwrap(), 1000);
        assert_eq!(onto[1..], second);
    }
    assert_eq!(writer.write(&[1; 3000], &[2; 3000]).unwrap(), 4096);
    assert_eq!(kind(writer.write(&[3], &[])), io::ErrorKind::WouldBlock);
    assert_eq!(reader.read(&mut buffer).unwrap(), 4096);
    assert_eq!((buffer[2999], buffer[3000]), (1, 2));
}

#[test]
fn what_is_short_is_taken_from_beside_its_count() {
    let (mut writer, mut reader) = pair(4096);
    let mut buffer = [0; 128];
    let mut check = |pieces: &[&[u8]], is_beside: bool| {
        let (from, len) = (writer.tail, pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            assert_eq!(writer.write(piece, &[]).unwrap(), piece.len());
        }
        writer.memory.put(from, &[0xff; 128][..len], Way::Through); // Only what stands beside the count is still right.
        assert_eq!(reader.read(&mut buffer).unwrap(), len);
        assert_eq!(buffer[..len] == pieces.concat(), is_beside, "{pieces:?}");
    };
    let bytes: Vec<u8> = (1..=SHORT_BYTES_MAX as u8).collect();
    for len in 1..=SHORT_BYTES_MAX {
        check(&[&bytes[..len]], true);
    }
    check(&[&[7; SHORT_BYTES_MAX + 1]], false);
    check(&[&[1; 5], &[2; 5]], false);
    check(&[&[3; 60], &[4; 5]], false);
    check(&[&[5]], true);
}

#[test]
fn a_long_value_is_the_same_by_either_way() {
    let (mut writer, mut reader) = pair(64 << 10);
    let mut ways = Vec::new();
    for round in 0..100usize {
        let value: Vec<u8> = (0..STEP_BYTES + 5000)
            .map(|n| byte((n * round) as u64))
            .collect();
        ways.push(writer.ways.way());
        assert_eq!(writer.write(&[7; 5], &value).unwrap(), 5 + value.len());
        let mut there = vec![0; 5 + value.len()];
        assert_eq!(reader.read(&mut there).unwrap(), there.len());
        assert!(there[5..] == value, "round {round}");
    }
    assert!(ways.contains(&Way::Through) && ways.contains(&Way::Past));
}

#[test]
fn marks_are_found_and_taken_once() {
    let (mut writer, mut reader) = pair(4096);
    assert!(!writer.await_room());
    writer.write(&[0; 4096], &[]).unwrap();
    assert!(writer.wake() && !writer.wake());
    assert!(!reader.listen() && writer.wake());
    assert!(!reader.lie_down() && !writer.wake(), "no bell is wanted");
    assert!(!reader.lie_down() && !reader.listen() && writer.wake());
    assert!(writer.await_room() && !writer.has_room());
    reader.read(&mut [0; 1000]).unwrap();
    assert!(!reader.take_mark(), "it is not worth waking it yet");
    reader.read(&mut [0; 2000]).unwrap();
    assert!(reader.take_mark() && !reader.take_mark());
    assert!(writer.has_room() && !writer.await_room());
    reader.read(&mut [0; 4096]).unwrap();
    assert!(reader.is_empty() && reader.listen());
}

#[test]
fn who_sleeps_in_its_bed_can_be_roused() {
    let (writer, reader) = pair(4096);
    assert!(writer.wake(), "it is born so");
    reader.bed().sleep(); // Nobody has lain down there.
    rouse_after(reader, |_| {});
    assert!(!writer.wake(), "its mark is taken");
}

#[test]
fn a_writer_that_is_killed_before_it_wakes_whose_mark_it_took_leaves_nobody_asleep() {
    rouse_after(pair(4096).1, |memory| {
        assert_eq!(memory.reader_sleeps().swap(0, SeqCst) & IN_BED, IN_BED);
    });
}

/// Has a thread sleep in its bed, and rouses it when this has been done to the marks.
fn rouse_after(mut reader: Reader, done: impl FnOnce(&Memory)) {
    let bed = reader.bed();
    assert!(reader.lie_down());
    let (about_to, soon) = mpsc::channel();
    let sleeper = thread::spawn(move || {
        about_to.send(threads::own()).unwrap();
        bed.sleep();
    });
    let asleep = format!("/proc/self/task/{}/syscall", soon.recv().unwrap());
    let futex = format!("{} ", libc::SYS_futex);
    while !fs::read_to_string(&asleep).unwrap().starts_with(&futex) {
        thread::yield_now();
    }
    done(&reader.memory);
    assert!(!sleeper.is_finished());
    reader.bed().rouse();
    sleeper.join().unwrap();
}

#[test]
fn a_peer_that_lies_is_found_out() {
    let (mut writer, mut reader) = pair(4096);
    writer.write(b"some", b"thing").unwrap();
    for tail in [4097, u64::MAX, 1 << 63] {
        reader.memory.tail().store(tail, SeqCst);
        assert_eq!(kind(reader.read(&mut [0; 8])), io::ErrorKind::InvalidData);
        assert!(!reader.listen());
    }
    writer.write(&[0; 4087], &[]).unwrap();
    for head in [4097, u64::MAX, 1 << 63] {
        writer.memory.head().store(head, SeqCst);
        assert_eq!(kind(writer.write(b"x", b"")), io::ErrorKind::InvalidData);
        assert!(!writer.await_room());
    }
}

#[test]
fn only_memory_that_cannot_shrink_is_mapped() {
    let (file, _reader) = make(4096).unwrap();
    assert!(nix::unistd::ftruncate(&file, 100).is_err());
    assert!(nix::unistd::ftruncate(&file, 1 << 20).is_err());
    assert!(Writer::map(file.as_fd(), 8192).is_err(), "it is shorter");
    let sealed = memfd::sealed("sealed", &[0; 8192]).unwrap();
    let unsealed = memfd_create(c"unsealed", MFdFlags::MFD_CLOEXEC).unwrap();
    nix::unistd::ftruncate(&unsealed, 8192).unwrap();
    let (socket, _other) = socketpair_stream().unwrap();
    for other in [OwnedFd::from(sealed), unsealed, socket] {
        assert!(Writer::map(other.as_fd(), 4096).is_err());
    }
}

/// Bytes of a generator, in pieces of any size, through a ring so small that both sleep all the time: each on its end of
/// a socket, where it is woken by a byte, or the reader now and then in its bed. What loses a wake-up never ends.
fn stress(capacity: usize, total: u64, seed: u64) {
    let (mut writer, mut reader) = pair(capacity);
    let (here, there) = socketpair_stream().unwrap();
    let wake = |end: &OwnedFd| drop(stream::write(end.as_fd(), b"!", b""));
    let sleep = |end: &OwnedFd| stream::read_blocking(end.as_fd(), &mut [0; 64]).unwrap();
    let writing = thread::spawn(move || {
        let (mut sent, mut sizes, mut sleeps) = (0u64, Noise(seed), 0u64);
        while sent < total {
            let longest = [64, 2 * capacity as u64][usize::from(sizes.next() % 16 == 0)];
            let count = (sizes.next() % longest + 1).min(total - sent);
            let bytes: Vec<u8> = (sent..sent + count).map(byte).collect();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (first, second) = rest.split_at(rest.len() / 4);
                match writer.write(first, second) {
                    Ok(written) => rest = &rest[written..],
                    Err(_) if writer.await_room() => {
                        sleeps += 1;
                        sleep(&here);
                    }
                    Err(_) => {}
                }
                if writer.wake() {
                    wake(&here);
                }
            }
            sent += count;
        }
        (sent, sleeps, here)
    });
    let (mut read, mut sizes, mut sleeps, mut nights) = (0u64, Noise(!seed), 0u64, 0u64);
    let bed = reader.bed();
    while read < total {
        let mut buffer = vec![0; (sizes.next() % capacity as u64 + 1) as usize];
        match reader.read(&mut buffer) {
            Ok(count) => {
                for (index, found) in buffer[..count].iter().enumerate() {
                    assert_eq!(*found, byte(read + index as u64), "seed {seed}");
                }
                read += count as u64;
            }
            Err(_) if sizes.next().is_multiple_of(2) => {
                let may_sleep = reader.lie_down();
                if reader.take_mark() {
                    wake(&there);
                }
                if may_sleep {
                    nights += 1;
                    bed.sleep();
                }
            }
            Err(_) if reader.listen() => {
                if reader.take_mark() {
                    wake(&there);
                }
                sleeps += 1;
                sleep(&there);
            }
            Err(_) => {}
        }
        if reader.take_mark() {
            wake(&there);
        }
    }
    let (_sent, writers, _here) = writing.join().unwrap();
    println!(
        "{total} bytes, {sleeps} sleeps of the reader, {nights} in bed, {writers} of the writer"
    );
    assert!(nights > 0 && sleeps > 0 && writers > 0);
}

fn byte(count: u64) -> u8 {
    (count ^ count >> 8 ^ count >> 16) as u8
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

#[test]
fn no_wake_up_is_lost_and_no_byte() {
    let seed = std::env::var("DEPLOY_SEED").map_or(1, |seed| seed.parse().unwrap());
    let scale = std::env::var("DEPLOY_TEST_RING").map_or(1, |scale| scale.parse().unwrap());
    // The smallest is full most often, where a reader makes room just when the writer has found none.
    for (capacity, total, times) in [(4096, 4 << 20, 8), (64 << 10, 16 << 20, 1)] {
        (seed..seed + times).for_each(|seed| stress(capacity, scale * total, seed));
    }
}
