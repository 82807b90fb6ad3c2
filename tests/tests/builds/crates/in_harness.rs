//! Tests that call Deploy from inside the test harness, where it cannot work.

use deploy::*;

#[test]
fn begins() {
    init(Resources::default());
}

#[test]
fn begins_too() {
    init(Resources::default());
}

#[test]
fn does_not_begin() {
    spawn(|_, ()| (), (), Resources::default()).unwrap();
}
