//! The connections of one AJP worker in one child: who may have one, and the idle ones, most recently used on top.
//!
//! Not here: opening and probing (`ajp.rs`). The surprising thing: what is acquired is not a connection but the right to
//! have one ([`Lease`]); the lock is held for a push or a pop only, never while a socket is opened, probed or closed.
//!
//! Invariant: leases and idle connections together never exceed the size. That holds because a lease takes an idle connection
//! in the same step in which it begins, and gives it back in the step in which it ends: no other request can slip in between,
//! find nothing idle, and open one too many. A connection that is out for a checkup is counted by neither; if its place was
//! taken meanwhile, it is closed when it comes back.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Moment;
use super::connection::Connection;

/// Leases and idle connections.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    min_size: usize,
    acquire_timeout: Duration,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first: taken from the end, aged from the start.
    idle: Vec<Idle>,
    leased: usize,
    /// Requests that wait for a place: nobody else need be woken.
    waiting: usize,
    closed: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    used: Moment,
    /// Last use or last answered CPing.
    checked: Moment,
}

/// The right to have one connection; given back when dropped.
#[derive(Debug)]
pub struct Lease<'a> {
    pool: &'a Pool,
    /// Was idle when the lease began; not looked at yet.
    first: Option<Idle>,
}

/// A connection that is being looked after; it must come back through [`Pool::put_back`] or be dropped.
#[derive(Debug)]
pub struct Checkup {
    /// The connection.
    pub connection: Connection,
    used: Moment,
}

impl Pool {
    /// A pool of at most `size` connections, of which ageing leaves `min_size` (reference: ajp-side.md section 5, section 6).
    pub fn new(size: usize, min_size: usize, acquire_timeout: Duration) -> Self {
        Self { size, min_size, acquire_timeout, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Most connections it may have.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How long [`Self::acquire`] waits.
    pub fn acquire_timeout(&self) -> Duration {
        self.acquire_timeout
    }

    /// Idle connections.
    pub fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    /// Whether [`Self::acquire`] would succeed at once.
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        !state.closed && state.leased < self.size
    }

    /// Waits for a free place, at most the acquire timeout (0 = not at all); `None` when none became free, or after
    /// [`Self::close`].
    #[inline(always)]
    pub fn acquire(&self) -> Option<Lease<'_>> {
        let mut state = self.lock();
        if state.closed || state.leased >= self.size {
            state = self.wait_for_place(state)?;
        }
        state.leased += 1;
        let first = state.idle.pop();
        drop(state);
        Some(Lease { pool: self, first })
    }

