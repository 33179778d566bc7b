//! Keys that are rotated by themselves: whatever time, crashes, runs at once, receivers and revocations do,
//! the owner holds a working key that it has received, a key has one living successor, and the only copy of a
//! key is never lost.

use std::collections::BTreeSet;

use iam_core::id::{KeyDeliveryId, KeyId, LogId, OrganizationId, UserId};
use iam_core::keys::{
    CarriedRights, ClaimedDelivery, DueDelivery, DueKey, DueRotation, KeyMetadata, ListedDelivery, NewKey,
    NewSchedule, OpenDelivery, Revocation, Rotation, ScheduledRotation, Target, expire,
};
use iam_core::permission::Reach;
use iam_core::secret::credential::Credential;
use iam_core::sql::{FromRow, Query, Statement};
use iam_core::time::{Duration, Timestamp};
use iam_tests::model::Database;
use proptest::prelude::*;

/// No run of the job is further from the one before: old keys are held for longer.
const LONGEST_OUTAGE: Duration = Duration::from_days(5);

#[derive(Clone, Debug)]
enum Step {
    AdvanceHours(u32),
    /// Dies after so many transactions; another run comes in between reading and writing.
    Job {
        transactions: usize,
        races: bool,
    },
    /// For a long time, mostly.
    ReceiverGoesOrComes,
    RevokeUnreceived,
    RevokeReceived {
        youngest: bool,
    },
    /// Between a key's sending and the note of it.
    RevokeWhileSent,
    Retry,
    RotateByCall,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => (1_u32..140).prop_map(Step::AdvanceHours),
        30 => (0_usize..9, any::<bool>()).prop_map(|(transactions, races)| Step::Job { transactions, races }),
        2 => Just(Step::ReceiverGoesOrComes),
        3 => Just(Step::RevokeUnreceived),
        1 => any::<bool>().prop_map(|youngest| Step::RevokeReceived { youngest }),
        1 => Just(Step::RevokeWhileSent),
        2 => Just(Step::Retry),
        1 => Just(Step::RotateByCall),
    ]
}

struct World {
    database: Database,
    organization: OrganizationId,
    owner: UserId,
    now: Timestamp,
    full_run: Timestamp,
    serial: u64,
    /// Every key its owner has got.
    received: BTreeSet<KeyId>,
    /// The owner revoked what it had: until it gets another it may have none.
    is_cut: bool,
    receiver_is_up: bool,
    /// The next key that is sent is revoked before that is noted.
    revokes_sent: bool,
}

