//! What can be spawned: functions, nested ones, generic ones, methods, closures that capture nothing; and arguments
//! of all kinds, among them long ones.

//= main: exits 0, out "nested 1\nclosure 2\ngeneric u8 3\ngeneric text\nmethod 5\nlong 10000000\nmap 2\n"
//=   nested: exits 0
//=   {{closure}}: exits 0
//=   generic<u8>: exits 0
//=   generic<alloc::string::String>: exits 0
//=   method: exits 0
//=   long: exits 0
//=   map: exits 0

use deploy::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt::Debug};

fn main() {
    init(Resources::default());
    fn nested(parent: Pid, arg: u32) {
        say(parent, format!("nested {arg}"));
    }
    hear(spawn(nested, 1, Resources::default()));
    let closure = |parent: Pid, arg: u32| say(parent, format!("closure {arg}"));
    hear(spawn(closure, 2, Resources::default()));
    hear(spawn(generic::<u8>, 3, Resources::default()));
    hear(spawn(
        generic::<String>,
        "text".into(),
        Resources::default(),
    ));
    hear(spawn(
        Point::method,
        Point { x: 2, y: 3 },
        Resources::default(),
    ));
    hear(spawn(long, vec![7; 10_000_000], Resources::default()));
    let letters = BTreeMap::from([('a', Some(1.5)), ('b', None)]);
    hear(spawn(map, letters, Resources::default()));
}

fn generic<T: Serialize + DeserializeOwned + Debug>(parent: Pid, arg: T) {
    let name = std::any::type_name::<T>();
    match name {
        "u8" => say(parent, format!("generic {name} {arg:?}")),
        _ => say(parent, format!("generic {arg:?}").replace('"', "")),
    }
}

#[derive(Serialize, Deserialize)]
struct Point {
    x: u32,
    y: u32,
}

impl Point {
    fn method(parent: Pid, point: Point) {
        say(parent, format!("method {}", point.x + point.y));
    }
}

fn long(parent: Pid, bytes: Vec<u8>) {
    assert!(bytes.iter().all(|byte| *byte == 7));
    say(parent, format!("long {}", bytes.len()));
}

fn map(parent: Pid, letters: BTreeMap<char, Option<f64>>) {
    assert_eq!(letters[&'a'], Some(1.5));
    say(parent, format!("map {}", letters.len()));
}

fn say(parent: Pid, text: String) {
    Sender::new(parent).send(text).unwrap();
}

fn hear(spawned: Result<Pid, SpawnError>) {
    println!(
        "{}",
        Receiver::<String>::new(spawned.unwrap()).recv().unwrap()
    );
}
