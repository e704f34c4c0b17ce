//! A load balancer: snapshot of its members, choice, attempt on the chosen one, next choice (reference: lb-shm-status.md section 2.9).
//!
//! Not here: whom to choose (`balancer`), the attempt itself (`ajp.rs`). The surprising thing: each request works on its own copy of the
//! members' states; a member that failed this request is in error in the copy, whatever the others think of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use smallvec::SmallVec;

use super::ajp::{AjpWorker, Failure, Served};
use super::error::{Class, Error};
use super::shared::Shared;
use super::{Downstream, Log, MemberContext, Request, say};
use crate::balancer::session::{self, SessionIds};
use crate::balancer::{self, Activation, Choice, MemberView, Method, NoMember, RouteSent, Selection, State};
use crate::config::{ExtraMethod, LbConfig, LbSettings};
use crate::log::Shown;
use crate::shm::{LbSlot, MemberSlot, MemberText, Text};

mod latency;
mod report;
mod settle;
mod upkeep;

pub use report::MemberReport;
pub use upkeep::Wish;

/// Members of one balancer whose views are kept without a heap allocation: 32 bytes each.
const INLINE_MEMBERS: usize = 64;

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
    /// When a route that is nobody's was last told of; Unix seconds.
    route_told_s: AtomicU64,
    /// Choices by latency so far in this process; makes the random numbers.
    draws: AtomicU64,
    /// A watchdog probes members in error, so that no user's request has to.
    has_prober: AtomicBool,
}

/// Seconds between two remarks about routes that are nobody's.
const ROUTE_REMARK_S: u64 = 60;

