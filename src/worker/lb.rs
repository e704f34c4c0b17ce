//! A load balancer: snapshot of its members, choice, attempt on the chosen one, next choice (reference: lb-shm-status.md section 2.9).
//!
//! Not here: whom to choose (`balancer`), the attempt itself (`ajp.rs`). The surprising thing: each request works on its own copy of the
//! members' states; a member that failed this request is in error in the copy, whatever the others think of it.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use smallvec::SmallVec;

use super::ajp::{AjpWorker, Failure, Served};
use super::error::{Class, Error};
use super::shared::Shared;
use super::{Downstream, Log, MemberContext, Request, say};
use crate::balancer::maintenance::{self, Schedule, Upkeep};
use crate::balancer::method::decay_exponent;
use crate::balancer::session::{self, SessionIds};
use crate::balancer::state::{Health, Outcome};
use crate::balancer::{self, Activation, Choice, MemberView, Method, NoMember, RouteSent, Selection, State};
use crate::config::{LbConfig, LbSettings};
use crate::shm::{MemberSlot, MemberText, Text};

/// Members of one balancer whose views are kept without a heap allocation.
const INLINE_MEMBERS: usize = 16;

/// A load balancer in this child.
#[derive(Debug)]
pub struct LbWorker {
    config: LbConfig,
    shared: Arc<Shared>,
    /// Index of the balancer's slot.
    lb: usize,
    members: Vec<Member>,
    /// Where the next walk over the members starts, in this process.
    next_offset: AtomicU32,
}

/// One member.
#[derive(Debug)]
struct Member {
    /// Index of the member's slot.
    slot: usize,
    worker: Arc<AjpWorker>,
}

/// A rule's activation of a member, by the member's name.
pub type ActivationOf<'a> = Box<dyn Fn(&[u8]) -> Option<Activation> + 'a>;

/// What a request tells its balancer (reference: lb-shm-status.md section 2.6, apache-side.md section 3.6).
#[derive(Default)]
pub struct Balance<'a> {
    /// Environment variable JK_ROUTE; empty = not set.
    pub forced_route: &'a [u8],
    /// Path of the request, decoded, with path parameters.
    pub path: &'a [u8],
    /// Values of the Cookie headers.
    pub cookies: &'a [&'a [u8]],
    /// The session is not looked at.
    pub sticky_ignore: bool,
    /// The request creates no session.
    pub stateless: bool,
    /// Rule's name of the session cookie.
    pub session_cookie: Option<&'a [u8]>,
    /// Rule's name of the path parameter.
    pub session_path: Option<&'a [u8]>,
    /// The rule wants a cookie set.
    pub set_session_cookie: bool,
    /// Rule's PATH of that cookie.
    pub session_cookie_path: Option<&'a [u8]>,
    /// The client speaks TLS.
    pub secure: bool,
    /// The rule's activation of a member, by name.
    pub activation_of: Option<ActivationOf<'a>>,
}

/// What a balancer answers.
#[derive(Debug)]
pub struct Answer {
    /// The result of the last attempt.
    pub result: Result<Served, Failure>,
    /// The member of the first attempt, after it.
    pub first: Option<MemberReport>,
    /// The member of the last attempt, at the end.
    pub last: Option<MemberReport>,
    route: Option<Text>,
}

impl Answer {
    /// Route that the container was told last.
    pub fn route(&self) -> Option<&[u8]> {
        self.route.as_ref().map(Text::as_bytes).filter(|route| !route.is_empty())
    }
}

/// Facts about a member for the request notes (reference: lb-shm-status.md section 2.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// Its name.
    pub name: Vec<u8>,
    /// Accumulated load.
    pub value: u64,
    /// Elections of its AJP worker.
    pub accessed: u64,
    /// Elections without a session.
    pub sessions: u64,
    /// Bytes received from it.
    pub read: u64,
    /// Bytes sent to it.
    pub transferred: u64,
    /// Failures counted against it.
    pub errors: u64,
    /// Requests in progress.
    pub busy: u64,
    /// Activation as this request saw it.
    pub activation: Activation,
    /// Its state.
    pub state: State,
}

type Views = SmallVec<[MemberView; INLINE_MEMBERS]>;

/// The state of one request's way through the balancer.
struct Run<'r> {
    balance: &'r Balance<'r>,
    settings: LbSettings,
    log: Log<'r>,
    views: Views,
    sessions: SessionIds<'r>,
    /// Recovery was forced once already.
    forced: bool,
    /// Attempts in this round.
    attempt: u32,
    /// Rounds.
    round: u32,
}

