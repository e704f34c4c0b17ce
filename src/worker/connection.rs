//! One connection to a container: buffered receive, vectored send, CPing, liveness.
//!
//! Not here: what packets mean (`ajp::exchange`), who may use the connection (`pool`). The surprising thing: the first wait
//! for a packet is one plain `recv` bounded by SO_RCVTIMEO, which is short, set once and stays: after it the caller may see to
//! what it holds. The rest of the deadline is waited out with `poll`, so that a trickling peer cannot stretch it.
//!
//! ```text
//!  buffer   | parsed, still borrowed | complete packets | part of one |       free       |
//!           0                      start                            end            buffer.len()
//! ```
//! Invariant: `start <= end <= buffer.len()`.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ReceiveError;
use super::shared::AjpShared;
use super::socket::{Awaited, Errno, Stream, Wait};
use crate::ajp::HEADER_LEN;
use crate::ajp::packet::{FrameError, split_packet, whole_packet};
use crate::ajp::request::CPING;
use crate::shm::Connected;

/// Smallest receive buffer: several default-size packets per system call.
const MIN_BUFFER: usize = 32_768;
/// What it grows to when a container has sent all that fitted: one system call, and one write to the client, for a page of 64 KiB.
const GROWN_BUFFER: usize = 81_920;
/// How long a packet is waited for before the wait counts as a pause of the container.
const PAUSE: Duration = Duration::from_millis(50);
/// Code of the answer to a CPing.
const CPONG: u8 = 0x09;

/// An open connection. Dropping it closes the socket at once: what is unread makes the kernel reset the connection, which
/// is how the container learns early that nobody wants the rest.
#[derive(Debug)]
pub struct Connection(Box<Open>);

/// What a [`Connection`] is; it stays where it is while the connection goes from the pool to a request and back.
#[derive(Debug)]
pub struct Open {
    stream: Stream,
    address: Arc<str>,
    /// Address sequence it was opened under.
    generation: u32,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read left no room: more was waiting, as a rule.
    filled: bool,
    max_payload: usize,
    /// SO_RCVTIMEO is set to [`PAUSE`].
    reads_are_short: bool,
    received: u64,
    sent: u64,
    /// It has served a request before.
    used: bool,
    /// Counts the connection while it is open.
    _counted: Connected,
}

/// A send that failed.
#[derive(Debug)]
pub struct SendError {
    /// Bytes the kernel had taken.
    pub sent: usize,
    /// What it said then.
    pub cause: io::Error,
}

/// How a wait for a packet ended, if not in an error.
#[derive(Clone, Copy, Debug)]
#[must_use = "after a pause the packet is still to be waited for"]
pub enum Arrival {
    /// A whole packet is in the buffer.
    Packet,
    /// Nothing has come for a while, and there is time left: [`Open::receive_rest`] waits on.
    Pause(Rest),
}

/// What is left of a wait for a packet.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    limit: Option<Duration>,
    deadline: Option<Instant>,
}

impl std::ops::Deref for Connection {
    type Target = Open;

    fn deref(&self) -> &Open {
        &self.0
    }
}

impl std::ops::DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Open {
        &mut self.0
    }
}

impl Connection {
    /// Takes over an open stream and counts it as connected.
    pub fn new(stream: Stream, address: Arc<str>, generation: u32, max_packet_size: usize, shared: &AjpShared) -> Self {
        let counted = shared.connect();
        // Where that fails, reads are waited for with a poll.
        let reads_are_short = stream.set_receive_timeout(Some(PAUSE)).is_ok();
        let mut connection = Self(Box::new(Open {
            stream,
            address,
            generation,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            filled: false,
            max_payload: 0,
            reads_are_short,
            received: 0,
            sent: 0,
            used: false,
            _counted: counted,
        }));
        connection.set_max_packet_size(max_packet_size);
        connection
    }
}

impl Open {
    /// Peer, for messages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Address sequence it was opened under.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it has served a request before.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// It has served a request.
    pub fn mark_used(&mut self) {
        self.used = true;
    }

    /// Follows a changed `max_packet_size`; called between requests only.
    pub fn set_max_packet_size(&mut self, max_packet_size: usize) {
        if self.max_payload == max_packet_size {
            return;
        }
        self.max_payload = max_packet_size;
        let size = MIN_BUFFER.max(2 * (max_packet_size + HEADER_LEN));
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
    }

