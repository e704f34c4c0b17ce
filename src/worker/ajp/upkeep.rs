//! What is done for an AJP worker outside of requests: ageing of idle connections, CPings to them, and probes of the worker.
//!
//! Not here: when (`runtime`), and what a probe means for a balancer (`lb`, `health`). The surprising thing: there are two ways to
//! ping idle connections. Without a watchdog a request waits for the answers, as in C; with one the prober waits for all at once.

use std::time::{Duration, Instant};

use super::super::clock::Moment;
use super::super::connection::Connection;
use super::super::error::{Error, ReceiveError};
use super::super::pool::Checkup;
use super::super::socket::{Connecting, Stream, Target};
use super::super::{Log, say};
use super::AjpWorker;

impl AjpWorker {
    /// Closes what aged or goes to an older address, and probes what was idle for long. The pool is not locked meanwhile
    /// (reference: ajp-side.md section 6; the numbers are those of this moment).
    pub fn maintain(&self, now: Moment, log: Log<'_>) {
        self.shrink(now, log);
        let limit = self.ping_timeout();
        for _ in 0..self.pool.idle() {
            let Some(mut checkup) = self.take_for_checkup(now) else { break };
            let outcome = checkup.connection.cping(limit);
            self.end_checkup(checkup, outcome, now, log);
        }
    }

    /// Closes what aged or goes to an older address.
    pub fn shrink(&self, now: Moment, log: Log<'_>) {
        let numbers = self.shared.numbers();
        let idle_timeout = Duration::from_secs(numbers.connection_pool_timeout_s.into());
        let closed = self.pool.shrink(now, numbers.address_sequence, idle_timeout);
        if closed > 0 {
            say!(log, Debug, "({}) closed {closed} idle connections", self.name());
        }
    }

    /// The oldest idle connection that `connection_ping_interval` wants to be pinged now.
    pub fn take_for_checkup(&self, now: Moment) -> Option<Checkup> {
        let interval_s = self.shared.numbers().connection_ping_interval_s;
        (interval_s > 0).then(|| self.pool.take_for_checkup(now, Duration::from_secs(interval_s.into()))).flatten()
    }

    /// Puts the connection back, or closes it, as its CPing went.
    pub fn end_checkup(&self, checkup: Checkup, outcome: Result<(), ReceiveError>, now: Moment, log: Log<'_>) {
        match outcome {
            Ok(()) => {
                self.shared.note_cpong();
                self.pool.put_back(checkup, now);
            }
            Err(cause) => {
                let address = checkup.connection.address();
                say!(log, Info, "({}) cping to idle connection {address} failed: {cause}; closing it", self.name());
            }
        }
    }

    /// How long a CPing of an idle connection may take.
    pub fn ping_timeout(&self) -> Duration {
        Duration::from_millis(self.shared.numbers().ping_timeout_ms.into())
    }

    /// Begins a connection outside the pool, for a probe.
    ///
    /// # Errors
    /// [`Error::ContactDisabled`], [`Error::Resolve`].
    pub(in super::super) fn begin_probe(&self, now: Instant, deadline: Instant) -> Result<Connecting, Error> {
        let resolved = self.addresses.targets(&self.shared, now)?;
        let options = self.connect_options(&self.shared.numbers(), &resolved);
        Ok(Connecting::new(resolved.targets, options, deadline))
    }

    /// The connection that a probe made.
    pub(in super::super) fn probe_connection(&self, stream: Stream, target: &Target) -> Connection {
        let sequence = self.shared.address_sequence();
        Connection::new(stream, target.to_string().into(), sequence, crate::ajp::MIN_PACKET_SIZE, &self.shared)
    }
}