impl LbWorker {
    /// A balancer over `members`, in the order of their slots.
    pub fn new(config: LbConfig, shared: Arc<Shared>, lb: usize, workers: Vec<Arc<AjpWorker>>) -> Self {
        let slots = shared.region.plan().members_of(lb);
        let members = slots.zip(workers).map(|(slot, worker)| Member { slot, worker }).collect();
        Self { config, shared, lb, members, next_offset: AtomicU32::new(0) }
    }

    /// Name of the balancer.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its configuration; the settings in it are those of the start.
    pub fn config(&self) -> &LbConfig {
        &self.config
    }

    /// Sends `request` to a member, and to others while that fails and is allowed.
    pub fn service(
        &self,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        balance: &Balance<'_>,
        log: Log<'_>,
    ) -> Answer {
        let _busy = self.shared.region.enter_lb(self.shared.child(), self.lb);
        self.release_busy();
        let settings = self.shared.region.lb(self.lb).map(crate::shm::LbSlot::settings).unwrap_or_default();
        let sessions = self.sessions(&settings, balance, log);
        let views = self.views(balance);
        let mut run = Run { balance, settings, log, views, sessions, forced: false, attempt: 0, round: 0 };
        self.rounds(&mut run, request, downstream)
    }

    fn rounds(&self, run: &mut Run<'_>, request: &mut Request<'_>, downstream: &mut dyn Downstream) -> Answer {
        let mut answer = Answer { result: Err(nobody()), first: None, last: None, route: None };
        let mut last_member = None;
        loop {
            if !self.has_attempt_left(run) {
                say!(
                    run.log,
                    Info,
                    "({}) All tomcat instances failed, no more workers left (attempt={}, retry={})",
                    self.name(),
                    run.attempt,
                    run.round
                );
                break;
            }
            let choice = match self.elect(run) {
                Ok(choice) => choice,
                Err(reason) => {
                    if !run.forced && self.force_recovery(run) {
                        continue;
                    }
                    self.explain_nobody(reason, run);
                    answer.result = Err(nobody());
                    run.attempt = run.attempt.saturating_add(1);
                    last_member = None;
                    continue;
                }
            };
            let Some(member) = self.members.get(choice.index) else { break };
            let route = self.route(member, choice);
            answer.route = Some(route);
            answer.result = self.attempt(run, member, choice, &route, request, downstream);
            last_member = Some((member, choice.index));
            if answer.first.is_none() {
                answer.first = Some(self.report(member, choice.index, run));
            }
            match &answer.result {
                Err(failure) if failure.recoverable && !downstream.committed() => {
                    run.attempt = run.attempt.saturating_add(1)
                }
                Err(failure) => {
                    let status = failure.error.http_status();
                    say!(
                        run.log,
                        Error,
                        "({}) unrecoverable error {status}, request failed. Last member: {}",
                        self.name(),
                        member.worker.name()
                    );
                    break;
                }
                Ok(_) => break,
            }
        }
        if let Err(failure) = &answer.result
            && (failure.recoverable || failure.attempts == 0)
        {
            let (name, error) = (self.name(), &failure.error);
            say!(run.log, Error, "({name}) All tomcat instances failed, no more workers left: {error}");
        }
        downstream.queue_header(None);
        answer.last = last_member.map(|(member, index)| self.report(member, index, run));
        answer
    }

    /// Starts another round when this one is used up (reference: lb-shm-status.md section 2.9).
    fn has_attempt_left(&self, run: &mut Run<'_>) -> bool {
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        if run.attempt < members && run.attempt < self.config.lb_retries.max(1) {
            return true;
        }
        run.round = run.round.saturating_add(1);
        if run.round >= run.settings.retries {
            return false;
        }
        std::thread::sleep(Duration::from_millis(run.settings.retry_interval_ms.into()));
        run.views = self.views(run.balance);
        run.attempt = 0;
        true
    }

