//! What a panic says, and where it happened.
//!
//! Only a hook hears of the place; it keeps that for the thread that panics, and passes the panic on, so that it is told
//! on standard error as always.

use std::{any::Any, cell::Cell, panic, sync::Once};

thread_local!(static PLACE: Cell<Option<(String, u32)>> = const { Cell::new(None) });

/// A panic, as far as it is known.
pub(crate) struct Panicked {
    pub(crate) message: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// Hears of panics from now on.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let place = panic.location();
            let place = place.map(|place| (place.file().to_string(), place.line()));
            let _ = PLACE.try_with(|known| known.set(place)); // A thread that ends has nobody to tell.
            before(panic);
        }));
    });
}

/// Where the program is built so that panics abort, a panic's last line says so from now on: a worker survives any other, and
/// so whoever reads its words would take this one, too, for one that its caller has heard of.
#[cfg(feature = "distributed")]
pub(crate) fn tell_aborts() {
    if cfg!(panic = "abort") {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            before(panic);
            deploy_sys::tell!("this program is built with panic = \"abort\". aborting.");
        }));
    }
}

/// The panic that this thread has caught just now.
pub(crate) fn caught(payload: &(dyn Any + Send)) -> Panicked {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = PLACE.try_with(Cell::take).ok().flatten();
    let (file, line) = place.unwrap_or_else(|| ("an unknown place".to_string(), 0));
    Panicked {
        message: text.unwrap_or("without a word").to_string(),
        file,
        line,
    }
}