/// Route of the first session id that has one.
fn first_route(ids: &[u8]) -> Option<&[u8]> {
    ids.split(|byte| *byte == b';').find_map(|id| {
        let dot = memchr::memchr(b'.', id)?;
        id.get(dot.saturating_add(1)..).filter(|route| !route.is_empty())
    })
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

/// A member that is elected, and what the election added to its counts.
#[derive(Clone, Copy)]
struct Election {
    choice: Choice,
    view: MemberView,
    /// Added to the load.
    step: u64,
    /// Counted as a new session.
    new_session: bool,
}

impl LbWorker {
    /// A balancer over `members`, in the order of their slots.
    pub fn new(config: LbConfig, shared: Arc<Shared>, lb: usize, workers: Vec<Arc<AjpWorker>>) -> Self {
        let slots = shared.region.plan().members_of(lb);
        let members = slots.zip(workers).map(|(slot, worker)| Member { slot, worker }).collect();
        Self {
            config,
            shared,
            lb,
            members,
            next_offset: AtomicU32::new(0),
            route_told_s: AtomicU64::new(0),
            draws: AtomicU64::new(0),
            has_prober: AtomicBool::new(false),
        }
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
        let settings = self.settings();
        let sessions = self.sessions(&settings, balance, log);
        let views = Views::new();
        let mut run = Run { balance, settings, log, views, sessions, forced: false, attempt: 0, round: 0 };
        self.look(&mut run);
        self.rounds(&mut run, request, downstream)
    }

    fn rounds(&self, run: &mut Run<'_>, request: &mut Request<'_>, downstream: &mut dyn Downstream) -> Answer {
        let mut answer = Answer { result: Err(nobody()), first: None, last: None, route: None };
        let mut last_member = None;
        while self.has_attempt_left(run) {
            let election = match self.elect(run) {
                Ok(election) => election,
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
            let index = election.choice.index;
            let Some(member) = self.members.get(index) else { break };
            let route = self.route(member, election.choice);
            answer.route = Some(route);
            answer.result = self.attempt(run, member, election, &route, request, downstream);
            last_member = Some((member, index));
            if answer.first.is_none() {
                answer.first = Some(self.report(member, index, run));
            }
            match &answer.result {
                Err(failure) if failure.recoverable && !downstream.committed() => {
                    run.attempt = run.attempt.saturating_add(1);
                }
                Err(failure) => {
                    self.explain_end(failure, member, run);
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
            let (name, attempt, round) = (self.name(), run.attempt, run.round);
            let text = "All tomcat instances failed, no more workers left";
            say!(run.log, Info, "({name}) {text} (attempt={attempt}, retry={round})");
            return false;
        }
        std::thread::sleep(Duration::from_millis(run.settings.retry_interval_ms.into()));
        // An admin may have changed both meanwhile.
        run.settings = self.settings();
        self.look(run);
        run.attempt = 0;
        true
    }

    fn settings(&self) -> LbSettings {
        self.shared.region.lb(self.lb).map(LbSlot::settings).unwrap_or_default()
    }

    /// Copies all members; the rule's activations replace theirs. A busy member is given work again as soon as it has room
    /// (reference: lb-shm-status.md section 2.11).
    fn look(&self, run: &mut Run<'_>) {
        let by_latency = self.config.extras.method == Some(ExtraMethod::Latency);
        let by_busy = run.settings.method == Method::Busyness;
        run.views.clear();
        for member in &self.members {
            let Some(slot) = self.shared.region.member(member.slot) else {
                run.views.push(UNUSABLE);
                continue;
            };
            // Counting what runs walks over all children: only for those who compare it.
            let busy = if by_latency || by_busy { member.worker.shared().busy() } else { 0 };
            let mut view = slot.view(busy);
            if view.state == State::Busy {
                view.state = self.release(member, slot);
            }
            if by_busy {
                // Not what the slot says: that keeps the share of a child that was killed.
                view.value = u64::from(busy).saturating_mul(view.multiplier);
            }
            if self.config.extras.slow_start_s > 0 {
                view.multiplier = self.slowed(slot, view.multiplier);
            }
            if let Some(activation) =
                run.balance.activation_of.as_ref().and_then(|of| of(member.worker.name().as_bytes()))
            {
                view.activation = activation;
            }
            run.views.push(view);
        }
    }

    fn elect(&self, run: &mut Run<'_>) -> Result<Election, NoMember> {
        let _held = match run.settings.lock {
            balancer::Lock::Pessimistic => self.shared.region.lock().ok(),
            balancer::Lock::Optimistic => None,
        };
        if run.attempt > 0 || run.settings.lock == balancer::Lock::Pessimistic {
            self.renew_values(run);
        }
        let selection = Selection {
            session_ids: run.sessions.bytes(),
            sticky_force: run.settings.sticky_session_force,
            stateless: run.balance.stateless,
        };
        let choice = match self.config.extras.method {
            Some(ExtraMethod::Latency) => {
                balancer::choose_with(&run.views, &Texts(self), &selection, |members| self.pick_by_latency(members))?
            }
            None => balancer::choose(&run.views, &Texts(self), &selection, &self.next_offset)?,
        };
        self.explain_choice(&selection, choice, run.log);
        let new_session = selection.session_ids.is_none() && !run.balance.stateless;
        let mut election = Election { choice, view: UNUSABLE, step: 0, new_session };
        if let (Some(view), Some(slot)) = (run.views.get_mut(choice.index), self.slot(choice.index)) {
            if let Some(state) = view.state.elected() {
                slot.state.change(view.state, state);
                view.state = state;
            }
            election.view = *view;
            election.step = run.settings.method.value_after_election(0, view.multiplier, new_session);
            slot.value.add(election.step);
            if new_session {
                slot.sessions.add(1);
            }
        }
        Ok(election)
    }

    /// Which member and why; and, now and then, that a session's route is nobody's, which breaks sessions without any other sign.
    fn explain_choice(&self, selection: &Selection<'_>, choice: Choice, log: Log<'_>) {
        let member = self.members.get(choice.index).map_or("", |member| member.worker.name());
        let (name, sticky) = (self.name(), choice.sticky);
        say!(
            log,
            Debug,
            "({name}) member {member} is chosen, sticky={sticky}, session={}",
            selection.session_ids.is_some()
        );
        let Some(route) = selection.session_ids.filter(|_| !sticky).and_then(first_route) else { return };
        let members = 0..self.members.len();
        let texts = Texts(self);
        let known = members.into_iter().any(|index| {
            let (own, domain) = (balancer::Texts::route(&texts, index), balancer::Texts::domain(&texts, index));
            own.as_bytes() == route || (!domain.is_empty() && route.starts_with(domain.as_bytes()))
        });
        let (now_s, told_s) = (self.shared.now_s(), self.route_told_s.load(Ordering::Relaxed));
        if known || now_s.saturating_sub(told_s) < ROUTE_REMARK_S {
            return;
        }
        self.route_told_s.store(now_s, Ordering::Relaxed);
        say!(
            log,
            Warn,
            "({name}) a session has the route '{}', which is no member's: it goes to {member} and may be lost; does the jvmRoute of \
             each Tomcat equal the route of its worker?",
            Shown(route)
        );
    }

    /// Loads as they are now: others, and this request, have elected members since [`Self::look`]. The states stay those of this request.
    fn renew_values(&self, run: &mut Run<'_>) {
        if run.settings.method == Method::Busyness {
            return;
        }
        for (index, view) in run.views.iter_mut().enumerate() {
            if let Some(slot) = self.slot(index) {
                view.value = slot.value.get();
            }
        }
    }

    /// One election: the attempt on the member, and what it means for everybody.
    fn attempt(
        &self,
        run: &mut Run<'_>,
        member: &Member,
        election: Election,
        route: &Text,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
    ) -> Result<Served, Failure> {
        downstream.queue_header(self.session_cookie(run, election.choice, route).as_deref());
        let forced = (!run.balance.forced_route.is_empty()).then_some(run.balance.forced_route);
        let context = MemberContext {
            route: forced.or(Some(route.as_bytes()).filter(|route| !route.is_empty())),
            activation: election.view.activation,
            secret: None,
        };
        let shared = member.worker.shared();
        let bytes = || shared.read().saturating_add(shared.transferred());
        let before = if run.settings.method == Method::Traffic { bytes() } else { 0 };
        let result = match self.config.extras.method {
            Some(ExtraMethod::Latency) => self.timed(member, request, downstream, &context, run.log),
            None => member.worker.service(request, downstream, &context, run.log),
        };
        let bytes = if run.settings.method == Method::Traffic { bytes().saturating_sub(before) } else { 0 };
        self.settle(run, member, election, bytes, &result);
        result
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

    fn explain_nobody(&self, reason: NoMember, run: &Run<'_>) {
        match reason {
            NoMember::SessionForced => {
                let ids = String::from_utf8_lossy(run.sessions.bytes().unwrap_or_default()).into_owned();
                say!(run.log, Info, "({}) all workers are in error state for session {ids}", self.name());
            }
            NoMember::NoneUsable => {
                say!(run.log, Info, "({}) All tomcat instances are busy or in error state", self.name());
            }
        }
    }

    /// A failure that no other member can mend.
    fn explain_end(&self, failure: &Failure, member: &Member, run: &Run<'_>) {
        let (name, member, status) = (self.name(), member.worker.name(), failure.error.http_status());
        let text = format!("({name}) unrecoverable error {status}, request failed on worker {member}");
        if failure.error.class() == Class::ClientError {
            say!(run.log, Info, "{text}: {}", failure.error);
        } else {
            say!(run.log, Error, "{text}, which may have it: {}", failure.error);
        }
    }
}

/// Stands for a slot that is not there, which does not happen.
const UNUSABLE: MemberView =
    MemberView { state: State::Error, activation: Activation::Stopped, distance: 0, multiplier: 1, value: 0, busy: 0 };

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
