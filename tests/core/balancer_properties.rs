//! What holds for every balancer, whatever its members: generated configurations against claims.

#![allow(clippy::indexing_slicing, reason = "tests may panic")]

use std::sync::atomic::AtomicU32;

use crate::balancer_lab::{ANYWHERE, AllNames, Asked, Lab, Names, with_session};
use mod_jk::balancer::{Activation, MemberView, Method, NoMember, RouteSent, State};
use proptest::prelude::*;

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![4 => Just(State::Ok), 2 => (0_u8..7).prop_map(State::from_code)]
}

fn any_activation() -> impl Strategy<Value = Activation> {
    prop_oneof![3 => Just(Activation::Active), 1 => (0_u8..3).prop_map(Activation::from_code)]
}

fn any_member() -> impl Strategy<Value = MemberView> {
    (any_state(), any_activation(), -1_i32..3, 1_u64..20, 0_u64..40).prop_map(
        |(state, activation, distance, multiplier, value)| MemberView {
            state,
            activation,
            distance,
            multiplier,
            value,
            busy: 0,
            route_hash: 0,
            domain_hash: 0,
        },
    )
}

/// Few texts, so that they meet: routes with and without domains, redirects to routes that exist or not.
fn any_names() -> impl Strategy<Value = Names> {
    ("(w[1-6]|d[12][.]w[1-6])", "(d[12])?", "(w[1-6])?").prop_map(|(route, domain, redirect)| Names {
        route,
        domain,
        redirect,
    })
}

prop_compose! {
    fn any_lab()(
        members in prop::collection::vec((any_member(), any_names()), 1..9),
        sticky_force: bool,
        start in 0_u32..12,
    ) -> Lab {
        let (members, names) = members.into_iter().unzip();
        Lab { method: Method::Request, members, names: AllNames(names), sticky_force, next_offset: AtomicU32::new(start) }
    }
}

fn any_session() -> impl Strategy<Value = Option<String>> {
    prop::option::of("(([a-c]?[.](w[1-6]|d[12]([.]w[1-6])?|zz)?|x);){0,2}a?[.]?(w[1-6]|d[12])?")
}

fn asked(session: Option<&str>, stateless: bool) -> Asked<'_> {
    Asked { session, stateless }
}

