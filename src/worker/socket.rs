//! The system calls of this room: addresses of a name, connecting with source address, options and deadline, and the few calls
//! on an open [`Stream`].
//!
//! Not here: what is sent over it, and retries of calls (`connection`). The surprising thing: a TCP connect is always non-blocking with a poll, also
//! without a deadline, because a blocking connect that a signal interrupts cannot simply be repeated.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
pub(super) use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::{Domain, SockAddr, Socket, Type};

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Address and port.
    Tcp(SocketAddr),
    /// Path of a Unix domain socket.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// An open stream socket: blocking, close-on-exec, never raises SIGPIPE.
#[derive(Debug)]
pub struct Stream(OwnedFd);

/// Whether a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until something can be done; a read no longer than the receive timeout.
    Yes,
    /// Not at all: [`io::ErrorKind::WouldBlock`] instead.
    No,
}

impl From<OwnedFd> for Stream {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl Stream {
    /// Bounds each waiting read; `None` = for ever.
    pub(super) fn set_receive_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Ok(set_socket_timeout(&self.0, Timeout::Recv, timeout)?)
    }

    /// Reads what is there; 0 = the peer has closed.
    #[inline(always)]
    pub(super) fn read(&self, buffer: &mut [u8], wait: Wait) -> Result<usize, Errno> {
        let flags = if wait == Wait::Yes { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        Ok(recv(&self.0, buffer, flags)?.1)
    }

    /// Writes what fits.
    #[inline(always)]
    pub(super) fn write(&self, parts: &[IoSlice<'_>], wait: Wait) -> Result<usize, Errno> {
        let flags = if wait == Wait::Yes { SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL | SendFlags::DONTWAIT };
        Ok(match parts {
            // As a rule: without the vector there is less for the kernel to copy, too.
            [all] => send(&self.0, all, flags)?,
            _ => sendmsg(&self.0, parts, &mut SendAncillaryBuffer::default(), flags)?,
        })
    }

    /// Whether it is open and nothing waits to be read. One system call, nothing is consumed.
    #[inline(always)]
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0_u8; 1];
        loop {
            match recv(&self.0, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                outcome => return matches!(outcome, Err(Errno::AGAIN)),
            }
        }
    }

    /// To be woken when a read would not wait.
    pub(super) fn awaited(&self) -> Awaited<'_> {
        Awaited(PollFd::new(&self.0, PollFlags::IN))
    }

    /// Waits until a read would not wait; false when `deadline` came first.
    pub(super) fn wait_readable(&self, deadline: Option<Instant>) -> io::Result<bool> {
        wait_for(&self.0, PollFlags::IN, deadline)
    }

    /// Waits until a write would not wait; false when `deadline` came first.
    pub(super) fn wait_writable(&self, deadline: Option<Instant>) -> io::Result<bool> {
        wait_for(&self.0, PollFlags::OUT, deadline)
    }
}

/// How to connect; derived from the worker's configuration (reference: ajp-side.md section 5, section 8.1).
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// For all addresses together; `None` = the system's.
    pub timeout: Option<Duration>,
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// SO_SNDBUF and SO_RCVBUF; 0 = the system's.
    pub buffer: usize,
    /// Local addresses to connect from, one per family; empty = the system's choice.
    pub source: Vec<IpAddr>,
}

/// An open connection.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// The address that answered.
    pub target: Target,
    /// Why the source address could not be used; the connection was made without it, as C does.
    pub source_error: Option<io::Error>,
}

/// All addresses of `host`, each once, in the resolver's order; with `prefer_ipv6`, IPv6 ones first.
/// Brackets around an IPv6 literal are accepted.
///
/// # Errors
/// What the resolver said.
pub fn resolve(host: &str, port: u16, prefer_ipv6: bool) -> io::Result<Vec<Target>> {
    let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (name, port).to_socket_addrs()? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if prefer_ipv6 {
        addresses.sort_by_key(|address| !address.is_ipv6());
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the resolver knows no address"));
    }
    Ok(addresses.into_iter().map(Target::Tcp).collect())
}