impl World {
    fn new() -> Self {
        let start = Timestamp::from_millis(1_763_800_000_000);
        let mut world = Self {
            database: Database::default(),
            organization: "org_000000001".parse().unwrap(),
            owner: UserId::new(start, [1; 10]),
            now: start,
            full_run: start,
            serial: 0,
            received: BTreeSet::new(),
            is_cut: false,
            receiver_is_up: true,
            revokes_sent: false,
        };
        let key_id = KeyId::new(start, world.entropy());
        let key = world.secret();
        let new = NewKey {
            organization: &world.organization,
            key_id: &key_id,
            hash: &key.hash(),
            name: "model",
            owner_id: &world.owner,
            permissions: &[],
            rate_limit: 1,
            allowed_addresses: &[],
            metadata: &KeyMetadata::new(),
            life: Duration::from_days(40),
            now: start,
        };
        let owner = Statement::new(
            "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
             updated_at) VALUES (?1, ?2, 'owner', 'owner', 'active', 'manual', 0, 0)",
        );
        let owner = owner.bind(&world.organization).bind(&world.owner);
        let create = new.create(10);
        world.database.batch([owner, create]);
        let carried = world.carried(&key_id);
        let schedule = NewSchedule {
            organization: &world.organization,
            reach: Reach::Organization,
            key_id: &key_id,
            carried: &carried,
            period: Duration::from_days(30),
            overlap: Duration::from_hours(24),
            target: &Target::Vault { mount: "secret".to_owned(), path: "key".to_owned() },
            sealed_signing_secret: None,
            now: start,
        };
        let set = schedule.set();
        assert_eq!(world.database.run(set.into_statement()).len(), 1);
        world.received.insert(key_id);
        world
    }

    fn carried(&mut self, key_id: &KeyId) -> CarriedRights {
        let find = CarriedRights::find(&self.organization, key_id, Reach::Organization);
        self.database.run(find.into_statement()).decode_first().unwrap().unwrap()
    }

    fn entropy<const N: usize>(&mut self) -> [u8; N] {
        self.serial += 1;
        let mut entropy = [1; N];
        entropy[..8].copy_from_slice(&self.serial.to_be_bytes());
        entropy
    }

    fn secret(&mut self) -> Credential {
        let entropy = self.entropy();
        Credential::new("p_", &self.organization, &entropy)
    }

    fn ask<T: FromRow>(&mut self, query: Query<T>) -> Vec<T> {
        self.database.run(query.into_statement()).decode().unwrap()
    }

    fn log_id(&mut self) -> LogId {
        LogId::new(self.now, self.entropy())
    }

    /// One run, as the function does it. Whether it came to its end.
    fn job(&mut self, transactions: usize, races: bool, receiver_is_up: bool) -> bool {
        self.run(transactions, races, receiver_is_up).is_some()
    }

    fn run(&mut self, mut transactions: usize, races: bool, is_up: bool) -> Option<()> {
        let mut spend = || {
            transactions = transactions.checked_sub(1)?;
            Some(())
        };
        let organization = self.organization.clone();
        let rows = self.ask(OpenDelivery::find(&organization, self.now));
        let read = |world: &mut Self, row| OpenDelivery::read(&organization, row, world.log_id()).unwrap();
        let open: Vec<_> = rows.iter().map(|row| read(self, row)).collect();
        self.interrupt(races, is_up);
        if !open.is_empty() {
            spend()?;
            self.database.batch(OpenDelivery::keep(&open, self.now));
        }
        let rows = self.ask(DueKey::find(&organization, self.now));
        let read = |world: &mut Self, row| DueKey::read(&organization, row, world.log_id()).unwrap();
        let due: Vec<_> = rows.iter().map(|row| read(self, row)).collect();
        self.interrupt(races, is_up);
        if !due.is_empty() {
            spend()?;
            self.database.batch(expire(&due, self.now));
        }
        let due: Vec<DueRotation> = self.ask(DueRotation::find(&organization, self.now));
        self.interrupt(races, is_up);
        if !due.is_empty() {
            spend()?;
            let rotations: Vec<ScheduledRotation> = due.into_iter().map(|due| self.successor(due)).collect();
            self.database.batch(ScheduledRotation::batch(&rotations, self.now));
        }
        let due: Vec<DueDelivery> = self.ask(DueDelivery::find(&organization, self.now));
        self.interrupt(races, is_up);
        if due.is_empty() {
            return Some(());
        }
        spend()?;
        let (claim, hold) = DueDelivery::claim(&due, self.now);
        let claimed = self.database.batch([claim.into_statement(), hold]).remove(0);
        let claimed: Vec<ClaimedDelivery> = claimed.decode().unwrap();
        for due in due.iter().filter(|due| claimed.iter().any(|claimed| claimed.0 == due.delivery_id)) {
            if !due.works {
                let open =
                    [OpenDelivery::new(self.organization.clone(), due.delivery_id.clone(), self.log_id())];
                self.database.batch(OpenDelivery::keep(&open, self.now));
                continue;
            }
            if is_up {
                assert_eq!(due.sealed_key, format!("sealed {}", due.key_id), "the key itself");
                self.receive(&due.key_id);
            }
            self.interrupt(races, is_up);
            // Dies between sending and noting.
            spend()?;
            if is_up {
                self.database.batch(due.confirm(self.now));
            } else {
                self.database.run(due.fail("down", 128, self.now));
            }
        }
        Some(())
    }

    fn receive(&mut self, key_id: &KeyId) {
        let is_first = self.received.insert(key_id.clone());
        if std::mem::take(&mut self.revokes_sent) {
            // It is as if it never came. One that came before, unnoted, may have been the last that its owner
            // had.
            self.revoke(key_id);
            self.is_cut |= !is_first && !self.holds();
            return;
        }
        self.is_cut = false;
        // Or it would end before the job can replace it, with nothing that holds the key before it.
        let lasts = "SELECT COUNT(*) FROM api_keys WHERE status = 'active' AND key_id = ";
        let until = self.now.after(LONGEST_OUTAGE).as_millis();
        let lasts = format!("{lasts}'{key_id}' AND expires_at > {until}");
        assert_eq!(self.database.number(&lasts), 1, "{key_id} arrives and ends");
    }

    fn interrupt(&mut self, races: bool, is_up: bool) {
        if races {
            self.job(9, false, is_up);
        }
    }

    fn successor(&mut self, due: DueRotation) -> ScheduledRotation {
        let (key_id, delivery_id) =
            (KeyId::new(self.now, self.entropy()), KeyDeliveryId::new(self.now, self.entropy()));
        let (hash, sealed, log_id) = (self.secret().hash(), format!("sealed {key_id}"), self.log_id());
        ScheduledRotation::new(due, key_id, &hash, delivery_id, sealed, log_id)
    }

    fn working(&mut self) -> Vec<KeyId> {
        let statement = iam_core::sql::Statement::new(
            "SELECT key_id FROM api_keys WHERE status = 'active' AND expires_at > ?1 ORDER BY key_id",
        );
        let rows = self.database.run(statement.bind(self.now));
        rows.iter().map(|row| KeyId::from_column(row, "key_id").unwrap()).collect()
    }

    fn holds(&mut self) -> bool {
        self.working().iter().any(|key_id| self.received.contains(key_id))
    }

    fn revoke(&mut self, key_id: &KeyId) {
        let revocation = Revocation {
            organization: &self.organization,
            reach: Reach::Organization,
            key_id,
            reason: None,
            now: self.now,
        };
        let statement = revocation.revoke();
        self.database.run(statement);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::AdvanceHours(hours) => self.now = self.now.after(Duration::from_hours((*hours).into())),
            Step::Job { transactions, races } => {
                if self.job(*transactions, *races, self.receiver_is_up) {
                    self.full_run = self.now;
                }
            }
            Step::ReceiverGoesOrComes => self.receiver_is_up = !self.receiver_is_up,
            Step::RevokeUnreceived => {
                let unreceived = self.working().into_iter().find(|key_id| !self.received.contains(key_id));
                if let Some(key_id) = unreceived {
                    self.revoke(&key_id);
                }
            }
            Step::RevokeReceived { youngest } => {
                let mut held: Vec<KeyId> = self.working();
                held.retain(|key_id| self.received.contains(key_id));
                let key_id = if *youngest { held.last() } else { held.first() };
                if let Some(key_id) = key_id.cloned() {
                    self.revoke(&key_id);
                    self.is_cut = true;
                }
            }
            Step::RevokeWhileSent => {
                self.revokes_sent = true;
                self.job(9, false, self.receiver_is_up);
                self.revokes_sent = false;
                self.full_run = self.now;
            }
            Step::Retry => {
                let page = ListedDelivery::page(&self.organization, Reach::Organization, None, 10);
                let open: Vec<ListedDelivery> = self.database.run(page.into_statement()).decode().unwrap();
                for delivery in open {
                    let retry = ListedDelivery::retry(
                        &self.organization,
                        Reach::Organization,
                        &delivery.delivery_id,
                        self.now,
                    );
                    self.database.run(retry.into_statement());
                }
            }
            Step::RotateByCall => self.rotate_by_call(),
        }
        if self.now > self.full_run.after(LONGEST_OUTAGE) {
            // The outage is over before it is too long.
            self.now = self.full_run.after(LONGEST_OUTAGE);
            while !self.job(9, false, self.receiver_is_up) {}
            self.full_run = self.now;
        }
    }

    fn rotate_by_call(&mut self) {
        let Some(old) = self.working().pop() else { return };
        let (new, hash) = (KeyId::new(self.now, self.entropy()), self.secret().hash());
        let carried = self.carried(&old);
        let rotation = Rotation {
            organization: &self.organization,
            reach: Reach::Organization,
            old_key_id: &old,
            new_key_id: &new,
            new_hash: &hash,
            carried: &carried,
            overlap: Duration::from_hours(1),
            max_per_user: 10,
            now: self.now,
        };
        let [give, end] = rotation.hand_schedule_on();
        let batch = [rotation.replace_old(), rotation.create_new(), give, end];
        self.database.batch(batch);
        if self.working().contains(&new) {
            self.received.insert(new);
            self.is_cut = false;
        }
    }

    fn check(&mut self) {
        assert!(self.holds() || self.is_cut, "the owner has no key that works at {}", self.now);
        let working = self.working();
        let unreceived: Vec<_> = working.iter().filter(|key_id| !self.received.contains(*key_id)).collect();
        assert!(unreceived.len() <= 1, "two successors: {unreceived:?}");
        for key_id in unreceived {
            let copies = format!(
                "SELECT COUNT(*) FROM api_key_deliveries WHERE key_id = '{key_id}' AND state IN ('pending', \
                 'dead') AND sealed_key = 'sealed {key_id}'"
            );
            assert_eq!(self.database.number(&copies), 1, "the only copy of {key_id}");
        }
        let schedules = "SELECT COUNT(*) FROM api_key_rotations WHERE due_at IS NOT NULL";
        assert!(self.database.number(schedules) <= 1, "two schedules");
        let lost = "SELECT COUNT(*) FROM api_key_deliveries WHERE state IN ('pending', 'dead') AND \
             sealed_key IS NULL";
        assert_eq!(self.database.number(lost), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_owner_holds_a_working_key(steps in prop::collection::vec(step(), 1..300)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
        // Once the receiver is back, all arrives.
        for _ in 0..4 {
            world.now = world.now.after(Duration::from_hours(7));
            world.take(&Step::Retry);
            world.job(64, false, true);
            world.full_run = world.now;
            world.check();
        }
        let open = "SELECT COUNT(*) FROM api_key_deliveries WHERE state IN ('pending', 'dead')";
        assert_eq!(world.database.number(open), 0);
    }
}

/// A key that is on its way for almost all of its life arrives, and no run comes until after its end: it is
/// held until it is replaced in its turn.
#[test]
fn a_key_that_arrives_near_its_end_works_on() {
    let advance = |hours: &[u32]| hours.iter().copied().map(Step::AdvanceHours).collect::<Vec<_>>();
    let mut steps = advance(&[50, 71, 99, 22, 121]);
    steps.push(Step::ReceiverGoesOrComes);
    steps.extend(advance(&[121, 51, 70, 51, 69, 1, 33, 88, 81, 40, 121, 25, 97, 112, 27, 46]));
    steps.push(Step::Job { transactions: 3, races: false });
    steps.extend(advance(&[61, 111]));
    steps.push(Step::ReceiverGoesOrComes);
    steps.extend(advance(&[66, 40, 88, 28, 70]));
    let mut world = World::new();
    for step in &steps {
        world.take(step);
        world.check();
    }
}

/// The job never pauses for an hour: the receiver is back for one run in the last hour of a key's life, and
/// then gone for weeks.
#[test]
fn a_key_that_arrives_in_its_last_hour_works_on() {
    let mut world = World::new();
    let mut run = |hours: u32, is_up: bool| {
        for _ in 0..hours {
            world.now = world.now.after(Duration::from_hours(1));
            world.receiver_is_up = is_up;
            world.take(&Step::Retry);
            world.take(&Step::Job { transactions: 9, races: false });
            world.check();
        }
    };
    // Made at 30 days; it lives for 40.
    run(30 * 24 - 1, true);
    run(40 * 24 - 1, false);
    run(1, true);
    run(30 * 24, false);
    run(1, true);
}

/// The owner revokes the key it has, gets the next by a run that dies before it notes that, and revokes it
/// while it is sent again: that it has none is its own doing.
#[test]
fn whoever_revokes_all_it_has_has_none() {
    let mut world = World::new();
    world.now = world.now.after(Duration::from_days(30));
    world.full_run = world.now;
    world.receiver_is_up = false;
    world.take(&Step::Job { transactions: 9, races: false });
    world.receiver_is_up = true;
    let steps = [
        Step::AdvanceHours(1),
        Step::RevokeReceived { youngest: false },
        Step::Job { transactions: 2, races: false },
        Step::AdvanceHours(1),
        Step::RevokeWhileSent,
    ];
    for step in &steps {
        world.take(step);
        world.check();
    }
    assert!(world.is_cut && world.working().is_empty());
}

/// A key that is revoked between its sending and the note of it did not arrive: the old one takes its place
/// again.
#[test]
fn a_key_revoked_while_it_is_sent_does_not_arrive() {
    let mut world = World::new();
    world.now = world.now.after(Duration::from_days(30));
    world.full_run = world.now;
    world.take(&Step::RevokeWhileSent);
    let delivered = "SELECT COUNT(*) FROM api_key_deliveries WHERE state = 'delivered'";
    assert_eq!(world.database.number(delivered), 0);
    world.receiver_is_up = false;
    for _ in 0..20 {
        world.take(&Step::AdvanceHours(24));
        world.take(&Step::Job { transactions: 9, races: false });
        world.check();
    }
}
