//! Leases of several instances and one database; time is the test's.

use iam_edge::native::TestHost;
use proptest::prelude::*;

use iam_core::id::OrganizationId;

use super::*;

/// Several instances and their database. Time is the test's.
struct Instances {
    database: iam_edge::Db,
    organization: OrganizationId,
    limiters: Vec<RateLimiter>,
    limit: u32,
    accepted: Vec<i64>,
    writes: usize,
}

impl Instances {
    fn new(count: usize, limit: u32) -> Self {
        let host = TestHost::new_in_memory().unwrap();
        host.apply(iam_edge::native::SCHEMA).unwrap();
        Self {
            database: host.request().db(""),
            organization: "org_000000001".parse().unwrap(),
            limiters: (0..count).map(|_| RateLimiter::default()).collect(),
            limit,
            accepted: Vec::new(),
            writes: 0,
        }
    }

    /// One request to one instance, whose clock is off by `skew` milliseconds.
    fn request(&mut self, instance: usize, at: i64, skew: i64) {
        if self.paid(instance, at, skew).is_some() {
            self.accepted.push(at);
        }
    }

    /// Until when what a request paid with holds, where it paid.
    fn paid(&mut self, instance: usize, at: i64, skew: i64) -> Option<Timestamp> {
        let now = Timestamp::from_millis(at + skew);
        let limiter = &self.limiters[instance];
        let plan = limiter.plan("subject", now);
        let given = match plan.wanted() {
            None => None,
            Some(wanted) => {
                self.writes += 1;
                let organization = &self.organization;
                let lease = Lease::of_subject(organization, "subject", self.limit, wanted, None, now);
                let usage = Usage::of_subject(organization, "subject", now);
                let rows = futures_executor(self.database.batch(vec![lease, usage]));
                let lease = rows[0].decode_first().unwrap();
                let usage = rows[1].decode_first().unwrap().unwrap();
                Some((lease, usage))
            }
        };
        limiter.pay("subject", self.limit, plan, given, now)
    }

    /// The most that were accepted in any minute.
    fn busiest_minute(&self) -> usize {
        let within =
            |from: i64| self.accepted.iter().filter(|at| (from..from + 60_000).contains(*at)).count();
        self.accepted.iter().map(|from| within(*from)).max().unwrap_or_default()
    }
}

/// The native database never waits.
fn futures_executor<T>(future: impl Future<Output = Result<T, iam_edge::DbError>>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output.unwrap(),
        std::task::Poll::Pending => panic!("the native database waits"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes when and where, and though clocks differ by a second: no minute has more than the
    /// limit.
    #[test]
    fn no_minute_has_more_than_the_limit(
        limit in 1_u32..200,
        start in 0_i64..64_000,
        skews in proptest::collection::vec(-500_i64..500, 4),
        requests in proptest::collection::vec((0_usize..4, 0_i64..700, 0_u8..4), 1..500),
    ) {
        let mut instances = Instances::new(4, limit);
        let mut at = 1_800_000_000_000 + start;
        for (instance, pause, luck) in requests {
            at += pause;
            let paid = instances.paid(instance, at, skews[instance]);
            match paid {
                // It came to nothing, for another reason.
                Some(until) if luck == 0 => instances.limiters[instance].give_back("subject", until),
                Some(_) => instances.accepted.push(at),
                None => {}
            }
        }
        prop_assert!(instances.busiest_minute() <= limit as usize);
    }
}

#[test]
fn a_burst_gets_what_there_is_and_few_writes() {
    let mut instances = Instances::new(4, 1000);
    for turn in 0..4000 {
        instances.request(turn % 4, 1_800_000_000_000 + turn as i64 * 2, 0);
    }
    assert_eq!(instances.accepted.len(), 1000);
    assert!(instances.writes < 100, "{} writes", instances.writes);
}

#[test]
fn a_steady_stream_gets_nearly_all_of_every_minute() {
    let mut instances = Instances::new(3, 600);
    let minutes = 10;
    for turn in 0..minutes * 60 * 20 {
        instances.request((turn % 3) as usize, 1_800_000_000_000 + turn * 50, 0);
    }
    assert!(instances.busiest_minute() <= 600);
    let least = 600 * usize::try_from(minutes).unwrap() * 60 / 63 * 99 / 100;
    assert!(instances.accepted.len() >= least, "{} of {least}", instances.accepted.len());
}

#[test]
fn slow_requests_waste_little() {
    // Three a second over two instances, under a limit of a hundred a minute.
    let mut instances = Instances::new(2, 100);
    for turn in 0..1200 {
        instances.request((turn % 2) as usize, 1_800_000_000_000 + turn * 333, 0);
    }
    assert!(instances.busiest_minute() <= 100);
    let least = 1200 * 333 / 63_000 * 95;
    assert!(instances.accepted.len() as i64 >= least, "{} of {least}", instances.accepted.len());
}

#[test]
fn what_is_given_back_can_be_spent() {
    let at = 1_800_000_000_000;
    let mut instances = Instances::new(1, 2);
    // No lease is at hand by then.
    for turn in 0..10 {
        let until = instances.paid(0, at + turn, 0).unwrap();
        instances.limiters[0].give_back("subject", until);
    }
    for turn in 10..20 {
        instances.request(0, at + turn, 0);
    }
    assert_eq!(instances.accepted.len(), 2, "all of it, since nothing came of the others");
    // What is given back too late is lost.
    let until = instances.paid(0, at + 70_000, 0).unwrap();
    instances.limiters[0].give_back("subject", until);
    assert_eq!(until, Timestamp::from_millis(at + 71_000));
    for turn in 0..3 {
        instances.request(0, at + 71_000 + turn, 0);
    }
    assert_eq!(instances.accepted.len(), 3);
}