/// Connects to the first of `targets` that answers.
///
/// # Errors
/// What the last target said, when none answered.
pub fn connect(targets: &[Target], options: &ConnectOptions) -> io::Result<Connected> {
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address to connect to");
    let mut left = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    for target in targets {
        // A silent address must not use up the time of the ones after it.
        let budget = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / left.max(1));
        left = left.saturating_sub(1);
        let attempt = match target {
            Target::Tcp(address) => connect_tcp(*address, budget, options),
            Target::Unix(path) => connect_unix(path, budget, options).map(|socket| (socket, None)),
        };
        match attempt {
            Ok((socket, source_error)) => {
                return Ok(Connected { stream: Stream(socket.into()), target: target.clone(), source_error });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_tcp(
    address: SocketAddr,
    budget: Option<Duration>,
    options: &ConnectOptions,
) -> io::Result<(Socket, Option<io::Error>)> {
    let (socket, source_error) = tcp_socket(address, options)?;
    match socket.connect(&SockAddr::from(address)) {
        Ok(()) => {}
        Err(error) if is_in_progress(&error) => {
            wait_connected(&socket, budget)?;
        }
        Err(error) => return Err(error),
    }
    socket.set_nonblocking(false)?;
    Ok((socket, source_error))
}

/// A non-blocking socket that may be connected to `address`, and why it could not be bound to the source address.
fn tcp_socket(address: SocketAddr, options: &ConnectOptions) -> io::Result<(Socket, Option<io::Error>)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    set_common_options(&socket, options)?;
    let source_error = bind_source(&socket, address, &options.source).err();
    socket.set_nonblocking(true)?;
    Ok((socket, source_error))
}

/// A connection that is being made without waiting, one target after the other: for the prober, which looks after many at a time.
#[derive(Debug)]
pub(super) struct Connecting {
    targets: Arc<[Target]>,
    next: usize,
    options: ConnectOptions,
    deadline: Instant,
    /// The attempt under way, and until when it may take.
    current: Option<(Socket, Target, Instant)>,
}

impl Connecting {
    /// Nothing happens before [`Self::advance`]. The timeout of `options` plays no part, `deadline` does.
    pub(super) fn new(targets: Arc<[Target]>, options: ConnectOptions, deadline: Instant) -> Self {
        Self { targets, next: 0, options, deadline, current: None }
    }

    /// Goes as far as possible without waiting; `None` = not decided yet.
    pub(super) fn advance(&mut self, now: Instant) -> Option<io::Result<(Stream, Target)>> {
        loop {
            let failed = match self.current.take() {
                Some((socket, target, until)) => match is_connected(&socket) {
                    Ok(true) => return Some(socket.set_nonblocking(false).map(|()| (Stream(socket.into()), target))),
                    Ok(false) if now < until => {
                        self.current = Some((socket, target, until));
                        return None;
                    }
                    Ok(false) => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
                    Err(error) => error,
                },
                None => io::Error::new(io::ErrorKind::NotFound, "no address to connect to"),
            };
            let Some(target) = self.targets.get(self.next).cloned() else { return Some(Err(failed)) };
            self.next = self.next.saturating_add(1);
            match self.begin(&target, now) {
                Ok(socket) => self.current = Some(socket),
                Err(error) if self.next >= self.targets.len() => return Some(Err(error)),
                Err(_) => {}
            }
        }
    }

    /// To be woken when there is something to do; `None` before the first [`Self::advance`].
    pub(super) fn awaited(&self) -> Option<Awaited<'_>> {
        self.current.as_ref().map(|(socket, ..)| Awaited(PollFd::new(socket, PollFlags::OUT)))
    }

    /// When an attempt has taken too long, though nothing wakes.
    pub(super) fn deadline(&self) -> Instant {
        self.current.as_ref().map_or(self.deadline, |(.., until)| *until)
    }

    fn begin(&self, target: &Target, now: Instant) -> io::Result<(Socket, Target, Instant)> {
        // A silent address must not use up the time of the ones after it.
        let left = u32::try_from(self.targets.len().saturating_sub(self.next)).unwrap_or(u32::MAX).saturating_add(1);
        let until = now + self.deadline.saturating_duration_since(now) / left;
        let (socket, address) = match target {
            Target::Tcp(address) => (tcp_socket(*address, &self.options)?.0, SockAddr::from(*address)),
            Target::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                (socket, SockAddr::unix(path)?)
            }
        };
        match socket.connect(&address) {
            Ok(()) => {}
            Err(error) if is_in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        Ok((socket, target.clone(), until))
    }
}

/// A socket that somebody waits for.
pub(super) struct Awaited<'a>(PollFd<'a>);

