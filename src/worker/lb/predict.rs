//! What a balancer would do with a request (`cmd=explain`): the choice that [`LbWorker::service`] makes first, without its effects.
//!
//! Not here: how it is shown (`status`). The surprising thing: members with equal loads take turns in each child, so of those the
//! answer is that of the child that was asked.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::choice::Dice;
use super::{Balance, LbWorker, Texts, Views};
use crate::balancer::{Activation, MemberView, Method, NoMember, RouteSent, Selection, State, Texts as _};
use crate::config::LbSettings;

/// What came out.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Session ids of the request; `None` = none, or they are not looked at.
    pub session_ids: Option<Vec<u8>>,
    /// Nobody was usable, so that members in error get one more chance.
    pub forced: bool,
    /// The members as the request sees them.
    pub members: Vec<Predicted>,
    /// The member of the first attempt, by its place, and why it is this one.
    pub choice: Result<(usize, By), NoMember>,
    /// Route that its container is told; empty = none.
    pub route: Vec<u8>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Its name.
    pub name: String,
    /// Its own activation; that in `view` may be the rule's.
    pub activation: Activation,
    /// As the request sees it.
    pub view: MemberView,
    /// Its route.
    pub route: String,
}

/// What decided for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// There is no other member.
    Alone,
    /// The session's route is the member's.
    Session,
    /// The session's own member takes no requests: its redirect, or the redirect when nobody is usable.
    Redirect,
    /// The session's domain, or the domain of the session's own member.
    Domain,
    /// The smallest load.
    Load,
}

impl By {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Session => "session",
            Self::Redirect => "redirect",
            Self::Domain => "domain",
            Self::Load => "load",
        }
    }
}

impl LbWorker {
    /// What [`Self::service`] would do first with such a request at this moment.
    #[must_use]
    pub fn predict(&self, balance: &Balance<'_>) -> Prediction {
        let settings = self.settings();
        let sessions = self.session_ids(settings.sticky_session, balance);
        let mut views = self.would_see(&settings, balance);
        let selection = Selection {
            session_ids: sessions.bytes(),
            sticky_force: settings.sticky_session_force,
            stateless: balance.stateless,
        };
        let next_offset = AtomicU32::new(self.next_offset.load(Ordering::Relaxed));
        let draws = AtomicU64::new(self.draws.load(Ordering::Relaxed));
        let dice = Dice { next_offset: &next_offset, draws: &draws, thrown: Cell::new(false) };
        let mut choice = self.choose_among(&views, &selection, &dice);
        let forced = choice.is_err() && self.would_force(&mut views);
        if forced {
            dice.thrown.set(false);
            choice = self.choose_among(&views, &selection, &dice);
        }
        let by_load = dice.thrown.get();
        let alone = matches!(views.as_slice(), [only] if only.is_usable());
        let by = |route: RouteSent, sticky: bool| match (sticky, route) {
            (true, _) if alone => By::Alone,
            (true, _) => By::Session,
            (false, RouteSent::Domain) => By::Domain,
            (false, RouteSent::Member) if by_load => By::Load,
            (false, RouteSent::Member) => By::Redirect,
        };
        let route = choice.ok().and_then(|choice| Some(self.route(self.members.get(choice.index)?, choice)));
        Prediction {
            session_ids: sessions.bytes().map(<[u8]>::to_vec),
            forced,
            members: self.predicted(&views),
            choice: choice.map(|choice| (choice.index, by(choice.route, choice.sticky))),
            route: match balance.forced_route {
                [] => route.map(|route| route.as_bytes().to_vec()).unwrap_or_default(),
                forced => forced.to_vec(),
            },
        }
    }

    /// The members after all that a request does before it chooses.
    fn would_see(&self, settings: &LbSettings, balance: &Balance<'_>) -> Views {
        let (mut views, stops) = (Views::new(), Cell::new(false));
        self.copy_to(&mut views, balance, |member, slot, view| {
            if view.state == State::Busy {
                view.state = Self::released(member).unwrap_or(view.state);
            }
            if view.activation == Activation::Disabled && self.drain_end(member, slot).is_some() {
                view.activation = Activation::Stopped;
                stops.set(true);
            }
        });
        if stops.get() && settings.method != Method::Busyness {
            // As with any changed activation.
            views.iter_mut().for_each(|view| view.value = 0);
        }
        views
    }

    fn predicted(&self, views: &[MemberView]) -> Vec<Predicted> {
        let texts = Texts(self);
        let each = self.members.iter().zip(views).enumerate().map(|(index, (member, view))| Predicted {
            name: member.worker.name().to_owned(),
            activation: self.slot(index).map_or(Activation::Stopped, crate::shm::MemberSlot::activation),
            view: *view,
            route: texts.route(index).as_str().to_owned(),
        });
        each.collect()
    }
}
