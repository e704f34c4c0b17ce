//! One request on one AJP worker: attempts, what is tried again, and what becomes of the connection.
//!
//! Not here: choosing a member (`balancer`), what follows what on the wire (`ajp::exchange`). The surprising thing: a pooled
//! connection that turns out dead costs neither an attempt nor a pause, as long as repeating the request is harmless.
//!
//! ```text
//!  service ---> encode (413) -> first body bytes (400) -> lease (503) -> busy_limit (503)
//!     |
//!     +-- attempt: connection from the pool, or a new one (probed)  -> send -> reply loop -> connection back
//!     |      | failed
//!     +------+ again, if `is_recoverable` and attempts are left
//! ```

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::{AddressBook, Resolved};
use super::clock::Moment;
use super::connection::{Connection, millis};
use super::error::{Class, Error, ReceiveError};
use super::pool::{Lease, Pool};
use super::shared::{AjpShared, Numbers};
use super::socket::{ConnectOptions, connect};
use super::{Downstream, Log, MemberContext, Request, say};
use crate::ajp::exchange::Progress;
use crate::ajp::request::{BODY_PREFIX_LEN, EncodeError, ForMember, body_prefix};
use crate::balancer::{Activation, State};
use crate::config::AjpConfig;
use crate::shm::{AjpEssentials, AjpSlot};

mod reply;
mod retry;
mod upkeep;

/// An AJP worker in this child: its configuration, what it shares with the other children, and its connections.
#[derive(Debug)]
pub struct AjpWorker {
    config: AjpConfig,
    shared: Arc<AjpShared>,
    pool: Pool,
    addresses: AddressBook,
    socket_timeout: Option<Duration>,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Status of the container's response.
    pub status: u16,
    /// The web server must write its own page with that status; nothing was passed on (`use_server_errors`).
    pub page: Option<Box<ServerErrorPage>>,
    /// Response body bytes passed on.
    pub body_bytes: u64,
    /// Attempts, this one included.
    pub attempts: u32,
    /// When the response was over.
    pub ended: Moment,
}

/// What goes with a page of the web server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerErrorPage {
    /// For 401: the last WWW-Authenticate of the container.
    pub www_authenticate: Option<Vec<u8>>,
}

/// A request that failed on this worker.
#[derive(Debug)]
pub struct Failure {
    /// Why, of the last attempt; on the heap, so that an answer stays small.
    pub error: Box<Error>,
    /// Attempts made.
    pub attempts: u32,
    /// How often the container may have received the whole request.
    pub delivered: u32,
    /// Another member may be tried.
    pub recoverable: bool,
    /// A part of the response had come.
    pub answered: bool,
}

/// How far one attempt came.
#[derive(Clone, Copy, Debug)]
struct Facts {
    progress: Progress,
    /// Body bytes that are not kept were read from the client, or a GetBodyChunk was answered.
    body_consumed: bool,
    /// The container may have the whole request.
    delivered: bool,
    /// At least one byte came back.
    answered: bool,
    /// The connection had served a request before.
    reused: bool,
}

impl Facts {
    fn new() -> Self {
        Self { progress: Progress::Sent, body_consumed: false, delivered: false, answered: false, reused: false }
    }
}

/// What one request counts.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    attempts: u32,
    delivered: u32,
    /// At least one byte of the last attempt's response came.
    answered: bool,
}

/// What stays the same during one request: the settings as they were at its start, and its log.
struct Scene<'a> {
    slot: &'a AjpSlot,
    essentials: AjpEssentials,
    limits: Limits,
    log: Log<'a>,
}

/// The times that bound one attempt.
#[derive(Clone, Copy, Debug)]
struct Limits {
    reply: Option<Duration>,
    /// For each write, and for each packet of the answer: whichever of reply and socket timeout is set, the shorter if both are.
    wait: Option<Duration>,
    max_packet_size: usize,
}

impl Limits {
    fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Data bytes of a body packet.
    fn body_data(&self) -> usize {
        self.max_packet_size.saturating_sub(BODY_PREFIX_LEN)
    }

