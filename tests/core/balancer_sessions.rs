//! Where requests of sessions go, member by member and condition by condition (reference: lb-shm-status.md section 2.5, 6.4, 6.6).

use crate::balancer_lab::{ANYWHERE, Lab, with_session};
use mod_jk::balancer::session::{Lookup, session_ids};
use mod_jk::balancer::{Activation, Choice, Method, NoMember, RouteSent, State};

fn three() -> Lab {
    Lab::new(Method::Request, &[1, 1, 1])
}

fn destination(lab: &Lab, session: &str) -> (usize, String) {
    lab.destination(with_session(session)).unwrap_or((0, "-".to_owned()))
}

fn told(number: usize, route: &str) -> (usize, String) {
    (number, route.to_owned())
}

#[test]
fn session_goes_home_from_wherever_its_id_is_found() {
    // path, cookie header, member; 0 = balanced
    for (path, cookie, home) in [
        ("/", "JSESSIONID=abc.w2", 2),
        ("/", "JSESSIONID=\"abc.w2\"", 2),
        ("/", "JSESSIONID=\"abc.w2", 2),
        ("/", "JSESSIONID = abc.w2", 2),
        ("/", "jsessionid=abc.w2", 0),
        ("/", "XJSESSIONID=abc.w2", 0),
        ("/", "JSESSIONIDX=abc.w2", 0),
        ("/", "a=b; JSESSIONID=abc.w2", 2),
        ("/", "a=b;JSESSIONID=abc.w2", 2),
        ("/", "a=b,JSESSIONID=abc.w2,c=d", 2),
        ("/", "JSESSIONID=abc.w2 ;x=y", 0),
        ("/", "JSESSIONID=a.zz; JSESSIONID=b.w3", 3),
        ("/", "JSESSIONID=a.w2; JSESSIONID=b.w3", 2),
        ("/", "JSESSIONID=a; JSESSIONID=b.w3", 3),
        ("/", "JSESSIONID=", 0),
        ("/", "JSESSIONID=; JSESSIONID=b.w3", 3),
        ("/", "JSESSIONID=\"\"; JSESSIONID=b.w3", 3),
        ("/", "JSESSIONID=a.b.w2", 0),
        ("/", "JSESSIONID=abc.w2.node", 0),
        ("/", "JSESSIONID=abc.w2!x", 0),
        ("/", "JSESSIONID=abc.", 0),
        ("/", "JSESSIONID=abc.zz", 0),
        ("/", "JSESSIONID=abcdef", 0),
        ("/app;jsessionid=abc.w3", "", 3),
        ("/app;jsessionid=abc.w3", "JSESSIONID=abc.w2", 3),
        ("/app;jsessionid=abc.zz", "JSESSIONID=abc.w2", 0),
        ("/app;jsessionid=abc", "JSESSIONID=abc.w2", 0),
        ("/app;jsessionid=", "JSESSIONID=abc.w2", 2),
        ("/app;jsessionid=/y", "JSESSIONID=abc.w2", 0),
        ("/app;JSESSIONID=abc.w3", "", 0),
        ("/app;jsessionid=a.w3/x", "", 3),
        ("/app;a=b;jsessionid=a.w3;c=d", "", 3),
    ] {
        let lookup = Lookup {
            path: path.as_bytes(),
            path_name: b";jsessionid",
            cookie_name: b"JSESSIONID",
            ..Lookup::default()
        };
        let ids = session_ids(&lookup, [cookie.as_bytes()]);
        let ids = ids.bytes().map(|ids| String::from_utf8_lossy(ids).into_owned());
        let mut lab = three();
        let asked = ids.as_deref().map_or(ANYWHERE, with_session);
        let expected = if home == 0 { "123".to_owned() } else { home.to_string().repeat(3) };
        assert_eq!(lab.sequence(3, asked), expected, "{path} {cookie}");
    }
}

#[test]
fn forced_route_leads_home_and_an_unknown_one_is_balanced() {
    for (route, expected) in [("w3", "333"), ("zz", "123")] {
        let lookup = Lookup { forced_route: route.as_bytes(), cookie_name: b"JSESSIONID", ..Lookup::default() };
        let ids = session_ids(&lookup, [&b"JSESSIONID=abc.w2"[..]]);
        let ids = String::from_utf8_lossy(ids.bytes().unwrap_or_default()).into_owned();
        assert_eq!(three().sequence(3, with_session(&ids)), expected);
    }
}