    #[cold]
    fn wait_for_place<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Option<MutexGuard<'a, State>> {
        state.waiting += 1;
        let full = |state: &mut State| !state.closed && state.leased >= self.size;
        let waited = self.freed.wait_timeout_while(state, self.acquire_timeout, full);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
        (!state.closed && state.leased < self.size).then_some(state)
    }

    /// Closes idle connections of another address than `generation`, and those unused for `idle_timeout` (zero = never)
    /// while more than the minimum are open. Returns how many.
    pub fn shrink(&self, now: Moment, generation: u32, idle_timeout: Duration) -> usize {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        let mut open = state.idle.len() + state.leased;
        for idle in std::mem::take(&mut state.idle) {
            let expired = !idle_timeout.is_zero() && now.since(idle.used) > idle_timeout;
            if idle.connection.generation() != generation || (expired && open > self.min_size) {
                open -= 1;
                dropped.push(idle);
            } else {
                state.idle.push(idle);
            }
        }
        drop(state);
        dropped.len()
    }

    /// Takes out the oldest idle connection that has neither been used nor checked for `interval`.
    pub fn take_for_checkup(&self, now: Moment, interval: Duration) -> Option<Checkup> {
        let mut state = self.lock();
        let due = |idle: &Idle| now.since(idle.checked) >= interval;
        let at = state.idle.iter().position(due)?;
        let Idle { connection, used, .. } = state.idle.remove(at);
        Some(Checkup { connection, used })
    }

    /// Puts a connection that answered back to its place among the idle ones, unless its place was taken meanwhile.
    pub fn put_back(&self, checkup: Checkup, now: Moment) {
        let Checkup { connection, used } = checkup;
        self.push(Idle { connection, used, checked: now }, 0);
    }

    /// Closes all idle connections; from now on nothing is leased or kept.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        self.freed.notify_all();
        drop(idle);
    }

    /// Keeps `idle` if there is room for it, after ending `leases`.
    #[inline(always)]
    fn push(&self, idle: Idle, leases: usize) {
        let mut state = self.lock();
        state.leased -= leases;
        let wake = state.waiting > 0 && leases > 0;
        // Nearly always the last: it was used just now.
        let is_last = state.idle.last().is_none_or(|last| last.used <= idle.used);
        let has_room = !state.closed && state.idle.len() + state.leased < self.size;
        if has_room && is_last {
            state.idle.push(idle);
            drop(state);
        } else {
            Self::push_elsewhere(state, idle, has_room);
        }
        if wake {
            self.freed.notify_one();
        }
    }

    /// Puts `idle` between the others, or closes it.
    #[cold]
    fn push_elsewhere(mut state: MutexGuard<'_, State>, idle: Idle, has_room: bool) {
        let surplus = if has_room {
            let at = state.idle.partition_point(|other| other.used <= idle.used);
            state.idle.insert(at, idle);
            None
        } else {
            Some(idle)
        };
        drop(state);
        drop(surplus);
    }

    /// Ends a lease that has no connection to give back.
    #[cold]
    fn end_lease(&self) {
        let mut state = self.lock();
        state.leased -= 1;
        let wake = state.waiting > 0;
        drop(state);
        if wake {
            self.freed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// The most recently used idle connection to the address of `generation`; others that are met are closed.
    #[inline(always)]
    pub fn take(&mut self, generation: u32) -> Option<Connection> {
        match self.first.take() {
            Some(idle) if idle.connection.generation() == generation => Some(idle.connection),
            _ => self.take_another(generation),
        }
    }

    #[cold]
    fn take_another(&self, generation: u32) -> Option<Connection> {
        loop {
            let idle = self.pool.lock().idle.pop()?;
            if idle.connection.generation() == generation {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection that another request may use: it goes back when the lease ends.
    #[inline(always)]
    pub fn keep(&mut self, connection: Connection, now: Moment) {
        self.first = Some(Idle { connection, used: now, checked: now });
    }
}

impl Drop for Lease<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        match self.first.take() {
            Some(idle) => self.pool.push(idle, 1),
            None => self.pool.end_lease(),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;
    use crate::config::AjpSettings;
    use crate::worker::AjpShared;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    impl Lease<'_> {
        fn give_back(mut self, connection: Connection, now: Moment) {
            self.keep(connection, now);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn connection(name: &str, generation: u32) -> Connection {
        let (ours, _) = UnixStream::pair().unwrap();
        Connection::new(
            OwnedFd::from(ours).into(),
            name.into(),
            generation,
            8192,
            &AjpShared::alone(AjpSettings::default()).unwrap(),
        )
    }

    fn fill(pool: &Pool, names: &[&str], now: Moment) {
        let leases: Vec<_> = names.iter().map(|_| pool.acquire().unwrap()).collect();
        for (n, (lease, name)) in leases.into_iter().zip(names).enumerate() {
            lease.give_back(connection(name, 0), now + SECOND * n as u32);
        }
    }

    #[test]
    fn hands_out_the_most_recently_used_connection() {
        let pool = Pool::new(3, 0, Duration::ZERO);
        fill(&pool, &["a", "b", "c"], Moment::now());
        let mut lease = pool.acquire().unwrap();
        assert_eq!(lease.take(0).unwrap().address(), "c");
        assert_eq!(lease.take(0).unwrap().address(), "b");
    }

    #[test]
    fn refuses_more_leases_than_its_size() {
        let pool = Pool::new(1, 0, Duration::ZERO);
        let first = pool.acquire().unwrap();
        assert!(pool.acquire().is_none());
        assert!(!pool.has_room());
        drop(first);
        assert!(pool.acquire().is_some());
    }

    #[test]
    fn wakes_a_waiting_request_when_a_place_becomes_free() {
        let pool = Pool::new(1, 0, Duration::from_secs(600));
        let first = pool.acquire().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.acquire().is_some());
            drop(first);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn wakes_waiting_requests_when_it_closes() {
        let pool = Pool::new(1, 0, Duration::from_secs(600));
        let _first = pool.acquire().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.acquire().is_none());
            pool.close();
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn closes_connections_to_an_older_address_instead_of_handing_them_out() {
        let pool = Pool::new(2, 2, Duration::ZERO);
        fill(&pool, &["a", "b"], Moment::now());
        assert!(pool.acquire().unwrap().take(1).is_none());
        assert_eq!(pool.idle(), 0);
    }

    #[test]
    fn shrinks_to_the_minimum_and_closes_the_oldest_first() {
        let pool = Pool::new(4, 1, Duration::ZERO);
        let now = Moment::now();
        fill(&pool, &["a", "b", "c", "d"], now);
        assert_eq!(pool.shrink(now + SECOND * 12, 0, SECOND * 10), 2, "a and b are older than 10 s");
        assert_eq!(pool.shrink(now + SECOND * 100, 0, SECOND * 10), 1, "one stays");
        assert_eq!(pool.acquire().unwrap().take(0).unwrap().address(), "d");
    }

    #[test]
    fn never_ages_without_a_timeout() {
        let pool = Pool::new(2, 0, Duration::ZERO);
        let now = Moment::now();
        fill(&pool, &["a", "b"], now);
        assert_eq!(pool.shrink(now + SECOND * 100_000, 0, Duration::ZERO), 0);
    }

    #[test]
    fn checks_up_each_idle_connection_once_per_interval() {
        let pool = Pool::new(2, 2, Duration::ZERO);
        let start = Moment::now();
        fill(&pool, &["a", "b"], start);
        let now = start + SECOND * 60;
        for name in ["a", "b"] {
            let checkup = pool.take_for_checkup(now, SECOND * 10).unwrap();
            assert_eq!(checkup.connection.address(), name);
            pool.put_back(checkup, now);
        }
        assert!(pool.take_for_checkup(now + SECOND * 9, SECOND * 10).is_none());
        assert!(pool.take_for_checkup(now + SECOND * 10, SECOND * 10).is_some());
    }

    #[test]
    fn a_checkup_does_not_make_a_connection_look_used() {
        let pool = Pool::new(2, 0, Duration::ZERO);
        let start = Moment::now();
        fill(&pool, &["a", "b"], start);
        let now = start + SECOND * 60;
        let checkup = pool.take_for_checkup(now, SECOND).unwrap();
        pool.put_back(checkup, now);
        assert_eq!(pool.acquire().unwrap().take(0).unwrap().address(), "b", "order by last use");
        assert_eq!(pool.shrink(now, 0, SECOND * 30), 1, "a is still old");
    }

    #[test]
    fn keeps_the_connection_of_a_lease_that_did_not_use_it() {
        let pool = Pool::new(2, 2, Duration::ZERO);
        fill(&pool, &["a"], Moment::now());
        drop(pool.acquire().unwrap());
        assert_eq!(pool.idle(), 1);
    }

    #[test]
    fn never_closes_a_connection_that_a_waiting_lease_is_entitled_to() {
        let pool = Pool::new(2, 2, Duration::ZERO);
        let now = Moment::now();
        fill(&pool, &["a", "b"], now);
        let mut first = pool.acquire().unwrap();
        let held = first.take(0).unwrap();
        let mut second = pool.acquire().unwrap();
        first.give_back(held, now);
        assert!(second.take(0).is_some());
        assert_eq!(pool.idle(), 1, "both connections live");
    }

    #[test]
    fn closes_a_checked_connection_whose_place_was_taken_meanwhile() {
        let pool = Pool::new(1, 1, Duration::ZERO);
        let start = Moment::now();
        fill(&pool, &["a"], start);
        let checkup = pool.take_for_checkup(start + SECOND, SECOND).unwrap();
        let mut lease = pool.acquire().unwrap();
        assert!(lease.take(0).is_none());
        pool.put_back(checkup, start);
        assert_eq!(pool.idle(), 0);
        lease.give_back(connection("b", 0), start);
        assert_eq!(pool.idle(), 1);
    }

    #[test]
    fn keeps_nothing_after_it_was_closed() {
        let pool = Pool::new(2, 2, Duration::ZERO);
        fill(&pool, &["a"], Moment::now());
        let mut lease = pool.acquire().unwrap();
        let connection = lease.take(0).unwrap();
        pool.close();
        lease.give_back(connection, Moment::now());
        assert_eq!(pool.idle(), 0);
        assert!(pool.acquire().is_none());
    }
}