    fn receive_error(&self, address: &str, error: ReceiveError) -> Error {
        let address = address.to_owned();
        match error {
            ReceiveError::Closed { inside_packet, cause } => Error::Closed { address, inside_packet, cause },
            ReceiveError::Frame(cause) => Error::BadFrame { address, cause },
            ReceiveError::TimedOut { limit_ms } if self.reply.is_some_and(|limit| millis(limit) == limit_ms) => {
                Error::ReplyTimeout { address, limit_ms }
            }
            ReceiveError::TimedOut { limit_ms } => Error::SocketTimeout { address, limit_ms },
            ReceiveError::Unexpected { .. } | ReceiveError::Send(_) => Error::Internal("probe error outside a probe"),
        }
    }
}

impl AjpWorker {
    /// A worker without connections. Call [`Self::resolve`] once before the first request.
    pub fn new(config: AjpConfig, shared: Arc<AjpShared>) -> Self {
        let pool = Pool::new(
            usize::try_from(config.connection_pool_size).unwrap_or(usize::MAX),
            usize::try_from(config.connection_pool_minsize).unwrap_or(usize::MAX),
            Duration::from_millis(config.connection_acquire_timeout_ms.into()),
        );
        let unix_socket = config.unix_socket.as_ref().map(Into::into);
        let addresses = AddressBook::new(unix_socket, config.prefer_ipv6, config.source.clone());
        let socket_timeout = duration_ms(config.socket_timeout_s.saturating_mul(1000));
        Self { config, shared, pool, addresses, socket_timeout }
    }

    /// Name of the worker.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Configuration of the worker; the settings in it are those of the start.
    pub fn config(&self) -> &AjpConfig {
        &self.config
    }

    /// What it shares with the other children.
    pub fn shared(&self) -> &Arc<AjpShared> {
        &self.shared
    }

    /// Its connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Looks the host name up, at start and after a change, so that no request has to.
    ///
    /// # Errors
    /// [`Error::Resolve`] or [`Error::ContactDisabled`]; the worker stays usable, requests get 503 until it succeeds.
    pub fn resolve(&self) -> Result<(), Error> {
        self.addresses.targets(&self.shared, Instant::now()).map(|_| ())
    }

    /// The address it connects to, when this child has looked it up; never asks the resolver.
    pub fn known_ip(&self) -> Option<std::net::IpAddr> {
        self.addresses.known_ip(&self.shared)
    }

    /// Sends `request` and passes the answer to `downstream`, in as many attempts as configured and allowed.
    ///
    /// # Errors
    /// [`Failure`]; when its error [aborts the client](Error::aborts_client), no error page may follow.
    pub fn service(
        &self,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        member: &MemberContext<'_>,
        log: Log<'_>,
    ) -> Result<Served, Failure> {
        // Always there, because the worker is in the plan of the shared memory.
        let Some(slot) = self.shared.slot() else {
            return Err(self.give_up(Error::ContactDisabled, Tally::default(), true, log));
        };
        let essentials = self.shared.essentials(slot);
        let scene = Scene { slot, limits: self.limits(&essentials, request), essentials, log };
        if let Err(error) = self.prepare(request, downstream, member, &scene) {
            slot.count_used(self.shared.now_s());
            return Err(self.give_up(error, Tally::default(), false, log));
        }
        let Some(mut lease) = self.pool.acquire() else {
            let (size, waited_ms) = (self.pool.size(), millis(self.pool.acquire_timeout()));
            return Err(self.give_up(Error::NoEndpoint { size, waited_ms }, Tally::default(), true, log));
        };
        slot.count_used(self.shared.now_s());
        let busy = self.shared.begin_request(slot);
        let limit = essentials.busy_limit;
        if limit > 0 && busy.total() > limit {
            return Err(self.give_up(Error::BusyLimit { limit }, Tally::default(), true, log));
        }
        if slot.state.get() == State::Error {
            slot.state.set(State::Probe);
        }
        let mut facts = Facts::new();
        match self.attempt(&mut lease, false, request, downstream, &scene, &mut facts) {
            Ok(served) => Ok(served),
            Err(error) => self.attempts_after(error, facts, &mut lease, request, downstream, &scene),
        }
    }

    /// What is done once, before any connection is taken: nothing of a request that is too large or whose body breaks off
    /// at once is sent.
    fn prepare(
        &self,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        member: &MemberContext<'_>,
        scene: &Scene<'_>,
    ) -> Result<(), Error> {
        self.encode(request, member, scene.limits.max_packet_size)?;
        request.body.prepare(scene.limits.body_data(), downstream).map_err(|_| Error::ClientRead)
    }

