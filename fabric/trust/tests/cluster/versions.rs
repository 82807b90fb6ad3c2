//! Who speaks another version, or another protocol altogether.

use crate::{
    master::{Master, TIMEOUT, assert_alive, name},
    rogue,
};
use deploy_trust::{
    client::ClientError,
    join::{JoinError, join},
    keys::Pin,
    session::SessionError,
    subject::Role,
    token::Token,
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

/// The greeting of a version, as PROTOCOL would have it: number, release.
fn greeting(version: u32) -> Vec<u8> {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend_from_slice(&3u32.to_le_bytes());
    bytes.extend_from_slice(b"9.9");
    bytes
}

#[test]
fn a_newer_client_learns_which_version_the_master_speaks() {
    let master = Master::start();
    let mut client = rogue::dial(master.address, &["fabric/2", "fabric"], None);
    let theirs = client.read_message().unwrap();
    assert_eq!(theirs[..4], 1u32.to_le_bytes());
    client.write_message(&greeting(2)).unwrap();
    assert!(client.is_ended());
    assert_alive(&master);
}

#[test]
fn a_newer_master_is_named_beside_our_own_version() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let uri = format!("fabric://{:032x}/master/m", 1);
    let holder = rogue::certificate("newer", &uri);
    let token = Token::new(Role::Node, &address, Pin(holder.pin), 1);
    let newer = std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let mut master = rogue::accept(stream, &["fabric/2", "fabric"], holder);
        master.write_message(&greeting(2)).unwrap();
        master.read_message().unwrap()
    });
    let error = join(&token, &name("n1"), TIMEOUT).unwrap_err();
    let JoinError::Client {
        error: ClientError::Session(SessionError::Version { ours, theirs, .. }),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!((*ours, *theirs), (1, 2));
    let sentence = error.to_string();
    assert!(
        sentence.contains("version 1") && sentence.contains("version 2"),
        "{sentence}"
    );
    assert_eq!(newer.join().unwrap()[..4], 1u32.to_le_bytes());
}

#[test]
fn clients_of_other_protocols_get_no_further() {
    let master = Master::start();
    for protocols in [&["http/1.1"][..], &["fabric/2"], &[]] {
        let mut client = rogue::dial(master.address, protocols, None);
        assert!(client.read_message().is_err(), "{protocols:?}");
    }
    assert_alive(&master);
}

#[test]
fn plain_text_is_closed_without_a_word() {
    let master = Master::start();
    for text in ["GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\0\0\0\0", "\n"] {
        assert_eq!(answer_to(&master, text.as_bytes()), b"", "{text:?}");
    }
    assert_alive(&master);
}

#[test]
fn tls_1_2_is_told_that_its_version_is_not_spoken() {
    let master = Master::start();
    let answer = answer_to(&master, &tls12_hello());
    // An alert (21), fatal (2), protocol_version (70).
    assert_eq!(answer.first(), Some(&21), "{answer:?}");
    assert_eq!(answer[answer.len() - 2..], [2, 70]);
    assert_alive(&master);
}

fn answer_to(master: &Master, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(master.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => answer,
    }
}

/// A ClientHello as clients sent it before TLS 1.3: no list of versions.
fn tls12_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    // ECDHE-ECDSA and ECDHE-RSA with AES-128-GCM; no compression.
    body.extend_from_slice(&[0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    // Groups x25519 and P-256, point format, signatures by Ed25519 and ECDSA.
    let extensions: &[u8] = &[
        0, 10, 0, 6, 0, 4, 0, 29, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 6, 0, 4, 8, 7, 4, 3,
    ];
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend_from_slice(extensions);
    let len = u16::try_from(body.len()).unwrap();
    let mut hello = vec![0x16, 3, 1];
    hello.extend_from_slice(&(len + 4).to_be_bytes());
    hello.extend_from_slice(&[1, 0]);
    hello.extend_from_slice(&len.to_be_bytes());
    hello.extend_from_slice(&body);
    hello
}
