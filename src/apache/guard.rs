//! Every callback of httpd goes through here: a panic becomes a spelled-out fallback and one log line, never an unwind into C.
//!
//! Not here: what a callback does. The surprising thing: the panic hook only remembers message and place in a
//! thread-local; the guard reports them, because only the guard knows which server's log is meant.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::apr::ServerRef;

/// Longest panic report that is kept.
const REPORT_LIMIT: usize = 400;

thread_local! {
    /// What the panic hook saw last on this thread. No destructor: a thread-local with one would pin the library (DESIGN 1.4).
    static LAST: Cell<Seen> = const { Cell::new(Seen { length: 0, report: [0; REPORT_LIMIT] }) };
}

#[derive(Clone, Copy)]
struct Seen {
    length: usize,
    report: [u8; REPORT_LIMIT],
}

/// Runs `body` for httpd. If it panics, logs where to the ErrorLog of `log_to` and returns `on_panic`; never unwinds into C.
pub(super) fn guard<T>(hook: &'static str, log_to: ServerRef, on_panic: T, body: impl FnOnce() -> T) -> T {
    install_hook();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            // A payload whose destructor panics must not get a second chance to unwind: it is leaked.
            std::mem::forget(payload);
            log_to.error(&format!("mod_jk: internal error in {hook}: {}; the process serves on", last_report()));
            on_panic
        }
    }
}

fn last_report() -> String {
    let seen = LAST.get();
    String::from_utf8_lossy(seen.report.get(..seen.length).unwrap_or_default()).into_owned()
}

/// Replaces the default hook (which would print to stderr) once per process image.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let text = payload_text(info.payload());
            let report = match info.location() {
                Some(place) => format!("{text} ({}:{})", place.file(), place.line()),
                None => text.to_owned(),
            };
            let mut seen = Seen { length: 0, report: [0; REPORT_LIMIT] };
            for (slot, byte) in seen.report.iter_mut().zip(report.bytes()) {
                *slot = byte;
                seen.length = seen.length.saturating_add(1);
            }
            LAST.set(seen);
        }));
    });
}

fn payload_text(payload: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "panic without a message"
    }
}