    /// The first attempt failed with `error`: further ones, as many as configured and allowed.
    #[cold]
    fn attempts_after(
        &self,
        error: Error,
        facts: Facts,
        lease: &mut Lease<'_>,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        scene: &Scene<'_>,
    ) -> Result<Served, Failure> {
        let (name, log, numbers) = (self.name(), scene.log, self.shared.numbers());
        let (options, retries, pause) = (numbers.recovery_options, numbers.retries, numbers.retry_interval_ms);
        let idempotent = request.is_idempotent();
        let (mut tally, mut only_new) = (Tally { attempts: 1, ..Tally::default() }, false);
        let (mut outcome, mut facts): (Result<Served, Error>, Facts) = (Err(error), facts);
        loop {
            tally.delivered += u32::from(facts.delivered);
            tally.answered = facts.answered;
            let error = match outcome {
                Ok(mut served) => {
                    served.attempts = tally.attempts;
                    return Ok(served);
                }
                Err(error) => error,
            };
            if !only_new && retry::is_free(&error, &facts, idempotent, options) {
                say!(log, Debug, "({name}) {error}; the pooled connection was stale, opening a new one");
                only_new = true;
                facts = Facts::new();
                outcome = self.attempt_again(lease, only_new, request, downstream, scene, &mut facts);
                continue;
            }
            self.shared.count_failure(error.failing());
            if error.class() == Class::ReplyTimeout {
                self.shared.count_reply_timeout();
            }
            let recoverable = retry::is_recoverable(&error, &facts, request.method, idempotent, options);
            if !recoverable || tally.attempts >= retries {
                let error = if downstream.committed() { commit(error) } else { error };
                return Err(self.give_up(error, tally, recoverable, log));
            }
            let attempt = tally.attempts;
            say!(log, Info, "({name}) attempt {attempt} of {retries} failed: {error}; trying again in {pause} ms");
            std::thread::sleep(Duration::from_millis(pause.into()));
            self.shared.count_retry();
            tally.attempts += 1;
            // The other idle connections lead to the same silence; a new one can be probed, or refused.
            only_new = error.class() == Class::ReplyTimeout;
            facts = Facts::new();
            outcome = self.attempt_again(lease, only_new, request, downstream, scene, &mut facts);
        }
    }

    /// A copy of [`Self::attempt`] for the attempts after the first, which has it in line.
    #[inline(never)]
    fn attempt_again(
        &self,
        lease: &mut Lease<'_>,
        only_new: bool,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        scene: &Scene<'_>,
        facts: &mut Facts,
    ) -> Result<Served, Error> {
        self.attempt(lease, only_new, request, downstream, scene, facts)
    }

    /// Closes idle connections; requests in progress finish, new ones get 503.
    pub fn shut_down(&self) {
        self.pool.close();
    }

    fn limits(&self, essentials: &AjpEssentials, request: &Request<'_>) -> Limits {
        let reply_ms = request.overrides.reply_timeout_ms.unwrap_or(essentials.reply_timeout_ms);
        let reply = duration_ms(reply_ms);
        let wait = match (reply, self.socket_timeout) {
            (Some(reply), Some(socket)) => Some(reply.min(socket)),
            (reply, socket) => reply.or(socket),
        };
        Limits {
            reply,
            wait,
            max_packet_size: usize::try_from(essentials.max_packet_size).unwrap_or(crate::ajp::MIN_PACKET_SIZE),
        }
    }

    fn encode(&self, request: &mut Request<'_>, member: &MemberContext<'_>, limit: usize) -> Result<(), Error> {
        let activation: &[u8] = match member.activation {
            Activation::Active => b"ACT",
            Activation::Disabled => b"DIS",
            Activation::Stopped => b"STP",
        };
        let member = ForMember {
            secret: self.config.secret.as_deref().map(str::as_bytes).or(member.secret),
            route: member.route,
            activation: Some(activation),
        };
        let packet = request.packet.longer_room(limit);
        let head = std::mem::take(&mut request.packet_head);
        let encoded = request.forward.encode_for(&member, packet, limit, head);
        let encoded = encoded.map_err(|error| too_large(error, limit))?;
        request.packet_head = encoded.head;
        request.packet_length = encoded.length;
        Ok(())
    }