    /// Bytes read and written since the last call.
    pub fn take_byte_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.received), std::mem::take(&mut self.sent))
    }

    /// Nothing was received beyond what has been taken.
    pub fn is_drained(&self) -> bool {
        self.start == self.end
    }

    /// Whether it can be used again: open, and not a byte waiting. Bytes of nobody's request must never be read as the
    /// answer to the next one (reference: ajp-side.md section 6, section 10).
    pub fn is_quiet(&self) -> bool {
        self.is_drained() && self.stream.is_quiet()
    }

    /// Writes all of `parts`, in one system call as a rule; `limit` bounds the whole.
    ///
    /// # Errors
    /// [`SendError`]; the connection cannot be used any more.
    pub fn send(&mut self, parts: &mut [IoSlice<'_>], limit: Option<Duration>) -> Result<(), SendError> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        // Without a limit the kernel may wait; with one, it must not.
        let wait = if limit.is_some() { Wait::No } else { Wait::Yes };
        match self.stream.write(parts, wait) {
            Ok(written) if written == total => {
                self.count_sent(written);
                Ok(())
            }
            begun => self.send_rest(begun, parts, limit, wait),
        }
    }

    fn count_sent(&mut self, written: usize) {
        self.sent = self.sent.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
    }

    /// Goes on with `parts` where the first write did not take all of them.
    #[cold]
    fn send_rest(
        &mut self,
        begun: Result<usize, Errno>,
        mut parts: &mut [IoSlice<'_>],
        limit: Option<Duration>,
        wait: Wait,
    ) -> Result<(), SendError> {
        let (mut written, mut sent, mut deadline) = (begun, 0, None);
        loop {
            match written {
                Ok(written) => {
                    sent += written;
                    self.count_sent(written);
                    IoSlice::advance_slices(&mut parts, written);
                    if parts.is_empty() {
                        return Ok(());
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let until = *deadline.get_or_insert_with(|| limit.map(|limit| Instant::now() + limit));
                    match self.stream.wait_writable(until) {
                        Ok(true) => {}
                        Ok(false) => return Err(SendError { sent, cause: ErrorKind::TimedOut.into() }),
                        Err(cause) => return Err(SendError { sent, cause }),
                    }
                }
                Err(cause) => return Err(SendError { sent, cause: cause.into() }),
            }
            written = self.stream.write(parts, wait);
        }
    }

    /// Whether [`Self::receive`] would leave all bytes handed out by [`Self::next_packet`] where they are.
    pub fn keeps_packets(&self) -> bool {
        let room = self.buffer.len().saturating_sub(if self.is_drained() { self.end } else { self.start });
        room >= HEADER_LEN + self.max_payload
    }

    /// Bytes handed out by [`Self::next_packet`] are no longer looked at: their room may be used again.
    pub fn forget_packets(&mut self) {
        if self.is_drained() {
            self.start = 0;
            self.end = 0;
            if self.filled {
                self.grow();
            }
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.filled = false;
        if self.buffer.len() < GROWN_BUFFER {
            // Nothing in it is wanted any more.
            self.buffer = vec![0; GROWN_BUFFER];
        }
    }

    /// Waits until a whole packet is in the buffer, or the container pauses; `limit` bounds the wait for all of it. Bytes handed out before by
    /// [`Self::next_packet`] stay where they are while [`Self::keeps_packets`] says so.
    ///
    /// # Errors
    /// [`ReceiveError`]; the connection cannot be used any more.
    #[inline]
    pub fn receive(&mut self, limit: Option<Duration>) -> Result<Arrival, ReceiveError> {
        let rest = Rest { limit, deadline: limit.map(|limit| Instant::now() + limit) };
        if !self.is_drained() || !self.reads_are_short || limit.is_some_and(|limit| limit < PAUSE) {
            return self.receive_until(rest, Some(Instant::now() + PAUSE));
        }
        self.make_room();
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let room_left = room.len();
        match self.stream.read(room, Wait::Yes) {
            Ok(read) if read > 0 => {
                self.count_received(read, room_left);
                if self.has_packet()? {
                    Ok(Arrival::Packet)
                } else {
                    self.receive_until(rest, Some(Instant::now() + PAUSE))
                }
            }
            read => self.not_received(read, rest),
        }
    }

    /// The first read brought nothing.
    #[cold]
    fn not_received(&mut self, read: Result<usize, Errno>, rest: Rest) -> Result<Arrival, ReceiveError> {
        match read {
            // SO_RCVTIMEO, or a signal, after which nothing is lost by taking the pause for over.
            Err(Errno::AGAIN | Errno::INTR) => Ok(Arrival::Pause(rest)),
            read => Err(self.closed(read.err().map(io::Error::from))),
        }
    }

    /// Waits for the packet that [`Self::receive`] has not waited out.
    ///
    /// # Errors
    /// As there.
    #[cold]
    pub fn receive_rest(&mut self, rest: Rest) -> Result<(), ReceiveError> {
        self.receive_until(rest, None).map(|_| ())
    }

    /// The payload of the next whole packet in the buffer; `None` when there is none.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes cannot be a packet.
    pub fn next_packet(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        match split_packet(unread, self.max_payload)? {
            Some((payload, taken)) => {
                self.start += taken;
                Ok(Some(payload))
            }
            None => Ok(None),
        }
    }

    /// [`Self::next_packet`] for those who ask it why there is none.
    #[inline(always)]
    pub fn whole_packet(&mut self) -> Option<&[u8]> {
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        let (payload, taken) = whole_packet(unread, self.max_payload)?;
        self.start += taken;
        Some(payload)
    }

    /// Asks whether the container is alive and waits for the answer, at most `limit`. Nothing but exactly one CPong will do.
    ///
    /// # Errors
    /// [`ReceiveError`]; the connection cannot be used any more.
    pub fn cping(&mut self, limit: Duration) -> Result<(), ReceiveError> {
        self.begin_cping(limit)?;
        self.receive_rest(Rest { limit: Some(limit), deadline: Some(Instant::now() + limit) })?;
        self.take_cpong()
    }

    /// Asks whether the container is alive, and waits for room to do so at most `limit`; [`Self::poll_cpong`] tells the answer.
    ///
    /// # Errors
    /// [`ReceiveError`]; the connection cannot be used any more.
    pub fn begin_cping(&mut self, limit: Duration) -> Result<(), ReceiveError> {
        if !self.is_drained() {
            return Err(ReceiveError::Unexpected { code: self.unread().first().copied(), length: self.unread().len() });
        }
        self.send(&mut [IoSlice::new(&CPING)], Some(limit)).map_err(|error| ReceiveError::Send(error.cause))
    }

    /// Reads what is there of the answer; `None` while it is not complete.
    ///
    /// # Errors
    /// As [`Self::cping`].
    pub fn poll_cpong(&mut self) -> Option<Result<(), ReceiveError>> {
        loop {
            match self.has_packet() {
                Ok(true) => return Some(self.take_cpong()),
                Ok(false) => self.make_room(),
                Err(error) => return Some(Err(error)),
            }
            match self.stream.read(self.buffer.get_mut(self.end..).unwrap_or_default(), Wait::No) {
                Ok(0) => return Some(Err(self.closed(None))),
                Ok(read) => {
                    self.end += read;
                    self.received = self.received.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                }
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(cause) => return Some(Err(self.closed(Some(cause.into())))),
            }
        }
    }

    /// To be woken when [`Self::poll_cpong`] has something to read.
    pub(super) fn awaited(&self) -> Awaited<'_> {
        self.stream.awaited()
    }

    fn take_cpong(&mut self) -> Result<(), ReceiveError> {
        let waiting = self.unread().len();
        let (code, length) = match self.next_packet().map_err(ReceiveError::Frame)? {
            Some(payload) => (payload.first().copied(), payload.len()),
            None => (None, 0),
        };
        if code == Some(CPONG) && length == 1 && self.is_drained() {
            return Ok(());
        }
        Err(ReceiveError::Unexpected { code, length: waiting })
    }

    /// Waits with `poll` until a whole packet is there, or until `pause` if that comes before the deadline.
    fn receive_until(&mut self, rest: Rest, pause: Option<Instant>) -> Result<Arrival, ReceiveError> {
        let until = match (rest.deadline, pause) {
            (Some(deadline), Some(pause)) => Some(deadline.min(pause)),
            (deadline, pause) => deadline.or(pause),
        };
        while !self.has_packet()? {
            match self.stream.wait_readable(until) {
                Ok(true) => {}
                Ok(false) if until == rest.deadline => return Err(timed_out(rest.limit)),
                Ok(false) => return Ok(Arrival::Pause(rest)),
                Err(cause) => return Err(self.closed(Some(cause))),
            }
            self.make_room();
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            let room_left = room.len();
            match self.stream.read(room, Wait::No) {
                Ok(0) => return Err(self.closed(None)),
                Ok(read) => self.count_received(read, room_left),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(cause) => return Err(self.closed(Some(cause.into()))),
            }
        }
        Ok(Arrival::Packet)
    }

    /// `read` bytes came into `room` bytes behind `end`.
    fn count_received(&mut self, read: usize, room: usize) {
        self.filled |= read == room;
        self.end += read;
        self.received = self.received.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }

    fn has_packet(&self) -> Result<bool, ReceiveError> {
        split_packet(self.unread(), self.max_payload).map(|packet| packet.is_some()).map_err(ReceiveError::Frame)
    }

    /// Makes sure that the next packet, or the one that has begun, fits behind `start`; moves bytes only when it does not.
    #[inline]
    fn make_room(&mut self) {
        if self.end == 0 {
            // The buffer holds any packet.
            return;
        }
        let payload = match self.unread() {
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => self.max_payload,
        };
        if self.buffer.len() - self.start < HEADER_LEN + payload {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Fewer than four bytes are not yet a packet: C reports their loss as "no header" (reference: ajp-side.md section 7.2, E and F).
    fn closed(&self, cause: Option<io::Error>) -> ReceiveError {
        ReceiveError::Closed { inside_packet: self.unread().len() >= HEADER_LEN, cause }
    }
}

fn timed_out(limit: Option<Duration>) -> ReceiveError {
    ReceiveError::TimedOut { limit_ms: limit.map_or(0, millis) }
}

/// Whole milliseconds of `duration`.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    const PONG: [u8; 5] = [0x41, 0x42, 0x00, 0x01, 0x09];
    const SHORT: Option<Duration> = Some(Duration::from_millis(20));

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let socket = Stream::from(std::os::fd::OwnedFd::from(ours));
        (
            Connection::new(
                socket,
                "peer".into(),
                0,
                8192,
                &AjpShared::alone(crate::config::AjpSettings::default()).unwrap(),
            ),
            theirs,
        )
    }

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x41, 0x42];
        bytes.extend((payload.len() as u16).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn await_packet(ours: &mut Connection, limit: Option<Duration>) {
        if let Arrival::Pause(rest) = ours.receive(limit).unwrap() {
            ours.receive_rest(rest).unwrap();
        }
    }

    #[test]
    fn hands_out_all_packets_of_one_receive() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(&[packet(b"one"), packet(b""), packet(b"three")].concat()).unwrap();
        await_packet(&mut ours, None);
        assert_eq!(ours.next_packet(), Ok(Some(&b"one"[..])));
        assert_eq!(ours.next_packet(), Ok(Some(&b""[..])));
        assert_eq!(ours.next_packet(), Ok(Some(&b"three"[..])));
        assert_eq!(ours.next_packet(), Ok(None));
        assert!(ours.is_drained());
    }

    #[test]
    fn joins_a_packet_that_comes_in_pieces() {
        let (mut ours, mut theirs) = pair();
        let bytes = packet(&[7; 8192]);
        let writer = std::thread::spawn(move || {
            for piece in bytes.chunks(1000) {
                theirs.write_all(piece).unwrap();
            }
            theirs
        });
        await_packet(&mut ours, None);
        assert_eq!(ours.next_packet().unwrap().unwrap(), [7; 8192]);
        writer.join().unwrap();
    }

    #[test]
    fn keeps_packets_whole_across_many_refills() {
        let (mut ours, mut theirs) = pair();
        let writer = std::thread::spawn(move || {
            for n in 0..200_u32 {
                let size = 1 + (n as usize * 977) % 8192;
                theirs.write_all(&packet(&vec![n as u8; size])).unwrap();
            }
        });
        for n in 0..200_u32 {
            await_packet(&mut ours, Some(Duration::from_secs(60)));
            let payload = ours.next_packet().unwrap().unwrap();
            assert_eq!(payload.len(), 1 + (n as usize * 977) % 8192);
            assert!(payload.iter().all(|byte| *byte == n as u8));
        }
        writer.join().unwrap();
    }

    #[test]
    fn takes_more_at_a_time_once_a_container_has_sent_all_that_fitted() {
        let (mut ours, mut theirs) = pair();
        let lots = vec![packet(&[7; 8188]); 8].concat();
        let mut received = |ours: &mut Connection| {
            theirs.write_all(&lots).unwrap();
            let mut counts = Vec::new();
            while counts.iter().sum::<usize>() < lots.len() {
                await_packet(ours, None);
                counts.push(ours.take_byte_counts().0 as usize);
                while ours.next_packet().unwrap().is_some() {}
                ours.forget_packets();
            }
            counts
        };
        assert_eq!(received(&mut ours), [MIN_BUFFER, MIN_BUFFER]);
        assert_eq!(received(&mut ours), [lots.len()]);
    }

    #[test]
    fn times_out_on_silence_and_inside_a_packet() {
        let (mut ours, mut theirs) = pair();
        assert!(matches!(ours.receive(SHORT), Err(ReceiveError::TimedOut { limit_ms: 20 })));
        theirs.write_all(&[0x41, 0x42, 0x00]).unwrap();
        assert!(matches!(ours.receive(SHORT), Err(ReceiveError::TimedOut { limit_ms: 20 })));
    }

    #[test]
    fn tells_of_a_pause_between_and_inside_packets_and_waits_on() {
        let bytes = packet(b"late");
        for (limit, already) in [(None, 0), (Some(Duration::from_secs(60)), 3)] {
            let (mut ours, mut theirs) = pair();
            theirs.write_all(&bytes[..already]).unwrap();
            let Arrival::Pause(rest) = ours.receive(limit).unwrap() else { panic!("nobody has sent a packet") };
            theirs.write_all(&bytes[already..]).unwrap();
            ours.receive_rest(rest).unwrap();
            assert_eq!(ours.next_packet(), Ok(Some(&b"late"[..])));
        }
    }

    #[test]
    fn limit_bounds_the_pause_and_what_follows_together() {
        let (mut ours, _theirs) = pair();
        let limit = PAUSE + PAUSE;
        let Arrival::Pause(rest) = ours.receive(Some(limit)).unwrap() else { panic!("nobody has sent a packet") };
        assert_eq!(rest.limit, Some(limit));
        assert!(rest.deadline.unwrap() < Instant::now() + limit);
        assert!(matches!(ours.receive_rest(rest), Err(ReceiveError::TimedOut { limit_ms: 100 })));
        // With the limit anew this would take an hour.
        let over = Rest { limit: Some(Duration::from_secs(3_600)), deadline: Some(Instant::now()) };
        assert!(matches!(ours.receive_rest(over), Err(ReceiveError::TimedOut { limit_ms: 3_600_000 })));
    }

    #[test]
    fn tells_of_a_pause_when_the_next_packet_has_begun_behind_a_whole_one() {
        let (mut ours, mut theirs) = pair();
        let (first, second) = (packet(b"first"), packet(b"second"));
        theirs.write_all(&[&first[..], &second[..3]].concat()).unwrap();
        await_packet(&mut ours, None);
        assert_eq!(ours.next_packet(), Ok(Some(&b"first"[..])));
        let Arrival::Pause(rest) = ours.receive(None).unwrap() else { panic!("the second packet is not whole") };
        theirs.write_all(&second[3..]).unwrap();
        ours.receive_rest(rest).unwrap();
        assert_eq!(ours.next_packet(), Ok(Some(&b"second"[..])));
    }

    #[test]
    fn does_not_let_a_trickling_peer_stretch_the_deadline() {
        let (mut ours, theirs) = pair();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let trickle = std::thread::spawn(move || {
            let mut theirs = theirs;
            theirs.write_all(&[0x41, 0x42, 0x1F, 0xFF]).unwrap();
            // One byte every few milliseconds, always before the 20 ms are over, until the other side has given up.
            while stopped.recv_timeout(Duration::from_millis(3)).is_err() {
                if theirs.write_all(&[0]).is_err() {
                    break;
                }
            }
        });
        assert!(matches!(ours.receive(SHORT), Err(ReceiveError::TimedOut { .. })));
        stop.send(()).ok();
        trickle.join().unwrap();
    }

    #[test]
    fn tells_an_end_between_packets_from_one_inside() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(&[0x41, 0x42, 0x00]).unwrap();
        drop(theirs);
        assert!(matches!(ours.receive(None), Err(ReceiveError::Closed { inside_packet: false, cause: None })));
        let (mut ours, mut theirs) = pair();
        theirs.write_all(&[0x41, 0x42, 0x00, 0x05, 0x03]).unwrap();
        drop(theirs);
        assert!(matches!(ours.receive(None), Err(ReceiveError::Closed { inside_packet: true, cause: None })));
    }

    #[test]
    fn accepts_exactly_one_cpong() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(&PONG).unwrap();
        ours.cping(Duration::from_secs(60)).unwrap();
        let mut ping = [0; 5];
        theirs.read_exact(&mut ping).unwrap();
        assert_eq!(ping, CPING);
        assert!(ours.is_quiet());
    }

    #[test]
    fn refuses_every_other_answer_to_a_cping() {
        let long = packet(&[0x09, 0x00]);
        let end = packet(&[0x05, 0x01]);
        let twice = [PONG, PONG].concat();
        for answer in [&long[..], &end, &twice, &packet(b""), b"HTTP/1.1 400", &PONG[..3]] {
            let (mut ours, mut theirs) = pair();
            theirs.write_all(answer).unwrap();
            assert!(ours.cping(Duration::from_millis(20)).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn tells_a_cpong_without_waiting_once_it_is_complete() {
        let (mut ours, mut theirs) = pair();
        ours.begin_cping(Duration::from_secs(60)).unwrap();
        theirs.write_all(&PONG[..3]).unwrap();
        assert!(ours.poll_cpong().is_none());
        theirs.write_all(&PONG[3..]).unwrap();
        assert!(ours.poll_cpong().unwrap().is_ok());
        ours.begin_cping(Duration::from_secs(60)).unwrap();
        drop(theirs);
        assert!(ours.poll_cpong().unwrap().is_err());
    }

    #[test]
    fn is_quiet_only_while_open_and_without_waiting_bytes() {
        let (ours, mut theirs) = pair();
        assert!(ours.is_quiet());
        theirs.write_all(b"A").unwrap();
        assert!(!ours.is_quiet());
        let (ours, theirs) = pair();
        drop(theirs);
        assert!(!ours.is_quiet());
    }

    #[test]
    fn gives_up_a_send_that_nobody_reads() {
        let (mut ours, _theirs) = pair();
        let lots = vec![0_u8; 4 << 20];
        let error = ours.send(&mut [IoSlice::new(b"head"), IoSlice::new(&lots)], SHORT).unwrap_err();
        assert_eq!(error.cause.kind(), io::ErrorKind::TimedOut);
        assert!(error.sent > 4 && error.sent < lots.len());
    }

    #[test]
    fn sends_all_parts_in_order_however_slowly_they_are_read() {
        let (mut ours, mut theirs) = pair();
        let lots = vec![9_u8; 1 << 20];
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            all
        });
        ours.send(&mut [IoSlice::new(b"head"), IoSlice::new(&lots), IoSlice::new(b"tail")], None).unwrap();
        assert_eq!(ours.take_byte_counts(), (0, (1 << 20) + 8));
        drop(ours);
        assert_eq!(reader.join().unwrap(), [&b"head"[..], &lots, b"tail"].concat());
    }

    #[test]
    fn counts_itself_as_connected_while_it_lives() {
        let shared = AjpShared::alone(crate::config::AjpSettings::default()).unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let socket = Stream::from(std::os::fd::OwnedFd::from(ours));
        let connection = Connection::new(socket, "peer".into(), 0, 8192, &shared);
        assert_eq!(shared.connected(), 1);
        drop(connection);
        assert_eq!((shared.connected(), shared.max_connected()), (0, 1));
    }
}