fn nearest_usable(lab: &Lab) -> Vec<usize> {
    let usable = || lab.members.iter().enumerate().filter(|(_, member)| member.is_usable());
    let nearest = usable().map(|(_, member)| member.distance).min();
    usable().filter(|(_, member)| Some(member.distance) == nearest).map(|(index, _)| index).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nobody_is_sent_to_a_member_that_takes_no_requests(lab in any_lab(), session in any_session(), stateless: bool) {
        if let Ok(choice) = lab.choose(asked(session.as_deref(), stateless)) {
            let member = lab.members[choice.index];
            prop_assert!(member.is_sticky_usable());
            // A disabled member gets no new work: a session, or a redirect, led there.
            if !member.is_usable() {
                prop_assert_eq!(choice.route, RouteSent::Member);
                let route = &lab.names.0[choice.index].route;
                let redirected = lab.names.0.iter().any(|names| names.redirect == *route);
                prop_assert!(redirected || session.is_some_and(|ids| ids.contains(route.as_str())));
            }
        }
    }

    #[test]
    fn session_always_reaches_its_member_while_that_takes_its_requests(lab in any_lab(), which: prop::sample::Index, rest in any_session()) {
        let route = lab.names.0[which.index(lab.members.len())].route.clone();
        let home = lab.names.0.iter().position(|names| names.route == route).unwrap_or(usize::MAX);
        let ids = format!("abc.{route};{}", rest.unwrap_or_default());
        let choice = lab.choose(with_session(&ids));
        if lab.members[home].is_sticky_usable() {
            prop_assert_eq!(choice.map(|choice| (choice.index, choice.sticky)), Ok((home, true)));
        } else {
            prop_assert_ne!(choice.map(|choice| choice.index), Ok(home));
        }
    }

    #[test]
    fn new_work_goes_to_the_nearest_usable_member_with_the_smallest_load(lab in any_lab(), stateless: bool) {
        let nearest = nearest_usable(&lab);
        let choice = lab.choose(asked(None, stateless));
        if nearest.is_empty() {
            prop_assert!(choice.is_err() || !lab.members[choice.map_or(0, |choice| choice.index)].is_usable());
        } else {
            let index = choice.map_or(usize::MAX, |choice| choice.index);
            prop_assert!(nearest.contains(&index));
            let least = nearest.iter().map(|index| lab.members[*index].value).min();
            prop_assert!(stateless || Some(lab.members[index].value) == least);
        }
    }

    #[test]
    fn there_is_always_somebody_while_a_member_is_usable_unless_a_session_is_forced(lab in any_lab(), session in any_session()) {
        let usable = lab.members.iter().any(MemberView::is_usable);
        match lab.choose(asked(session.as_deref(), false)) {
            Ok(_) => {}
            Err(NoMember::SessionForced) => prop_assert!(lab.sticky_force && session.is_some_and(|ids| !ids.is_empty())),
            Err(NoMember::NoneUsable) => prop_assert!(!usable),
        }
    }

    #[test]
    fn forced_session_only_goes_where_one_of_its_ids_points(mut lab in any_lab(), session in any_session()) {
        lab.sticky_force = true;
        let Some(ids) = session.filter(|ids| !ids.is_empty()) else { return Ok(()) };
        if let (Ok(choice), true) = (lab.choose(with_session(&ids)), lab.members.len() > 1) {
            let names = &lab.names.0[choice.index];
            let routes = || ids.split(';').filter_map(|id| id.split_once('.')).map(|(_, route)| route);
            let by_domain = || routes().any(|route| route.split('.').next() == Some(names.domain.as_str()));
            let pointed = if choice.sticky { routes().any(|route| route == names.route) } else { by_domain() };
            prop_assert!(pointed);
        }
    }

    #[test]
    fn domain_is_sent_as_route_only_when_there_is_one(lab in any_lab(), session in any_session()) {
        if let Ok(choice) = lab.choose(asked(session.as_deref(), false)) {
            let names = &lab.names.0[choice.index];
            prop_assert!(choice.route == RouteSent::Member || !names.domain.is_empty());
            prop_assert!(!(choice.sticky && choice.route == RouteSent::Domain));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_follow_the_factors_within_one_percent(factors in prop::collection::vec(1_u32..=40, 1..=10), start in 0_u32..12) {
        let mut lab = Lab::new(Method::Request, &factors);
        *lab.next_offset.get_mut() = start;
        let sum: u32 = factors.iter().sum();
        let requests = 100 * sum;
        let mut counts = vec![0_u32; factors.len()];
        for _ in 0..requests {
            counts[lab.start(ANYWHERE).unwrap_or(usize::MAX) - 1] += 1;
        }
        for (factor, count) in factors.iter().zip(&counts) {
            prop_assert!(count.abs_diff(100 * factor) <= *factor, "{factors:?} {counts:?}");
        }
    }

    #[test]
    fn factors_without_a_common_multiple_in_reach_share_within_one_percent_too(factors in prop::collection::vec(60_u32..=120, 8..=12)) {
        let mut lab = Lab::new(Method::Request, &factors);
        let sum: u32 = factors.iter().sum();
        let mut counts = vec![0_u32; factors.len()];
        for _ in 0..10 * sum {
            counts[lab.start(ANYWHERE).unwrap_or(usize::MAX) - 1] += 1;
        }
        for (factor, count) in factors.iter().zip(&counts) {
            prop_assert!(count.abs_diff(10 * factor) * 100 <= 10 * factor + 100, "{factors:?} {counts:?}");
        }
    }

    #[test]
    fn every_usable_member_at_the_nearest_distance_gets_its_turn(
        members in prop::collection::vec((1_u32..=20, any_state(), any_activation(), 0_i32..2), 1..10),
        method in 0_u8..5,
        stateless: bool,
    ) {
        let factors: Vec<_> = members.iter().map(|member| member.0).collect();
        let mut lab = Lab::new(Method::from_code(method), &factors);
        for (view, (_, state, activation, distance)) in lab.members.iter_mut().zip(&members) {
            (view.state, view.activation, view.distance) = (*state, *activation, *distance);
        }
        let nearest = nearest_usable(&lab);
        let mut seen = vec![false; members.len()];
        // The sum of the factors is one round; busy members are never waited for, so one round more is plenty.
        for _ in 0..2 * factors.iter().sum::<u32>() {
            let Ok(number) = lab.start(asked(None, stateless)) else { break };
            lab.finish(number, 500);
            seen[number - 1] = true;
        }
        for index in nearest {
            prop_assert!(seen[index], "{members:?} {seen:?}");
        }
    }
}
