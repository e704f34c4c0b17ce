//! Who gets how many requests: recorded sequences and distributions (reference: lb-shm-status.md section 2.5, 6.1, 6.6).

use crate::balancer_lab::{ANYWHERE, Asked, Lab, shares, with_session};
use mod_jk::balancer::{Method, State};

const STATELESS: Asked<'_> = Asked { session: None, stateless: true };

fn lb_values(lab: &Lab) -> Vec<u64> {
    lab.members.iter().map(|member| member.value).collect()
}

#[test]
fn first_36_picks_are_those_of_c() {
    for (factors, picks) in [
        ([1, 2, 3], "123323123323123323123323123323123323"),
        ([2, 1, 1], "123123112311231123112311231123112311"),
        ([3, 1, 1], "123112311123111231112311123111231112"),
        ([2, 3, 1], "123212312212312212312212312212312212"),
        ([1, 1, 2], "123312331233123312331233123312331233"),
    ] {
        assert_eq!(Lab::new(Method::Request, &factors).sequence(36, ANYWHERE), picks, "{factors:?}");
    }
}

#[test]
fn counting_methods_share_new_sessions_by_factor() {
    for method in [Method::Request, Method::Sessions, Method::Next] {
        let mut lab = Lab::new(method, &[1, 2, 3]);
        let sequence = lab.sequence(600, ANYWHERE);
        assert_eq!(sequence, "123323".repeat(100), "{method}");
        assert_eq!(lb_values(&lab), [600, 600, 600]);
    }
}

/// Sequential requests; `bytes(member)` is the size of its responses.
fn by_traffic(factors: [u32; 3], bytes: impl Fn(usize) -> u64) -> (Lab, [usize; 3]) {
    let mut lab = Lab::new(Method::Traffic, &factors);
    let mut counts = [0; 3];
    for _ in 0..600 {
        let number = lab.start(ANYWHERE).unwrap_or(usize::MAX);
        lab.finish(number, bytes(number));
        if let Some(count) = counts.get_mut(number - 1) {
            *count += 1;
        }
    }
    (lab, counts)
}

#[test]
fn traffic_shares_equal_responses_by_factor() {
    let (lab, counts) = by_traffic([1, 2, 3], |_| 538);
    assert_eq!(counts, [100, 200, 300]);
    assert_eq!(lb_values(&lab), [322_800; 3]);
}

/// A terabyte for each unit of the factors, which have no common multiple that leaves room for it.
#[test]
fn traffic_shares_terabytes_by_factors_without_a_common_multiple() {
    let factors = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47];
    let mut lab = Lab::new(Method::Traffic, &factors);
    let mut counts = [0_u32; 15];
    for _ in 0..factors.iter().sum::<u32>() * 100 {
        let number = lab.start(ANYWHERE).unwrap();
        lab.finish(number, 10_000_000_000);
        counts[number - 1] += 1;
    }
    for (count, factor) in counts.into_iter().zip(factors) {
        assert!(count.abs_diff(factor * 100) <= factor, "{count} for a factor of {factor}");
    }
}

#[test]
fn traffic_spares_the_member_with_large_responses() {
    let (lab, counts) = by_traffic([1, 1, 1], |number| if number == 3 { 20_554 } else { 538 });
    assert_eq!(counts, [296, 296, 8]);
    assert_eq!(lb_values(&lab), [159_248, 159_248, 164_432]);
}

#[test]
fn busyness_takes_turns_while_idle_whatever_the_factors() {
    let mut lab = Lab::new(Method::Busyness, &[1, 2, 3]);
    assert_eq!(lab.sequence(600, ANYWHERE), "123".repeat(200));
    assert_eq!(lb_values(&lab), [0, 0, 0]);
}

#[test]
fn busyness_shares_parallel_requests_by_factor() {
    let (counts, most) = Lab::new(Method::Busyness, &[1, 2, 3]).parallel(12, 600, |_| 30);
    assert_eq!((counts, most), (vec![100, 200, 300], vec![2, 4, 6]));
}

