//! Programs that arrive whole, cut, changed, and as changes of others; and what goes when there is no room.

use super::*;
use deploy_parcel::Packed;
use std::{
    io::{Cursor, Read},
    os::unix::fs::OpenOptionsExt,
    time::Duration,
};

fn images() -> (tempfile::TempDir, Images) {
    images_of(1 << 30)
}

fn images_of(bytes_max: u64) -> (tempfile::TempDir, Images) {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(&dir.path().join("images"), bytes_max).unwrap();
    (dir, images)
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let seed = blake3::hash(&seed.to_le_bytes());
    let mut reader = blake3::Hasher::new_keyed(seed.as_bytes()).finalize_xof();
    reader.fill(&mut bytes);
    bytes
}

fn digest_of(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

fn frame(bytes: &[u8], base: &[u8]) -> Vec<u8> {
    let packed = match base {
        [] => Packed::whole(bytes),
        base => Packed::change(base.to_vec(), bytes).map(|change| change.expect("it is little")),
    };
    let mut frame = Vec::new();
    packed.unwrap().read_to_end(&mut frame).unwrap();
    frame
}

fn take_in(images: &Images, bytes: &[u8]) -> Digest {
    let digest = digest_of(bytes);
    let mut intake = images.begin(digest, bytes.len() as u64).unwrap();
    intake
        .take_in(Cursor::new(frame(bytes, &[])), None)
        .unwrap();
    intake.pack().unwrap();
    intake.keep().unwrap();
    digest
}

fn read(images: &Images, digest: &Digest) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    images
        .find(digest)
        .unwrap()?
        .read_to_end(&mut bytes)
        .unwrap();
    Some(bytes)
}

fn files(images: &Images) -> usize {
    fs::read_dir(&images.dir).unwrap().count()
}

/// These bytes, and then the other side is gone.
struct Cut<'b>(&'b [u8]);

impl Read for Cut<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.0.read(bytes)? {
            0 => Err(io::ErrorKind::ConnectionAborted.into()),
            read => Ok(read),
        }
    }
}

#[test]
fn a_program_is_there_once_it_is_whole_and_can_be_fetched() {
    let (_dir, images) = images();
    let bytes = noise(1, 3_000_000);
    let digest = digest_of(&bytes);
    assert!(images.find(&digest).unwrap().is_none());
    take_in(&images, &bytes);
    assert!(read(&images, &digest).unwrap() == bytes);
    let (len, mut packed) = images.find_packed(&digest).unwrap().unwrap();
    let mut frame = Vec::new();
    packed.read_to_end(&mut frame).unwrap();
    assert_eq!(len, 3_000_000);
    let mut unpacked = Vec::new();
    deploy_parcel::unpack(frame.as_slice(), None::<&[u8]>, len, &mut unpacked).unwrap();
    assert!(unpacked == bytes);
}

#[test]
fn a_change_is_little_and_needs_what_it_changes() {
    let (_dir, images) = images();
    let old = noise(2, 2_000_000);
    let base = take_in(&images, &old);
    let mut new = old.clone();
    new.splice(1_000_000..1_000_000, *b"one more line");
    let change = frame(&new, &old);
    assert!(change.len() < 1000, "{}", change.len());
    let begin = || images.begin(digest_of(&new), new.len() as u64).unwrap();
    let other = take_in(&images, &noise(3, 2_000_000));
    let wrong = begin().take_in(Cursor::new(&change), Some(&other));
    assert!(wrong.is_err());
    let mut intake = begin();
    intake.take_in(Cursor::new(&change), Some(&base)).unwrap();
    intake.keep().unwrap();
    assert!(read(&images, &digest_of(&new)).unwrap() == new);
}