/// The rows of the matrix: what else is configured while w2 is in some condition.
#[derive(Clone, Copy, Debug)]
enum Variant {
    Plain,
    Redirect,
    Domain,
    RedirectToDisabled,
    RedirectToStopped,
}

const VARIANTS: [Variant; 5] =
    [Variant::Plain, Variant::Redirect, Variant::Domain, Variant::RedirectToDisabled, Variant::RedirectToStopped];

fn matrix(variant: Variant, sticky_force: bool) -> Lab {
    let mut lab = three();
    lab.sticky_force = sticky_force;
    match variant {
        Variant::Plain => {}
        Variant::Redirect => "w3".clone_into(&mut lab.names(2).redirect),
        Variant::RedirectToDisabled => {
            "w3".clone_into(&mut lab.names(2).redirect);
            lab.member(3).activation = Activation::Disabled;
        }
        Variant::RedirectToStopped => {
            "w3".clone_into(&mut lab.names(2).redirect);
            lab.member(3).activation = Activation::Stopped;
        }
        Variant::Domain => {
            for (number, domain) in [(1, "d1"), (2, "d1"), (3, "d2")] {
                domain.clone_into(&mut lab.names(number).domain);
            }
        }
    }
    lab
}

#[test]
fn session_stays_on_its_usable_or_disabled_member() {
    for variant in VARIANTS {
        for sticky_force in [false, true] {
            for activation in [Activation::Active, Activation::Disabled] {
                let mut lab = matrix(variant, sticky_force);
                lab.member(2).activation = activation;
                let choice = lab.choose(with_session("abc.w2"));
                let home = Choice { index: 1, sticky: true, route: RouteSent::Member };
                assert_eq!(choice, Ok(home), "{variant:?} {sticky_force} {activation}");
                assert_eq!(lab.sequence(3, with_session("abc.w2")), "222");
            }
        }
    }
}

#[test]
fn session_of_a_stopped_or_broken_member_moves_as_configured() {
    for (variant, sequence, route) in [
        (Variant::Plain, "131", "w1"),
        (Variant::Redirect, "333", "w3"),
        (Variant::Domain, "111", "d1"),
        (Variant::RedirectToDisabled, "333", "w3"),
        (Variant::RedirectToStopped, "111", "w1"),
    ] {
        for condition in ["stopped", "broken"] {
            let mut lab = matrix(variant, false);
            if condition == "stopped" {
                lab.member(2).activation = Activation::Stopped;
            } else {
                lab.member(2).state = State::Error;
            }
            let choice = lab.choose(with_session("abc.w2"));
            assert_eq!(choice.map(|choice| choice.sticky), Ok(false), "{variant:?} {condition}");
            *lab.next_offset.get_mut() = 0;
            assert_eq!(destination(&lab, "abc.w2").1, route, "{variant:?} {condition}");
            *lab.next_offset.get_mut() = 0;
            assert_eq!(lab.sequence(3, with_session("abc.w2")), sequence, "{variant:?} {condition}");
        }
    }
}

#[test]
fn forced_session_of_a_stopped_or_broken_member_goes_nowhere() {
    for variant in VARIANTS {
        let mut lab = matrix(variant, true);
        lab.member(2).activation = Activation::Stopped;
        assert_eq!(lab.choose(with_session("abc.w2")), Err(NoMember::SessionForced), "{variant:?}");
        let mut lab = matrix(variant, true);
        for state in [State::Error, State::Busy, State::Probe] {
            lab.member(2).state = state;
            assert_eq!(lab.choose(with_session("abc.w2")), Err(NoMember::SessionForced), "{variant:?}");
        }
    }
}

#[test]
fn forced_sessions_without_a_known_route_go_nowhere_but_empty_ones_are_balanced() {
    let mut lab = three();
    lab.sticky_force = true;
    for session in ["a.zz", "abc", "a.", ";", "a.zz;b.yy"] {
        assert_eq!(lab.choose(with_session(session)), Err(NoMember::SessionForced), "{session}");
    }
    assert_eq!(lab.sequence(3, with_session("")), "123");
    assert_eq!(lab.sequence(3, ANYWHERE), "123");
}