    fn elect(&self, run: &mut Run<'_>) -> Result<Choice, NoMember> {
        let _held = match run.settings.lock {
            balancer::Lock::Pessimistic => self.shared.region.lock().ok(),
            balancer::Lock::Optimistic => None,
        };
        let selection = Selection {
            session_ids: run.sessions.bytes(),
            sticky_force: run.settings.sticky_session_force,
            stateless: run.balance.stateless,
        };
        let choice = balancer::choose(&run.views, &Texts(self), &selection, &self.next_offset)?;
        if let (Some(view), Some(slot)) = (run.views.get_mut(choice.index), self.slot(choice.index)) {
            if view.state == State::Recover {
                slot.state.change(State::Recover, State::Probe);
                view.state = State::Probe;
            }
            let new_session = selection.session_ids.is_none() && !run.balance.stateless;
            let step = run.settings.method.value_after_election(0, view.multiplier, new_session);
            slot.value.add(step);
            if new_session {
                slot.sessions.add(1);
            }
        }
        Ok(choice)
    }

    /// One election: the attempt on the member, and what it means for everybody.
    fn attempt(
        &self,
        run: &mut Run<'_>,
        member: &Member,
        choice: Choice,
        route: &Text,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
    ) -> Result<Served, Failure> {
        let Some(view) = run.views.get(choice.index).copied() else { return Err(nobody()) };
        downstream.queue_header(self.session_cookie(run, choice, route).as_deref());
        let forced = (!run.balance.forced_route.is_empty()).then_some(run.balance.forced_route);
        let context = MemberContext {
            route: forced.or(Some(route.as_bytes()).filter(|route| !route.is_empty())),
            activation: view.activation,
            secret: None,
        };
        let shared = member.worker.shared();
        let before = (shared.read(), shared.transferred());
        let result = member.worker.service(request, downstream, &context, run.log);
        let bytes = match run.settings.method {
            Method::Traffic => {
                shared.read().saturating_sub(before.0).saturating_add(shared.transferred().saturating_sub(before.1))
            }
            _ => 0,
        };
        self.settle(run, member, choice.index, view.multiplier, bytes, &result);
        result
    }

    /// Stores what the outcome means (reference: lb-shm-status.md section 2.9, "Result of an election").
    fn settle(
        &self,
        run: &mut Run<'_>,
        member: &Member,
        index: usize,
        multiplier: u64,
        bytes: u64,
        result: &Result<Served, Failure>,
    ) {
        let Some(slot) = self.shared.region.member(member.slot) else { return };
        match run.settings.method {
            Method::Traffic => slot.value.add(bytes.saturating_mul(multiplier)),
            Method::Busyness => slot.value.subtract(multiplier),
            Method::Request | Method::Sessions | Method::Next => {}
        }
        let outcome = self.outcome(run, member, result);
        if outcome == Outcome::NoEndpoint && run.settings.method == Method::Request {
            // The election is counted when a connection was there.
            slot.value.subtract(multiplier);
        }
        let health = Health {
            state: slot.state.get(),
            first_error_s: slot.first_error_time.get(),
            last_error_s: slot.last_error_time.get(),
        };
        let verdict = health.after(outcome, self.shared.now_s(), run.settings.error_escalation_time_s);
        if verdict.shared != health {
            slot.state.set(verdict.shared.state);
            slot.first_error_time.set(verdict.shared.first_error_s);
            slot.last_error_time.set(verdict.shared.last_error_s);
        }
        if verdict.counts_as_error {
            slot.errors.add(1);
        }
        if let Some(view) = run.views.get_mut(index) {
            view.state = verdict.local;
        }
        if let Err(failure) = result {
            let (name, member) = (self.name(), member.worker.name());
            if verdict.is_local_error() {
                say!(
                    run.log,
                    Info,
                    "({name}) service failed, worker {member} is in local error state: {}",
                    failure.error
                );
            } else if verdict.shared.state == State::Error {
                say!(run.log, Info, "({name}) service failed, worker {member} is in error state: {}", failure.error);
            }
        }
    }

    fn outcome(&self, run: &Run<'_>, member: &Member, result: &Result<Served, Failure>) -> Outcome {
        let Err(failure) = result else { return Outcome::Success };
        let shared = member.worker.shared();
        match failure.error.class() {
            Class::ClientError => Outcome::ClientError,
            Class::SoftStatus => Outcome::SoftStatus,
            Class::HardStatus => Outcome::HardStatus,
            Class::BusyLimit => Outcome::BusyLimit,
            Class::NoEndpoint => Outcome::NoEndpoint,
            Class::ReplyTimeout => Outcome::ReplyTimeout {
                over_limit: shared.reply_timeouts() > u64::from(run.settings.max_reply_timeouts),
            },
            Class::ProtocolError => Outcome::ProtocolError,
            Class::ServerError => Outcome::ServerError,
            Class::Failure => Outcome::Failure { alone: shared.busy() == 0 },
        }
    }