#[test]
fn what_is_cut_anywhere_is_continued() {
    let (_dir, images) = images();
    let bytes = noise(4, 1_000_000);
    let digest = digest_of(&bytes);
    let (mut cut, mut seed) = (0, 7_u64);
    loop {
        let mut intake = images.resume(digest, bytes.len() as u64).unwrap();
        let arrived = intake.arrived() as usize;
        assert!(arrived <= bytes.len());
        let frame = frame(&bytes[arrived..], &[]);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let len = (seed >> 33) as usize % 300_000;
        if len >= frame.len() || cut == 50 {
            intake.take_in(Cursor::new(frame), None).unwrap();
            break intake.keep().unwrap();
        }
        let error = intake.take_in(Cut(&frame[..len]), None).unwrap_err();
        assert!(matches!(error, ImageError::Cut(_)), "{error}");
        cut += 1;
    }
    assert!(cut > 3 && cut < 50, "{cut}");
    assert!(read(&images, &digest).unwrap() == bytes);
    assert_eq!(files(&images), 1);
}

#[test]
fn two_who_send_the_same_do_not_meet_and_it_stays_for_who_has_it() {
    let (_dir, images) = images();
    let bytes = noise(5, 500_000);
    let digest = digest_of(&bytes);
    let len = bytes.len() as u64;
    let (mut one, mut other) = (
        images.resume(digest, len).unwrap(),
        images.resume(digest, len).unwrap(),
    );
    one.take_in(Cursor::new(frame(&bytes, &[])), None).unwrap();
    other
        .take_in(Cursor::new(frame(&bytes, &[])), None)
        .unwrap();
    one.keep().unwrap();
    let found = images.find(&digest).unwrap().unwrap();
    other.keep().unwrap();
    assert_eq!(found.metadata().unwrap().nlink(), 1, "it is the one here");
    assert!(read(&images, &digest).unwrap() == bytes);
    assert_eq!(files(&images), 1);
}

#[test]
fn what_is_changed_or_too_long_is_refused_and_nothing_is_left() {
    let (_dir, images) = images();
    let bytes = noise(6, 200_000);
    let digest = digest_of(&bytes);
    let check = |frame: &[u8]| {
        let mut intake = images.resume(digest, bytes.len() as u64).unwrap();
        let error = intake.take_in(Cursor::new(frame), None).unwrap_err();
        drop(intake);
        assert_eq!(files(&images), 0, "{error}");
        error
    };
    let whole = frame(&bytes, &[]);
    for at in [0, 100, 150_000, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        check(&flipped);
    }
    check(&whole[..whole.len() / 2]);
    check(b"no frame at all");
    let error = check(&frame(&bytes[1..], &[]));
    assert!(matches!(error, ImageError::OtherDigest), "{error}");
    let longer = [bytes.as_slice(), &[0]].concat();
    let error = check(&frame(&longer, &[]));
    assert!(matches!(error, ImageError::Damaged(_)), "{error}");
}

#[test]
fn the_oldest_goes_where_there_is_no_room_unless_somebody_has_it() {
    let (_dir, images) = images_of(5_000_000);
    let made: Vec<Digest> = (10..14)
        .map(|seed| take_in(&images, &noise(seed, 500_000)))
        .collect();
    let before = SystemTime::now() - Duration::from_secs(100);
    for (age, digest) in made.iter().enumerate() {
        let file = File::open(images.path(digest)).unwrap();
        file.set_modified(before + Duration::from_secs(age as u64))
            .unwrap();
    }
    // The first is wanted again, the second is in use.
    drop(images.find(&made[0]).unwrap());
    let in_use = images.find(&made[1]).unwrap();
    let file = File::open(images.path(&made[1])).unwrap();
    file.set_modified(before).unwrap();
    take_in(&images, &noise(14, 1_900_000));
    let here: Vec<bool> = made.iter().map(|digest| images.has(digest)).collect();
    assert_eq!(here, [true, true, false, true]);
    drop(in_use);
    take_in(&images, &noise(15, 900_000));
    assert!(!images.has(&made[1]));
    let error = images.begin([0; 32], 5_000_001).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
}

#[test]
fn what_was_not_continued_goes() {
    let (_dir, images) = images();
    let part = images.dir.join(".00.part");
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .unwrap();
    take_in(&images, &noise(20, 1000));
    assert!(part.exists());
    file.set_modified(SystemTime::now() - Duration::from_secs(3 * 60 * 60))
        .unwrap();
    drop(file);
    take_in(&images, &noise(21, 1000));
    assert!(!part.exists());
}