#[test]
fn single_member_takes_everything_while_it_is_active() {
    for sticky_force in [false, true] {
        for (activation, none, own, unknown) in [
            (Activation::Active, true, true, true),
            (Activation::Disabled, false, true, false),
            (Activation::Stopped, false, false, false),
        ] {
            let mut lab = Lab::new(Method::Request, &[1]);
            lab.sticky_force = sticky_force;
            lab.member(1).activation = activation;
            assert_eq!(lab.choose(ANYWHERE).is_ok(), none, "{activation} {sticky_force}");
            assert_eq!(lab.choose(with_session("abc.w1")).is_ok(), own, "{activation} {sticky_force}");
            assert_eq!(lab.choose(with_session("abc.zz")).is_ok(), unknown, "{activation} {sticky_force}");
        }
    }
}

#[test]
fn single_member_counts_as_sticky_for_everybody() {
    let lab = Lab::new(Method::Request, &[1]);
    let only = Choice { index: 0, sticky: true, route: RouteSent::Member };
    assert_eq!((lab.choose(ANYWHERE), lab.choose(with_session("abc.zz"))), (Ok(only), Ok(only)));
}

#[test]
fn single_member_in_error_is_nobody_even_for_a_forced_session() {
    let mut lab = Lab::new(Method::Request, &[1]);
    lab.member(1).state = State::Error;
    lab.sticky_force = true;
    assert_eq!(lab.choose(with_session("abc.w1")), Err(NoMember::NoneUsable));
}

#[test]
fn disabled_balancer_serves_its_sessions_only_and_a_stopped_one_nobody() {
    // activations, without session, session of w1, unknown session; 0 = nobody
    for (activations, none, own, unknown) in [("ddd", 0, 1, 0), ("sss", 0, 0, 0), ("dds", 0, 1, 0), ("ads", 1, 1, 1)] {
        let mut lab = three();
        lab.activations(activations);
        let chosen = |asked| lab.choose(asked).map_or(0, |choice| choice.index + 1);
        assert_eq!(chosen(ANYWHERE), none, "{activations}");
        assert_eq!(chosen(with_session("abc.w1")), own, "{activations}");
        assert_eq!(chosen(with_session("abc.zz")), unknown, "{activations}");
    }
}

#[test]
fn activations_of_a_rule_decide_for_its_requests() {
    let mut lab = three();
    lab.activations("dsa");
    assert_eq!(lab.sequence(3, ANYWHERE), "333");
    assert_eq!(lab.sequence(3, with_session("abc.w1")), "111");
    assert_eq!(lab.sequence(3, with_session("abc.w2")), "333");
}

#[test]
fn disabled_redirect_is_a_hot_standby_for_requests_with_and_without_session() {
    let mut lab = three();
    lab.activations("add");
    "w2".clone_into(&mut lab.names(1).redirect);
    assert_eq!(lab.sequence(2, ANYWHERE), "11");
    lab.member(1).state = State::Error;
    assert_eq!(lab.sequence(3, ANYWHERE), "222");
    for (session, sequence) in [("a.w1", "22"), ("a.w2", "22"), ("a.w3", "33")] {
        assert_eq!(lab.sequence(2, with_session(session)), sequence, "{session}");
    }
    let standby = lab.choose(ANYWHERE);
    assert_eq!(standby, Ok(Choice { index: 1, sticky: false, route: RouteSent::Member }));
    lab.member(2).activation = Activation::Stopped;
    assert_eq!(lab.sequence(2, ANYWHERE), "--");
}

#[test]
fn failover_follows_the_first_redirect_of_the_list_which_may_name_a_domain() {
    let mut lab = three();
    lab.activations("ddd");
    "w3".clone_into(&mut lab.names(2).redirect);
    "w1".clone_into(&mut lab.names(3).redirect);
    assert_eq!(lab.sequence(2, ANYWHERE), "33");
    // Members found by domain must be active, and then there is no failover: a domain leads nowhere here.
    "d1".clone_into(&mut lab.names(1).domain);
    "d1".clone_into(&mut lab.names(2).redirect);
    assert_eq!(lab.choose(ANYWHERE), Err(NoMember::NoneUsable));
}

#[test]
fn redirect_of_a_session_is_a_route_and_never_a_domain() {
    let mut lab = three();
    "d1".clone_into(&mut lab.names(3).domain);
    "d1".clone_into(&mut lab.names(1).redirect);
    lab.member(1).state = State::Error;
    assert_eq!(destination(&lab, "abc.w1"), told(2, "w2"));
}