    /// One attempt; the connection goes back to the lease when it may be used again.
    #[inline(always)]
    fn attempt(
        &self,
        lease: &mut Lease<'_>,
        only_new: bool,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        scene: &Scene<'_>,
        facts: &mut Facts,
    ) -> Result<Served, Error> {
        let mut connection = self.connection(lease, only_new, scene)?;
        facts.reused = connection.is_used();
        let started = Moment::now();
        let outcome = match self.send(&mut connection, request, &scene.limits, facts) {
            Ok(()) => {
                let reply = reply::Reply::new(self, scene, started);
                reply.run(&mut connection, request, downstream, facts)
            }
            Err(error) => Err(error),
        };
        let (read, transferred) = connection.take_byte_counts();
        facts.answered = read > 0;
        let (served, keep) = match outcome {
            Ok(answered) => answered,
            Err(error) => {
                self.shared.count_bytes(read, transferred);
                return Err(error);
            }
        };
        scene.slot.record_response(served.ended.nanos_since(started), read, transferred);
        if !keep || request.options.disable_reuse || !connection.is_drained() {
            return Ok(served);
        }
        connection.mark_used();
        lease.keep(connection, served.ended);
        Ok(served)
    }

    /// A usable connection: an idle one that is alive, or a new one; probed as configured.
    #[inline(always)]
    fn connection(&self, lease: &mut Lease<'_>, only_new: bool, scene: &Scene<'_>) -> Result<Connection, Error> {
        let AjpEssentials { port, address_sequence, prepost_timeout_ms, .. } = scene.essentials;
        if port == 0 && self.config.unix_socket.is_none() {
            return Err(Error::ContactDisabled);
        }
        while !only_new && let Some(mut connection) = lease.take(address_sequence) {
            connection.set_max_packet_size(scene.limits.max_packet_size);
            if prepost_timeout_ms == 0 {
                if connection.is_quiet() {
                    return Ok(connection);
                }
                self.drop_stray(&connection, scene.log);
                continue;
            }
            match self.cping(&mut connection, prepost_timeout_ms, false) {
                Ok(()) => return Ok(connection),
                Err(error) => {
                    say!(scene.log, Info, "({}) {error}; dropping the idle connection", self.name());
                    // The other idle ones would cost the user as long each; a new one tells for all.
                    if matches!(error, Error::Probe { cause: ReceiveError::TimedOut { .. }, .. }) {
                        break;
                    }
                }
            }
        }
        self.new_connection(scene.log)
    }

    #[cold]
    fn drop_stray(&self, connection: &Connection, log: Log<'_>) {
        let (name, address) = (self.name(), connection.address());
        say!(log, Debug, "({name}) idle connection to {address} is closed or has stray bytes, dropped");
    }

    #[cold]
    fn new_connection(&self, log: Log<'_>) -> Result<Connection, Error> {
        let numbers = self.shared.numbers();
        let mut connection = self.open(&numbers, Some(log))?;
        let probe_ms =
            if numbers.connect_timeout_ms > 0 { numbers.connect_timeout_ms } else { numbers.prepost_timeout_ms };
        if probe_ms > 0 {
            self.cping(&mut connection, probe_ms, true)?;
        }
        Ok(connection)
    }

    fn open(&self, numbers: &Numbers, log: Option<Log<'_>>) -> Result<Connection, Error> {
        let resolved = self.addresses.targets(&self.shared, Instant::now())?;
        let options = self.connect_options(numbers, &resolved);
        let connected = connect(&resolved.targets, &options).map_err(|cause| {
            let address = resolved.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Error::Connect { address, cause }
        })?;
        if let (Some(cause), Some(log)) = (&connected.source_error, log) {
            let source = self.config.source.as_deref().unwrap_or_default();
            say!(log, Warn, "({}) connected without the source address '{source}': {cause}", self.name());
        }
        let max_packet_size = usize::try_from(numbers.max_packet_size).unwrap_or(crate::ajp::MIN_PACKET_SIZE);
        let address = connected.target.to_string().into();
        Ok(Connection::new(connected.stream, address, resolved.sequence, max_packet_size, &self.shared))
    }

    fn connect_options(&self, numbers: &Numbers, resolved: &Resolved) -> ConnectOptions {
        let buffer = self.config.socket_buffer;
        ConnectOptions {
            timeout: duration_ms(self.config.socket_connect_timeout_ms),
            keepalive: self.config.socket_keepalive,
            buffer: usize::try_from(if buffer > 0 { buffer.max(numbers.max_packet_size) } else { 0 }).unwrap_or(0),
            source: resolved.source.to_vec(),
        }
    }

