//! A load balancer on the bench: members with names and loads, chosen by the real policy, without sockets and shared memory.
//!
//! Not a model of the policy: it only keeps the books that `worker` and `shm` keep. The surprising thing: members are called by their number
//! from 1 (`w1`, `w2`, ...), as in the recorded sequences, not by their index.

#![allow(clippy::indexing_slicing, reason = "tests may panic")]

use std::collections::BinaryHeap;
use std::sync::atomic::AtomicU32;

use mod_jk::balancer::method::CommonMultiple;
use mod_jk::balancer::{
    Activation, Choice, MemberView, Method, NoMember, RouteSent, Selection, State, Texts, choose, route_hash,
};

/// Route, domain and redirect of one member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) route: String,
    pub(crate) domain: String,
    pub(crate) redirect: String,
}

#[derive(Clone, Debug)]
pub(crate) struct AllNames(pub(crate) Vec<Names>);

impl Texts for AllNames {
    type Text<'a> = &'a str;
    fn route(&self, member: usize) -> &str {
        &self.0[member].route
    }
    fn domain(&self, member: usize) -> &str {
        &self.0[member].domain
    }
    fn redirect(&self, member: usize) -> &str {
        &self.0[member].redirect
    }
}

#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) method: Method,
    pub(crate) members: Vec<MemberView>,
    pub(crate) names: AllNames,
    pub(crate) sticky_force: bool,
    pub(crate) next_offset: AtomicU32,
}

/// A request as the lab sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) session: Option<&'a str>,
    pub(crate) stateless: bool,
}

/// A request without a session.
pub(crate) const ANYWHERE: Asked<'static> = Asked { session: None, stateless: false };

/// A request of a session.
pub(crate) fn with_session(session: &str) -> Asked<'_> {
    Asked { session: Some(session), stateless: false }
}

impl Lab {
    /// Members `w1`, `w2`, ... that are fine, with these factors.
    pub(crate) fn new(method: Method, factors: &[u32]) -> Self {
        let common = CommonMultiple::of(method, factors.iter().copied());
        let member = |factor: &u32| MemberView {
            state: State::Ok,
            activation: Activation::Active,
            distance: 0,
            multiplier: common.multiplier(*factor),
            value: 0,
            busy: 0,
            route_hash: 0,
            domain_hash: 0,
        };
        let names = |number| Names { route: format!("w{number}"), ..Names::default() };
        Self {
            method,
            members: factors.iter().map(member).collect(),
            names: AllNames((1..=factors.len()).map(names).collect()),
            sticky_force: false,
            next_offset: AtomicU32::new(0),
        }
    }

    pub(crate) fn member(&mut self, number: usize) -> &mut MemberView {
        &mut self.members[number - 1]
    }

    pub(crate) fn names(&mut self, number: usize) -> &mut Names {
        &mut self.names.0[number - 1]
    }

    /// One letter per member: a, d, s.
    pub(crate) fn activations(&mut self, letters: &str) {
        for (member, letter) in self.members.iter_mut().zip(letters.chars()) {
            member.activation = Activation::parse(letter.to_string()).unwrap_or_default();
        }
    }

    pub(crate) fn choose(&self, asked: Asked<'_>) -> Result<Choice, NoMember> {
        let request = Selection {
            session_ids: asked.session.map(str::as_bytes),
            sticky_force: self.sticky_force,
            stateless: asked.stateless,
        };
        let hashed = |(member, names): (&MemberView, &Names)| MemberView {
            route_hash: route_hash(names.route.as_bytes()),
            domain_hash: route_hash(names.domain.as_bytes()),
            ..*member
        };
        let members: Vec<_> = self.members.iter().zip(&self.names.0).map(hashed).collect();
        choose(&members, &self.names, &request, &self.next_offset)
    }

    /// Chooses a member and books the start of the request there.
    pub(crate) fn start(&mut self, asked: Asked<'_>) -> Result<usize, NoMember> {
        let index = self.choose(asked)?.index;
        let member = &mut self.members[index];
        let new_session = asked.session.is_none() && !asked.stateless;
        member.value = self.method.value_after_election(member.value, member.multiplier, new_session);
        member.busy += 1;
        Ok(index + 1)
    }

    pub(crate) fn finish(&mut self, number: usize, bytes: u64) {
        let method = self.method;
        let member = self.member(number);
        member.value = method.value_after_response(member.value, member.multiplier, bytes);
        member.busy -= 1;
    }

    /// Requests one after the other, as digits; `-` = nobody.
    pub(crate) fn sequence(&mut self, count: usize, asked: Asked<'_>) -> String {
        let mut sequence = String::new();
        for _ in 0..count {
            match self.start(asked) {
                Ok(number) => {
                    self.finish(number, 0);
                    sequence.push_str(&number.to_string());
                }
                Err(_) => sequence.push('-'),
            }
        }
        sequence
    }

    /// Requests of so many clients, each of which sends the next one when the last is answered after `ticks(member)`. Returns how many each
    /// member got, and the most it had at once.
    pub(crate) fn parallel(
        &mut self,
        clients: usize,
        requests: usize,
        ticks: impl Fn(usize) -> u64,
    ) -> (Vec<u32>, Vec<u32>) {
        let mut counts = vec![0; self.members.len()];
        let mut most = vec![0; self.members.len()];
        // Ends of running requests, earliest first; the order of starting decides between equal ones.
        let mut running = BinaryHeap::new();
        let mut now = 0;
        for order in 0..requests {
            if running.len() == clients {
                let Some(std::cmp::Reverse((end, _, number))) = running.pop() else { break };
                now = end;
                self.finish(number, 0);
            }
            let Ok(number) = self.start(ANYWHERE) else { break };
            counts[number - 1] += 1;
            most[number - 1] = self.member(number).busy.max(most[number - 1]);
            running.push(std::cmp::Reverse((now + ticks(number), order, number)));
        }
        (counts, most)
    }

    /// Member and the route its backend is told.
    pub(crate) fn destination(&self, asked: Asked<'_>) -> Option<(usize, String)> {
        let choice = self.choose(asked).ok()?;
        let names = &self.names.0[choice.index];
        let route = match choice.route {
            RouteSent::Member => names.route.clone(),
            RouteSent::Domain => names.domain.clone(),
        };
        Some((choice.index + 1, route))
    }
}

/// How often each digit from 1 to 3 occurs.
pub(crate) fn shares(sequence: &str) -> [usize; 3] {
    ['1', '2', '3'].map(|digit| sequence.matches(digit).count())
}
