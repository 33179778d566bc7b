//! Keys that are rotated by themselves: whatever time, crashes, runs at once, receivers and revocations do,
//! the owner holds a working key that it has received, a key has one living successor, and the only copy of a
//! key is never lost.

use std::collections::BTreeSet;

use iam_core::id::{KeyDeliveryId, KeyId, LogId, OrganizationId, UserId};
use iam_core::keys::{
    CarriedRights, DueDelivery, DueKey, DueRotation, KeyMetadata, ListedDelivery, NewKey, NewSchedule,
    OpenDelivery, Revocation, Rotation, Target, Turn, due_to_expire, expire,
};
use iam_core::permission::Reach;
use iam_core::secret::credential::Credential;
use iam_core::sql::Statement;
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
        let rows = self.database.run(OpenDelivery::find(self.now));
        let open: Vec<_> = rows.iter().map(|row| OpenDelivery::read(row, self.log_id()).unwrap()).collect();
        self.interrupt(races, is_up);
        if !open.is_empty() {
            spend()?;
            self.database.batch(OpenDelivery::keep(&open, self.now));
        }
        let rows = self.database.run(due_to_expire(self.now));
        let due: Vec<_> = rows.iter().map(|row| DueKey::read(row, self.log_id()).unwrap()).collect();
        self.interrupt(races, is_up);
        if !due.is_empty() {
            spend()?;
            self.database.batch(expire(&due, self.now));
        }
        let due: Vec<DueRotation> = self.database.run(DueRotation::find(self.now)).decode().unwrap();
        self.interrupt(races, is_up);
        if !due.is_empty() {
            spend()?;
            let turns: Vec<Turn> = due.into_iter().map(|due| self.successor(due)).collect();
            self.database.batch(Turn::batch(&turns, self.now));
        }
        let due: Vec<DueDelivery> = self.database.run(DueDelivery::find(self.now)).decode().unwrap();
        self.interrupt(races, is_up);
        if due.is_empty() {
            return Some(());
        }
        spend()?;
        let claimed = self.database.run(DueDelivery::claim(&due, self.now));
        let ids: Vec<String> =
            claimed.iter().map(|row| row.text("delivery_id").unwrap().to_owned()).collect();
        for due in due.iter().filter(|due| ids.iter().any(|id| id == due.delivery_id.as_str())) {
            if !due.works {
                let open =
                    [OpenDelivery::new(self.organization.clone(), due.delivery_id.clone(), self.log_id())];
                self.database.batch(OpenDelivery::keep(&open, self.now));
                continue;
            }
            if is_up {
                assert_eq!(due.sealed_key, format!("sealed {}", due.key_id), "the key itself");
                self.received.insert(due.key_id.clone());
                self.is_cut = false;
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

    fn interrupt(&mut self, races: bool, is_up: bool) {
        if races {
            self.job(9, false, is_up);
        }
    }

    fn successor(&mut self, due: DueRotation) -> Turn {
        let (key_id, delivery_id) =
            (KeyId::new(self.now, self.entropy()), KeyDeliveryId::new(self.now, self.entropy()));
        let (hash, sealed, log_id) = (self.secret().hash(), format!("sealed {key_id}"), self.log_id());
        Turn::new(due, key_id, &hash, delivery_id, sealed, log_id)
    }

    fn working(&mut self) -> Vec<KeyId> {
        let statement = iam_core::sql::Statement::new(
            "SELECT key_id FROM api_keys WHERE status = 'active' AND expires_at > ?1 ORDER BY key_id",
        );
        let rows = self.database.run(statement.bind(self.now));
        rows.iter().map(|row| KeyId::from_column(row, "key_id").unwrap()).collect()
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
        let working = self.working();
        let held = working.iter().any(|key_id| self.received.contains(key_id));
        assert!(held || self.is_cut, "the owner has no key that works at {}", self.now);
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
