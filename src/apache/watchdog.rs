//! JkWatchdogInterval: one maintenance thread per child, woken and joined when the child ends.
//!
//! Not here: what maintenance does (`runtime`). The surprising thing: the thread starts in child_init, never before, because a
//! thread does not survive the fork; and it blocks all signals, which belong to httpd's own threads.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::apr::Pool;
use crate::log::{Level, Logger, log_at};
use crate::runtime::Runtime;

/// How the thread is told to stop.
#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits; true when it is time to stop.
    fn wait(&self, interval: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(asked, interval, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Starts the thread of this child (`interval_s` = 0: none) and registers the end of both thread and connections.
pub(super) fn start(pool: Pool, interval_s: u32, runtime: Arc<Runtime>, logger: Arc<Logger>) {
    let stop = Arc::new(Stop::default());
    let handle = (interval_s > 0)
        .then(|| spawn(Duration::from_secs(u64::from(interval_s)), Arc::clone(&stop), Arc::clone(&runtime), &logger))
        .flatten();
    pool.at_end(move || {
        stop.ask();
        if let Some(handle) = handle {
            // A panic of the thread was reported by itself.
            drop(handle.join());
        }
        runtime.leave_child();
    });
}

fn spawn(
    interval: Duration,
    stop: Arc<Stop>,
    runtime: Arc<Runtime>,
    logger: &Arc<Logger>,
) -> Option<thread::JoinHandle<()>> {
    let log = Arc::clone(logger);
    let body = move || {
        super::guard::guard("watchdog", super::apr::ServerRef::none(), (), || {
            while !stop.wait(interval) {
                runtime.maintain(&log);
            }
        });
    };
    let blocked = super::signals::Blocked::all();
    let spawned = thread::Builder::new().name("jk-watchdog".to_owned()).spawn(body);
    drop(blocked);
    match spawned {
        Ok(handle) => Some(handle),
        Err(error) => {
            log_at!(
                logger,
                Level::Error,
                b"CHILD_INIT",
                "the watchdog thread cannot start: {error}; maintenance runs in requests"
            );
            None
        }
    }
}