/// Rung by another thread to end a wait: sticky, it stays rung.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// Not rung.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Ends all waits, those that begin later included.
    pub fn ring(&self) {
        // Fails only when it was rung 2^64 - 1 times before.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Whether it was rung.
    #[must_use]
    pub fn is_rung(&self) -> bool {
        self.wait(Instant::now())
    }

    /// Waits for the ring at most until `deadline`; true when it was rung.
    pub fn wait(&self, deadline: Instant) -> bool {
        wait_for(&self.0, PollFlags::IN, Some(deadline)).unwrap_or(false)
    }

    /// Waits until it was rung, or one of `others` has something to do, or `deadline` comes.
    pub(super) fn wait_with<'a>(&'a self, others: impl Iterator<Item = Awaited<'a>>, deadline: Instant) {
        let mut all: Vec<_> =
            std::iter::once(PollFd::new(&self.0, PollFlags::IN)).chain(others.map(|one| one.0)).collect();
        let left = timespec(deadline.saturating_duration_since(Instant::now()));
        // A signal or an error ends the wait early, which callers bear.
        let _ = poll(&mut all, Some(&left));
    }
}

/// A Unix socket connects at once, or waits for room in the listener's queue: SO_SNDTIMEO bounds that wait.
fn connect_unix(path: &PathBuf, budget: Option<Duration>, options: &ConnectOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    set_common_options(&socket, options)?;
    socket.set_write_timeout(budget.map(|budget| budget.max(Duration::from_millis(1))))?;
    let address = SockAddr::unix(path)?;
    loop {
        match socket.connect(&address) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(timed_out(budget)),
            Err(error) => return Err(error),
        }
    }
    if budget.is_some() {
        socket.set_write_timeout(None)?;
    }
    Ok(socket)
}

fn set_common_options(socket: &Socket, options: &ConnectOptions) -> io::Result<()> {
    if options.keepalive {
        socket.set_keepalive(true)?;
    }
    if options.buffer > 0 {
        socket.set_send_buffer_size(options.buffer)?;
        socket.set_recv_buffer_size(options.buffer)?;
    }
    Ok(())
}

fn bind_source(socket: &Socket, target: SocketAddr, source: &[IpAddr]) -> io::Result<()> {
    if source.is_empty() {
        return Ok(());
    }
    match source.iter().find(|address| address.is_ipv6() == target.is_ipv6()) {
        Some(address) => socket.bind(&SockAddr::from(SocketAddr::new(*address, 0))),
        None => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no source address of the peer's family")),
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        || error.kind() == io::ErrorKind::Interrupted
}

fn wait_connected(socket: &Socket, budget: Option<Duration>) -> io::Result<()> {
    let deadline = budget.map(|budget| Instant::now() + budget);
    if !wait_for(socket, PollFlags::OUT, deadline)? {
        return Err(timed_out(budget));
    }
    match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The state of a connection under way, without waiting.
fn is_connected(socket: &Socket) -> io::Result<bool> {
    if !wait_for(socket, PollFlags::OUT, Some(Instant::now()))? {
        return Ok(false);
    }
    socket.take_error()?.map_or(Ok(true), Err)
}

/// Whether this process or host is short of something, so that the failure says nothing about the peer.
pub(super) fn is_own_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let own = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| own.iter().any(|errno| errno.raw_os_error() == code))
}

fn timed_out(budget: Option<Duration>) -> io::Error {
    let ms = budget.unwrap_or_default().as_millis();
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {ms} ms"))
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}