    fn sessions<'r>(&'r self, settings: &LbSettings, balance: &'r Balance<'r>, log: Log<'_>) -> SessionIds<'r> {
        if !settings.sticky_session || balance.sticky_ignore {
            return SessionIds::Absent;
        }
        let lookup = session::Lookup {
            forced_route: balance.forced_route,
            path: balance.path,
            path_name: balance.session_path.unwrap_or(self.config.session_path.as_bytes()),
            cookie_name: balance.session_cookie.unwrap_or(self.config.session_cookie.as_bytes()),
        };
        let found = session::session_ids(&lookup, balance.cookies.iter().copied());
        if matches!(found, SessionIds::Empty) {
            say!(log, Info, "({}) Detected empty session identifier.", self.name());
        }
        found
    }

    fn session_cookie(&self, run: &Run<'_>, choice: Choice, route: &Text) -> Option<Vec<u8>> {
        let balance = run.balance;
        if choice.sticky || !(self.config.set_session_cookie || balance.set_session_cookie) {
            return None;
        }
        let name =
            balance.session_cookie.map_or_else(|| self.config.session_cookie.as_str().into(), String::from_utf8_lossy);
        let path = balance
            .session_cookie_path
            .map_or_else(|| self.config.session_cookie_path.as_str().into(), String::from_utf8_lossy);
        Some(session::session_cookie_header(&name, route.as_bytes(), &path, balance.secure))
    }

    fn route(&self, member: &Member, choice: Choice) -> Text {
        let which = match choice.route {
            RouteSent::Member => MemberText::Route,
            RouteSent::Domain => MemberText::Domain,
        };
        self.shared.region.member(member.slot).map(|slot| slot.text(which)).unwrap_or_default()
    }

    fn slot(&self, index: usize) -> Option<&MemberSlot> {
        self.shared.region.member(self.members.get(index)?.slot)
    }

    /// A copy of all members; the rule's activations replace theirs.
    fn views(&self, balance: &Balance<'_>) -> Views {
        let mut views = Views::with_capacity(self.members.len());
        for member in &self.members {
            let Some(mut view) = self.shared.region.view(member.slot) else { continue };
            if let Some(activation) = balance.activation_of.as_ref().and_then(|of| of(member.worker.name().as_bytes()))
            {
                view.activation = activation;
            }
            views.push(view);
        }
        views
    }

    /// A busy member is given work again as soon as it has room (reference: lb-shm-status.md section 2.11).
    fn release_busy(&self) {
        for member in &self.members {
            let Some(slot) = self.shared.region.member(member.slot) else { continue };
            if slot.state.get() != State::Busy {
                continue;
            }
            let shared = member.worker.shared();
            let limit = shared.numbers().busy_limit;
            if (limit == 0 || shared.busy() < limit) && member.worker.pool().has_room() {
                slot.state.change(State::Busy, State::Ok);
            }
        }
    }

    /// Nobody is left: everybody in error gets one more chance, once per request.
    fn force_recovery(&self, run: &mut Run<'_>) -> bool {
        run.forced = true;
        let mut changed: u32 = 0;
        for (index, member) in self.members.iter().enumerate() {
            let Some(slot) = self.shared.region.member(member.slot) else { continue };
            if slot.state.get() == State::Error {
                slot.state.change(State::Error, State::Forced);
                member.worker.shared().reset_reply_timeouts();
                if let Some(view) = run.views.get_mut(index) {
                    view.state = State::Forced;
                }
                changed = changed.saturating_add(1);
            }
        }
        if changed > 0 {
            say!(run.log, Info, "({}) Forcing recovery once for {changed} workers", self.name());
        }
        changed > 0
    }

    fn explain_nobody(&self, reason: NoMember, run: &Run<'_>) {
        match reason {
            NoMember::SessionForced => {
                let ids = String::from_utf8_lossy(run.sessions.bytes().unwrap_or_default()).into_owned();
                say!(run.log, Info, "({}) all workers are in error state for session {ids}", self.name());
            }
            NoMember::NoneUsable => {
                say!(run.log, Info, "({}) All tomcat instances are busy or in error state", self.name())
            }
        }
    }

