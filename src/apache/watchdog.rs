//! JkWatchdogInterval: one thread per child for maintenance and probes, woken and joined when the child ends.
//!
//! Not here: what the thread does (`runtime`). The surprising thing: the thread starts in child_init, never before, because a
//! thread does not survive the fork; and it blocks all signals, which belong to httpd's own threads.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::apr::Pool;
use crate::log::{Level, Logger, log_at};
use crate::runtime::Runtime;
use crate::worker::Alarm;

/// Starts the thread of this child (`interval_s` = 0: none) and registers the end of both thread and connections.
pub(super) fn start(pool: Pool, interval_s: u32, runtime: Arc<Runtime>, logger: Arc<Logger>) {
    let started = (interval_s > 0).then(|| spawn(Duration::from_secs(interval_s.into()), &runtime, &logger));
    let thread = match started {
        Some(Ok(thread)) => Some(thread),
        Some(Err(error)) => {
            runtime.do_without_watchdog();
            let text = "the watchdog thread cannot start";
            log_at!(logger, Level::Error, b"CHILD_INIT", "{text}: {error}; maintenance runs in requests");
            None
        }
        None => None,
    };
    pool.at_end(move || {
        if let Some((handle, alarm)) = thread {
            alarm.ring();
            // A panic of the thread was reported by itself.
            drop(handle.join());
        }
        runtime.leave_child();
    });
}

type Thread = (JoinHandle<()>, Arc<Alarm>);

fn spawn(interval: Duration, runtime: &Arc<Runtime>, logger: &Arc<Logger>) -> std::io::Result<Thread> {
    let alarm = Arc::new(Alarm::new()?);
    let (runtime, logger, rings) = (Arc::clone(runtime), Arc::clone(logger), Arc::clone(&alarm));
    let body = move || {
        loop {
            super::guard::guard("watchdog", super::apr::ServerRef::none(), (), || {
                #[cfg(feature = "planted-panic")]
                planted_panic();
                runtime.watch(interval, &rings, &logger);
            });
            // It returns when the alarm rings; otherwise it panicked, and begins anew after a while: what panics each time leaves a line
            // per interval, and members are looked after in between.
            if rings.wait(Instant::now() + interval) {
                return;
            }
        }
    };
    let blocked = super::signals::Blocked::all();
    let spawned = thread::Builder::new().name("jk-watchdog".to_owned()).spawn(body);
    drop(blocked);
    Ok((spawned?, alarm))
}

/// The first time in each child.
#[cfg(feature = "planted-panic")]
fn planted_panic() {
    static PANICKED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let again = PANICKED.swap(true, std::sync::atomic::Ordering::Relaxed);
    #[allow(clippy::indexing_slicing, reason = "this is the planted panic")]
    if !again {
        let nothing: [u8; 0] = std::hint::black_box([]);
        let _ = std::hint::black_box(nothing.as_slice()[0]);
    }
}