/// Waits until `socket` is ready for `events` or has failed; false when `deadline` came first. `None` = for ever.
fn wait_for(socket: &impl AsFd, events: PollFlags, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(timespec);
        match poll(&mut [PollFd::new(socket, events)], timeout.as_ref()) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
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
    use socket2::SockRef;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::os::unix::net::UnixListener;

    fn closed_port() -> SocketAddr {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
    }

    #[test]
    fn resolves_literals_with_and_without_brackets() {
        let v6 = Target::Tcp(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 8009));
        assert_eq!(resolve("127.0.0.1", 8009, false).unwrap(), [Target::Tcp(([127, 0, 0, 1], 8009).into())]);
        assert_eq!(resolve("::1", 8009, false).unwrap(), std::slice::from_ref(&v6));
        assert_eq!(resolve("[::1]", 8009, false).unwrap(), [v6]);
    }

    #[test]
    fn reports_a_name_without_address() {
        assert!(resolve("no-such-host.invalid", 8009, false).is_err());
    }

    #[test]
    fn tries_the_next_address_when_one_refuses() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let good = Target::Tcp(listener.local_addr().unwrap());
        let connected = connect(&[Target::Tcp(closed_port()), good.clone()], &ConnectOptions::default()).unwrap();
        assert_eq!(connected.target, good);
        assert!(SockRef::from(&connected.stream.0).tcp_nodelay().unwrap());
        assert!(!SockRef::from(&connected.stream.0).nonblocking().unwrap());
    }

    #[test]
    fn reports_refusal_with_its_errno() {
        let error = connect(&[Target::Tcp(closed_port())], &ConnectOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.raw_os_error().is_some());
    }

    #[test]
    fn gives_up_at_the_deadline_when_nobody_accepts() {
        // A listener whose queue is full drops further SYNs: the nearest thing to a blackhole without a network.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        listener.listen(0).unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap().as_socket().unwrap());
        let options = ConnectOptions { timeout: Some(Duration::from_millis(30)), ..ConnectOptions::default() };
        let mut held = Vec::new();
        let error = loop {
            match connect(std::slice::from_ref(&target), &options) {
                Ok(connected) => held.push(connected),
                Err(error) => break error,
            }
            assert!(held.len() < 1000, "the queue never fills");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn connects_from_the_source_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let source = Ipv4Addr::new(127, 0, 0, 9);
        let options = ConnectOptions { source: vec![source.into()], ..ConnectOptions::default() };
        let connected = connect(&[Target::Tcp(listener.local_addr().unwrap())], &options).unwrap();
        assert!(connected.source_error.is_none());
        assert_eq!(SockRef::from(&connected.stream.0).local_addr().unwrap().as_socket_ipv4().unwrap().ip(), &source);
    }

    #[test]
    fn connects_without_the_source_address_when_it_is_not_ours() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let options = ConnectOptions { source: vec![Ipv4Addr::new(192, 0, 2, 1).into()], ..ConnectOptions::default() };
        let connected = connect(&[Target::Tcp(listener.local_addr().unwrap())], &options).unwrap();
        assert!(connected.source_error.is_some());
    }

    #[test]
    fn sets_keepalive_and_buffers_when_configured() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let options = ConnectOptions { keepalive: true, buffer: 65_536, ..ConnectOptions::default() };
        let connected = connect(&[Target::Tcp(listener.local_addr().unwrap())], &options).unwrap();
        assert!(SockRef::from(&connected.stream.0).keepalive().unwrap());
        assert!(SockRef::from(&connected.stream.0).recv_buffer_size().unwrap() >= 65_536);
    }

    #[test]
    fn connects_to_a_unix_domain_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ajp.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let connected = connect(&[Target::Unix(path.clone())], &ConnectOptions::default()).unwrap();
        assert_eq!(connected.target, Target::Unix(path));
    }

    #[test]
    fn reports_a_missing_unix_domain_socket() {
        let folder = tempfile::tempdir().unwrap();
        let error = connect(&[Target::Unix(folder.path().join("none"))], &ConnectOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    fn connecting(targets: Vec<Target>) -> io::Result<(Stream, Target)> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut connecting = Connecting::new(targets.into(), ConnectOptions::default(), deadline);
        let alarm = Alarm::new().unwrap();
        loop {
            if let Some(outcome) = connecting.advance(Instant::now()) {
                return outcome;
            }
            alarm.wait_with(connecting.awaited().into_iter(), connecting.deadline());
        }
    }

    #[test]
    fn connects_without_waiting_to_the_next_address_when_one_refuses() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let good = Target::Tcp(listener.local_addr().unwrap());
        let (stream, target) = connecting(vec![Target::Tcp(closed_port()), good.clone()]).unwrap();
        assert_eq!(target, good);
        assert!(!SockRef::from(&stream.0).nonblocking().unwrap());
    }

    #[test]
    fn connects_without_waiting_to_a_unix_domain_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ajp.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(connecting(vec![Target::Unix(path)]).is_ok());
        assert_eq!(
            connecting(vec![Target::Unix(folder.path().join("none"))]).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn refusal_without_waiting_has_its_errno_and_no_target_is_an_error() {
        let error = connecting(vec![Target::Tcp(closed_port())]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connecting(Vec::new()).is_err());
    }

    #[test]
    fn alarm_ends_waits_that_begin_before_and_after_it() {
        let alarm = Alarm::new().unwrap();
        assert!(!alarm.is_rung());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| alarm.wait(Instant::now() + Duration::from_secs(600)));
            alarm.ring();
            assert!(waiter.join().unwrap());
        });
        alarm.ring();
        assert!(alarm.is_rung());
        alarm.wait_with(std::iter::empty(), Instant::now() + Duration::from_secs(600));
    }
}