#[test]
fn busyness_spares_the_slow_member_where_request_does_not() {
    let ticks = |number| if number == 3 { 300 } else { 30 };
    let (counts, _) = Lab::new(Method::Request, &[1, 1, 1]).parallel(12, 600, ticks);
    assert_eq!(counts, [200, 200, 200]);
    let (counts, _) = Lab::new(Method::Busyness, &[1, 1, 1]).parallel(12, 600, ticks);
    assert_eq!(counts, [284, 284, 32]);
}

#[test]
fn request_shares_parallel_requests_by_factor() {
    let (counts, _) = Lab::new(Method::Request, &[1, 2, 3]).parallel(12, 600, |_| 30);
    assert_eq!(counts, [100, 200, 300]);
}

#[test]
fn sessions_counts_requests_without_a_session_only() {
    let mut lab = Lab::new(Method::Sessions, &[1, 2, 3]);
    assert_eq!(shares(&lab.sequence(60, with_session("abc.w1"))), [60, 0, 0]);
    assert_eq!(lb_values(&lab), [0, 0, 0]);
    assert_eq!(lab.sequence(60, ANYWHERE), "123323".repeat(10));
    let values = lb_values(&lab);
    assert_eq!(lab.sequence(60, STATELESS), "123".repeat(20));
    assert_eq!(lab.sequence(60, with_session("abc.zzz")), "123".repeat(20));
    assert_eq!(lb_values(&lab), values);
}

#[test]
fn stateless_requests_take_turns_whatever_the_loads_but_count_under_request() {
    let mut lab = Lab::new(Method::Request, &[1, 2, 3]);
    lab.member(1).value = 1_000;
    assert_eq!(lab.sequence(9, STATELESS), "123123123");
    assert_eq!(lb_values(&lab), [1_018, 9, 6]);
}

#[test]
fn nearest_members_get_everything_while_one_of_them_is_usable() {
    let mut lab = Lab::new(Method::Request, &[1, 1, 1]);
    lab.member(1).distance = 1;
    lab.member(3).distance = 1;
    assert_eq!(lab.sequence(4, ANYWHERE), "2222");
    lab.member(2).state = State::Error;
    assert_eq!(lab.sequence(5, ANYWHERE), "31313");
}

#[test]
fn distances_are_tried_in_order_with_factors_inside() {
    let mut lab = Lab::new(Method::Request, &[2, 1, 1]);
    lab.member(3).distance = 5;
    assert_eq!(lab.sequence(18, ANYWHERE), "121211211211211211");
    lab.member(1).state = State::Error;
    assert_eq!(lab.sequence(9, ANYWHERE), "222222222");
    lab.member(2).state = State::Error;
    assert_eq!(lab.sequence(9, ANYWHERE), "333333333");
}

#[test]
fn negative_distance_is_nearer_than_none() {
    let mut lab = Lab::new(Method::Request, &[1, 1]);
    lab.member(2).distance = -1;
    assert_eq!(lab.sequence(3, ANYWHERE), "222");
}

#[test]
fn recovered_member_is_not_flooded() {
    let mut lab = Lab::new(Method::Request, &[1, 1, 1]);
    lab.member(2).state = State::Error;
    lab.sequence(44, ANYWHERE);
    let largest = lb_values(&lab).into_iter().max().unwrap_or(0);
    lab.member(2).value = lab.method.value_after_recovery(0, largest);
    lab.member(2).state = State::Recover;
    assert_eq!(lab.sequence(6, ANYWHERE), "123123");
}

#[test]
fn rotation_survives_a_start_beyond_the_members() {
    let mut lab = Lab::new(Method::Request, &[1, 1, 1]);
    *lab.next_offset.get_mut() = u32::MAX;
    assert_eq!(lab.sequence(6, ANYWHERE), "123123");
}