    fn report(&self, member: &Member, index: usize, run: &Run<'_>) -> MemberReport {
        let shared = member.worker.shared();
        let slot = self.shared.region.member(member.slot);
        MemberReport {
            name: member.worker.name().as_bytes().to_vec(),
            value: slot.map_or(0, |slot| slot.value.get()),
            accessed: shared.used(),
            sessions: slot.map_or(0, |slot| slot.sessions.get()),
            read: shared.read(),
            transferred: shared.transferred(),
            errors: slot.map_or(0, |slot| slot.errors.get()),
            busy: u64::from(shared.busy()),
            activation: run.views.get(index).map_or(Activation::Active, |view| view.activation),
            state: slot.map_or(State::Error, |slot| slot.state.get()),
        }
    }

    /// The part of maintenance that one child does for all (reference: lb-shm-status.md section 2.10).
    pub fn maintain(&self, now_s: u64, maintain_s: u32, log: Log<'_>) {
        let (Some(lb), Ok(_held)) = (self.shared.region.lb(self.lb), self.shared.region.lock()) else { return };
        let settings = lb.settings();
        let schedule = Schedule {
            method: settings.method,
            now_s,
            exponent: decay_exponent(now_s, lb.last_maintain_time.get(), maintain_s),
            recover_time_s: settings.recover_time_s,
            error_escalation_time_s: settings.error_escalation_time_s,
        };
        lb.last_maintain_time.set(now_s);
        let before: SmallVec<[Upkeep; INLINE_MEMBERS]> =
            self.members.iter().map(|member| self.upkeep(member)).collect();
        let mut after = before.clone();
        let forced = maintenance::maintain(&mut after, &schedule);
        for ((member, before), after) in self.members.iter().zip(&before).zip(&after) {
            self.store(member, before, after, log);
        }
        if forced > 0 {
            say!(log, Info, "({}) Forcing recovery once for {forced} workers", self.name());
        }
    }

    fn upkeep(&self, member: &Member) -> Upkeep {
        let shared = member.worker.shared();
        let Some(slot) = self.shared.region.member(member.slot) else { return Upkeep::default() };
        Upkeep {
            health: Health {
                state: slot.state.get(),
                first_error_s: slot.first_error_time.get(),
                last_error_s: slot.last_error_time.get(),
            },
            activation: slot.activation(),
            value: slot.value.get(),
            reply_timeouts: u32::try_from(shared.reply_timeouts()).unwrap_or(u32::MAX),
            used: shared.used(),
            used_before: slot.elected_snapshot.get(),
            held: false,
        }
    }

    fn store(&self, member: &Member, before: &Upkeep, after: &Upkeep, log: Log<'_>) {
        let Some(slot) = self.shared.region.member(member.slot) else { return };
        if before.health.state != after.health.state && slot.state.change(before.health.state, after.health.state) {
            let (name, member) = (self.name(), member.worker.name());
            let (old, new) = (before.health.state.text(), after.health.state.text());
            if matches!(after.health.state, State::Idle) || matches!(before.health.state, State::Idle) {
                say!(log, Debug, "({name}) worker {member} goes from {old} to {new}");
            } else {
                say!(log, Info, "({name}) worker {member} goes from {old} to {new}");
            }
        }
        if before.value != after.value {
            // Elections meanwhile are lost in the decay of the same instant; C loses them too.
            slot.value.set(after.value);
        }
        slot.elected_snapshot.set(after.used_before);
        if before.reply_timeouts != after.reply_timeouts {
            member.worker.shared().set_reply_timeouts(after.reply_timeouts.into());
        }
    }
}

/// Texts of the members, out of shared memory.
struct Texts<'l>(&'l LbWorker);

impl Texts<'_> {
    fn text(&self, member: usize, which: MemberText) -> Text {
        self.0.slot(member).map(|slot| slot.text(which)).unwrap_or_default()
    }
}

impl balancer::Texts for Texts<'_> {
    type Text<'a>
        = Text
    where
        Self: 'a;

    fn route(&self, member: usize) -> Text {
        self.text(member, MemberText::Route)
    }

    fn domain(&self, member: usize) -> Text {
        self.text(member, MemberText::Domain)
    }

    fn redirect(&self, member: usize) -> Text {
        self.text(member, MemberText::Redirect)
    }
}

/// No member took the request.
fn nobody() -> Failure {
    Failure { error: Error::NoMember, attempts: 0, delivered: 0, recoverable: true }
}