#[test]
fn redirect_is_preferred_to_the_domain() {
    let mut lab = matrix(Variant::Domain, false);
    "w3".clone_into(&mut lab.names(2).redirect);
    lab.member(2).state = State::Error;
    assert_eq!(destination(&lab, "abc.w2"), told(3, "w3"));
    lab.member(3).state = State::Error;
    assert_eq!(destination(&lab, "abc.w2"), told(1, "w1"), "balanced, not by domain");
}

fn domains() -> Lab {
    let mut lab = three();
    for (number, route, domain) in [(1, "w1", "d1"), (2, "w2", "d1"), (3, "d2.w3", "d2")] {
        route.clone_into(&mut lab.names(number).route);
        domain.clone_into(&mut lab.names(number).domain);
    }
    lab
}

#[test]
fn domain_in_a_route_leads_to_its_least_loaded_member_which_is_told_the_domain() {
    assert_eq!(domains().sequence(4, with_session("a.d1")), "1212");
    assert_eq!(domains().sequence(4, with_session("a.d1.zzz")), "1212");
    assert_eq!(domains().sequence(3, with_session("a.d2.other")), "333");
    assert_eq!(destination(&domains(), "a.d1"), told(1, "d1"));
    assert_eq!(destination(&domains(), "a.d1.zzz"), told(1, "d1"));
    assert_eq!(destination(&domains(), "a.d2"), told(3, "d2"));
    let choice = domains().choose(with_session("a.d1"));
    assert_eq!(choice, Ok(Choice { index: 0, sticky: false, route: RouteSent::Domain }));
}

#[test]
fn exact_route_wins_over_its_domain() {
    assert_eq!(destination(&domains(), "a.d2.w3"), told(3, "d2.w3"));
    assert_eq!(destination(&domains(), "a.w2"), told(2, "w2"));
}

#[test]
fn neither_route_nor_domain_is_balanced() {
    for session in ["a.w3", "a.b.d1", "a.d1x", "a.d"] {
        assert_eq!(domains().sequence(3, with_session(session)), "123", "{session}");
    }
}

#[test]
fn broken_member_hands_its_sessions_to_its_domain_and_then_to_anybody() {
    let mut lab = domains();
    lab.member(2).state = State::Error;
    assert_eq!(destination(&lab, "a.w2"), told(1, "d1"));
    lab.member(1).state = State::Error;
    assert_eq!(destination(&lab, "a.w2"), told(3, "d2.w3"));
}

#[test]
fn domain_prefers_the_nearest_then_the_least_loaded_then_the_first() {
    let mut lab = Lab::new(Method::Request, &[1, 1, 1, 1]);
    for number in 1..=4 {
        "d".clone_into(&mut lab.names(number).domain);
        lab.member(number).value = 10;
    }
    *lab.next_offset.get_mut() = 2;
    assert_eq!(destination(&lab, "a.d"), told(1, "d"));
    lab.member(3).value = 9;
    assert_eq!(destination(&lab, "a.d"), told(3, "d"));
    lab.member(4).distance = -1;
    assert_eq!(destination(&lab, "a.d"), told(4, "d"));
    lab.member(4).activation = Activation::Disabled;
    assert_eq!(destination(&lab, "a.d"), told(3, "d"));
}

#[test]
fn all_ids_of_a_request_count_again_after_a_failed_attempt() {
    for sticky_force in [false, true] {
        let mut lab = three();
        lab.sticky_force = sticky_force;
        let ids = with_session("a.w2;b.w3");
        assert_eq!(lab.choose(ids).map(|choice| choice.index), Ok(1));
        lab.member(2).state = State::Error;
        let home = Choice { index: 2, sticky: true, route: RouteSent::Member };
        assert_eq!(lab.choose(ids), Ok(home), "C: w1, or 503 when forced");
    }
}

#[test]
fn first_of_two_members_with_the_same_route_gets_the_session() {
    let mut lab = three();
    "w2".clone_into(&mut lab.names(3).route);
    assert_eq!(lab.sequence(3, with_session("a.w2")), "222");
}

#[test]
fn member_without_a_route_is_not_found_by_an_empty_one() {
    let mut lab = three();
    lab.names(2).route.clear();
    assert_eq!(lab.sequence(3, with_session("a.")), "123");
}

#[test]
fn balancer_without_members_has_nobody() {
    let lab = Lab::new(Method::Request, &[]);
    assert_eq!(lab.choose(ANYWHERE), Err(NoMember::NoneUsable));
    assert_eq!(lab.choose(with_session("a.w1")), Err(NoMember::NoneUsable));
}
