//! The lockout against a small model: random tries, successes, failures and leaps of time, on SQLite.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use iam_core::config::PasswordConfiguration;
use iam_core::id::{OrganizationId, UserId};
use iam_core::sign_in::lockout::{Attempt, KNOWN_FOR, Reservation, Verdict, address_key, know_address};
use iam_core::sql::{Answers, Batch};
use iam_core::time::{Duration, Timestamp};
use iam_edge::native::TestHost;
use proptest::prelude::*;

/// Two users that exist and a name that nobody has.
const NAMES: [&str; 3] = ["alice", "bob", "nobody"];
const USERS: usize = 2;
const ADDRESSES: [&str; 3] = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];

#[derive(Clone, Debug)]
enum Step {
    Try { name: usize, address: usize },
    Succeed(usize),
    Fail(usize),
    Know { user: usize, address: usize },
    Wait(i64),
}

fn step(duration: i64) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..NAMES.len(), 0..ADDRESSES.len()).prop_map(|(name, address)| Step::Try { name, address }),
        2 => (0..64_usize).prop_map(Step::Succeed),
        5 => (0..64_usize).prop_map(Step::Fail),
        1 => (0..USERS, 0..ADDRESSES.len()).prop_map(|(user, address)| Step::Know { user, address }),
        3 => prop_oneof![
            Just(1), Just(duration / 3), Just(duration - 1), Just(duration), Just(KNOWN_FOR.as_millis())
        ].prop_map(Step::Wait),
    ]
}

#[derive(Clone, Copy, Debug, Default)]
struct Pool {
    tries: u32,
    began: i64,
    ends: i64,
}

/// What the statements have to do, in a few lines.
#[derive(Default)]
struct Model {
    pools: BTreeMap<String, Pool>,
    known: BTreeMap<(usize, usize), i64>,
}

impl Model {
    fn pools_of(&self, name: usize, address: usize, now: i64) -> Vec<String> {
        match self.known.get(&(name, address)) {
            Some(seen) if *seen > now - KNOWN_FOR.as_millis() => vec![format!("known {name} {address}")],
            _ => vec![format!("account {name}"), format!("address {address}")],
        }
    }

    fn reserve(
        &mut self,
        name: usize,
        address: usize,
        now: i64,
        limits: &Limits,
    ) -> Result<Vec<String>, i64> {
        let wanted = self.pools_of(name, address, now);
        let full = |pool: &String| {
            let pool_state = self.pools.get(pool).copied().unwrap_or_default();
            (pool_state.ends > now && pool_state.tries >= limits.of(pool)).then_some(pool_state.ends)
        };
        if let Some(until) = wanted.iter().filter_map(full).max() {
            return Err(until);
        }
        for name in &wanted {
            let pool = self.pools.entry(name.clone()).or_default();
            if pool.ends <= now {
                *pool = Pool { tries: 0, began: now, ends: now + limits.duration };
            }
            pool.tries += 1;
            if pool.tries >= limits.of(name) {
                pool.ends = now + limits.duration;
            }
        }
        Ok(wanted)
    }

    fn succeed(&mut self, taken: &[String], name: usize, address: usize, tried_at: i64) {
        for pool in taken {
            if pool.starts_with("address") {
                let state = self.pools.get_mut(pool);
                if let Some(state) = state.filter(|state| state.began <= tried_at && state.tries > 0) {
                    state.tries -= 1;
                }
            } else {
                self.pools.remove(pool);
            }
        }
        self.known.insert((name, address), tried_at);
    }
}

struct Limits {
    account: u32,
    address: u32,
    duration: i64,
}

impl Limits {
    fn of(&self, pool: &str) -> u32 {
        if pool.starts_with("address") { self.address } else { self.account }
    }
}

/// A try whose password is being looked at.
struct InFlight {
    name: usize,
    address: usize,
    at: i64,
    reservation: Reservation,
    pools: Vec<String>,
}

struct Bench {
    host: TestHost,
    organization: OrganizationId,
    users: Vec<UserId>,
    configuration: PasswordConfiguration,
}

impl Bench {
    fn new(configuration: PasswordConfiguration) -> Self {
        let host = TestHost::new_in_memory().unwrap();
        host.apply(iam_edge::native::SCHEMA).unwrap();
        let organization: OrganizationId = "org_000000001".parse().unwrap();
        host.apply("INSERT INTO organizations VALUES ('org_000000001', 'Tests', 0)").unwrap();
        let users: Vec<UserId> =
            (0..USERS).map(|number| UserId::new(Timestamp::from_millis(0), [number as u8; 10])).collect();
        for (user, name) in users.iter().zip(NAMES) {
            host.apply(&format!(
                "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
                 updated_at) VALUES ('org_000000001', '{user}', '{name}', '{name}', 'active', 'manual', 0, 0)"
            ))
            .unwrap();
        }
        Self { host, organization, users, configuration }
    }

    fn attempt(&self, name: usize, address: usize, at: i64) -> Attempt<'_> {
        Attempt {
            organization: &self.organization,
            username: NAMES[name],
            address: Some(address_of(address)),
            limits: &self.configuration,
            now: Timestamp::from_millis(at),
        }
    }

    async fn ask(&self, attempt: &Attempt<'_>) -> Verdict {
        let mut batch = Batch::new();
        let asked = attempt.reserve(&mut batch);
        let rows = self.host.request().db("").batch(batch.into_statements()).await.unwrap();
        asked.verdict(&Answers::new(rows)).unwrap()
    }

    async fn reserve(&self, name: usize, address: usize, at: i64) -> Verdict {
        let attempt = self.attempt(name, address, at);
        self.ask(&attempt).await
    }

    async fn run(&self, statements: Vec<iam_core::sql::Statement>) {
        self.host.request().db("").batch(statements).await.unwrap();
    }
}