    fn cping(&self, connection: &mut Connection, limit_ms: u32, fresh: bool) -> Result<(), Error> {
        let outcome = connection.cping(Duration::from_millis(limit_ms.into()));
        let (read, transferred) = connection.take_byte_counts();
        self.shared.count_bytes(read, transferred);
        match outcome {
            Ok(()) => {
                self.shared.note_cpong();
                Ok(())
            }
            Err(cause) => Err(Error::Probe { address: connection.address().to_owned(), fresh, cause }),
        }
    }

    /// Sends the request and, for a body of known length, its first packet, together.
    #[inline(always)]
    fn send(
        &self,
        connection: &mut Connection,
        request: &mut Request<'_>,
        limits: &Limits,
        facts: &mut Facts,
    ) -> Result<(), Error> {
        let head = request.packet.bytes(request.packet_length);
        let sent = if request.body.has_first_packet() {
            let data = request.body.first_packet(limits.body_data());
            let prefix = body_prefix(u16::try_from(data.len()).unwrap_or(0));
            connection.send(&mut [IoSlice::new(head), IoSlice::new(&prefix), IoSlice::new(data)], limits.wait())
        } else {
            connection.send(&mut [IoSlice::new(head)], limits.wait())
        };
        facts.delivered = sent.as_ref().map_or_else(|error| error.sent >= head.len(), |()| true);
        sent.map_err(|error| Error::Send {
            address: connection.address().to_owned(),
            sent: error.sent,
            body: false,
            cause: error.cause,
        })
    }

    /// Counts and logs a final failure (reference: ajp-side.md section 7.2, section 7.5).
    fn give_up(&self, error: Error, tally: Tally, recoverable: bool, log: Log<'_>) -> Failure {
        let (name, Tally { attempts, delivered, answered }) = (self.name(), tally);
        if attempts == 0 {
            self.shared.count_failure(error.failing());
        }
        let (mut errors, mut client_errors) = (self.shared.errors(), self.shared.client_errors());
        match error.class() {
            Class::ClientError => client_errors = self.shared.count_client_error(),
            Class::NoEndpoint | Class::ServerError => {}
            _ => errors = self.shared.count_error(),
        }
        match error.class() {
            Class::ClientError if attempts > 0 => self.shared.set_state(State::Ok),
            Class::ClientError | Class::ServerError | Class::BusyLimit | Class::NoEndpoint => {}
            _ => self.shared.set_state(State::Error),
        }
        match &error {
            Error::TooLarge { limit, .. } if *limit == crate::ajp::MAX_STRING => say!(log, Error, "({name}) {error}"),
            Error::TooLarge { .. } => {
                say!(log, Error, "({name}) {error}; a larger max_packet_size here and packetSize in Tomcat may help");
            }
            Error::ClientRead | Error::ClientWrite => say!(log, Info, "({name}) request failed: {error}"),
            Error::NoEndpoint { .. } | Error::BusyLimit { .. } => {
                say!(log, Error, "({name}) could not get endpoint: {error}")
            }
            _ => say!(
                log,
                Error,
                "({name}) request failed with {} after {attempts} attempts, delivered {delivered} times: {error}{} \
                 (errors={errors}, client_errors={client_errors})",
                error.http_status(),
                hint(&error)
            ),
        }
        Failure { error: Box::new(error), attempts, delivered, recoverable, answered }
    }
}

/// What else may be the reason, where the admin would look in the wrong place.
fn hint(error: &Error) -> &'static str {
    match error {
        // Tomcat drops such a response without a word (reference: ajp-side.md section 11.6, row 132).
        Error::ReplyTimeout { .. } => "; if only this URI does it, its response headers may exceed Tomcat's packetSize",
        _ => "",
    }
}

/// Client faults cut the client's connection anyway.
fn commit(error: Error) -> Error {
    if error.aborts_client() { error } else { Error::Committed(Box::new(error)) }
}

fn duration_ms(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

#[cold]
fn too_large(error: EncodeError, limit: usize) -> Error {
    match error {
        EncodeError::TooLarge { item, length } => Error::TooLarge { item, length, limit },
        EncodeError::StringTooLong { item, length } => Error::TooLarge { item, length, limit: crate::ajp::MAX_STRING },
    }
}