fn address_of(number: usize) -> IpAddr {
    ADDRESSES[number].parse().unwrap()
}

/// Every granted try, for what has to hold whatever the model says.
#[derive(Default)]
struct History(Vec<(usize, usize, i64, Vec<String>)>);

impl History {
    /// Nobody stays out longer than the lock lasts after the last try that was counted in a pool of its own;
    /// and a place that is known is closed by tries from that place alone.
    fn check_lock(&self, pools: &[String], until: i64, limits: &Limits) -> Result<(), TestCaseError> {
        let own = |taken: &&(usize, usize, i64, Vec<String>)| taken.3.iter().any(|pool| pools.contains(pool));
        let last = self.0.iter().filter(own).map(|(_, _, at, _)| *at).max();
        prop_assert!(last.is_some_and(|last| until <= last + limits.duration));
        if let [known] = pools {
            let (name, address) = known.strip_prefix("known ").unwrap().split_once(' ').unwrap();
            let (name, address): (usize, usize) = (name.parse().unwrap(), address.parse().unwrap());
            let from_there = self.0.iter().filter(|taken| (taken.0, taken.1) == (name, address));
            prop_assert!(from_there.count() >= limits.account as usize);
        }
        Ok(())
    }
}

async fn play(limits: Limits, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let bench = Bench::new(PasswordConfiguration {
        lockout_threshold: limits.account,
        lockout_address_threshold: Some(limits.address),
        lockout_duration: Duration::from_millis(limits.duration),
        ..PasswordConfiguration::default()
    });
    let (mut model, mut history, mut in_flight) =
        (Model::default(), History::default(), Vec::<InFlight>::new());
    let mut now = 1_800_000_000_000;
    for step in steps {
        match step {
            Step::Try { name, address } => {
                let verdict = bench.reserve(name, address, now).await;
                let pools_before = model.pools_of(name, address, now);
                match (verdict, model.reserve(name, address, now, &limits)) {
                    (Verdict::Granted(reservation), Ok(pools)) => {
                        let emptied = pools.iter().filter(|pool| model.pools[*pool].tries >= limits.of(pool));
                        let locks = bench.attempt(name, address, now).locks(&reservation);
                        prop_assert_eq!(locks.len(), emptied.count());
                        history.0.push((name, address, now, pools.clone()));
                        in_flight.push(InFlight { name, address, at: now, reservation, pools });
                    }
                    (Verdict::Locked { until }, Err(expected)) => {
                        prop_assert_eq!(until.as_millis(), expected);
                        history.check_lock(&pools_before, expected, &limits)?;
                    }
                    (verdict, expected) => prop_assert!(false, "{verdict:?}, but expected {expected:?}"),
                }
            }
            Step::Succeed(_) | Step::Fail(_) if in_flight.is_empty() => {}
            Step::Succeed(which) => {
                let tried = in_flight.remove(which % in_flight.len());
                if let Some(user) = bench.users.get(tried.name) {
                    let attempt = bench.attempt(tried.name, tried.address, tried.at);
                    bench.run(attempt.forgive(&tried.reservation, user)).await;
                    model.succeed(&tried.pools, tried.name, tried.address, tried.at);
                }
            }
            Step::Fail(which) => {
                let tried = in_flight.remove(which % in_flight.len());
                bench.run(vec![bench.attempt(tried.name, tried.address, now).clear()]).await;
            }
            Step::Know { user, address } => {
                let at = Timestamp::from_millis(now);
                let know = know_address(&bench.organization, &bench.users[user], address_of(address), at);
                bench.run(vec![know]).await;
                model.known.insert((user, address), now);
            }
            Step::Wait(milliseconds) => now += milliseconds,
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_statements_do_what_the_model_does(
        account in 1_u32..5,
        address in 1_u32..8,
        steps in proptest::collection::vec(step(60_000), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(Limits { account, address, duration: 60_000 }, steps))?;
    }
}

/// A success gives back no more than it took: not out of a later window.
#[tokio::test]
async fn a_try_is_given_back_to_its_own_window() {
    let configuration = PasswordConfiguration { lockout_threshold: 2, ..PasswordConfiguration::default() };
    let duration = configuration.lockout_duration.as_millis();
    let (bench, first) = (Bench::new(configuration), 1_800_000_000_000);
    let second = first + duration;
    let Verdict::Granted(own) = bench.reserve(0, 0, first).await else { panic!("locked") };
    for name in [1, 2] {
        assert!(matches!(bench.reserve(name, 0, second).await, Verdict::Granted(_)));
    }
    bench.run(bench.attempt(0, 0, first).forgive(&own, &bench.users[0])).await;
    assert!(matches!(bench.reserve(2, 0, second).await, Verdict::Locked { .. }));
}

/// A /64 is one subscriber: its addresses share their tries.
#[tokio::test]
async fn an_ipv6_subscriber_has_one_address() {
    let bench =
        Bench::new(PasswordConfiguration { lockout_threshold: 1, ..PasswordConfiguration::default() });
    let from = |address: &str| Attempt { address: Some(address.parse().unwrap()), ..bench.attempt(2, 0, 0) };
    assert!(matches!(bench.ask(&from("2001:db8::1")).await, Verdict::Granted(_)));
    let other = Attempt { username: "somebody else", ..from("2001:db8::ffff:1") };
    assert!(matches!(bench.ask(&other).await, Verdict::Locked { .. }));
    assert_eq!(address_key("2001:db8::1".parse().unwrap()), "2001:db8::/64");
}
