//! The keyring: whatever time, schedule, people and crashes do, no token that lives fails anywhere, nobody
//! ever meets a key that is not in its copy of the JWKS, and one key signs at a time. Only an emergency
//! breaks tokens.

use iam_core::config::Configuration;
use iam_core::id::{OrganizationId, SigningKeyId};
use iam_core::jose::jwt::{Algorithm, key_pair};
use iam_core::oauth::keyring::{
    DueSuccessor, KEYS_LIFE, Phase, Place, RETIRED_KEYS, StoredKey, Timing, destroy_private_halves,
    signing_key,
};
use iam_core::secret::register::{IsNeeded, SIGNING_KEY, SealedText};
use iam_core::secret::seal::{MasterKey, MasterKeys};
use iam_core::sql::{Query, Row, Statement};
use iam_core::time::{Duration, Timestamp};
use iam_tests::model::Database;
use proptest::prelude::*;

/// How far the clocks of instances are from the true time, in seconds: within the leeway of each other.
const SKEWS: [i64; 3] = [0, 14, -14];

#[derive(Clone, Debug)]
enum Step {
    Advance(u32),
    /// To around the next moment at which something changes.
    Approach {
        seconds: i64,
    },
    /// Somebody else has a cache fill itself.
    Fill {
        cache: usize,
    },
    /// Dies after so many transactions; another run comes in between reading and writing.
    Job {
        transactions: usize,
        races: bool,
    },
    Rotate {
        twice: bool,
    },
    Emergency,
    Sign {
        instance: usize,
    },
    ChangeAlgorithm,
    RotateMasterKey,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u32..400).prop_map(Step::Advance),
        1 => (400_u32..8000).prop_map(Step::Advance),
        8 => (-16_i64..17).prop_map(|seconds| Step::Approach { seconds }),
        3 => (0..SKEWS.len()).prop_map(|cache| Step::Fill { cache }),
        5 => (0_usize..8, any::<bool>()).prop_map(|(transactions, races)| Step::Job { transactions, races }),
        3 => any::<bool>().prop_map(|twice| Step::Rotate { twice }),
        1 => Just(Step::Emergency),
        8 => (0..SKEWS.len()).prop_map(|instance| Step::Sign { instance }),
        1 => Just(Step::ChangeAlgorithm),
        1 => Just(Step::RotateMasterKey),
    ]
}

/// What an instance read, and when by its own clock.
#[derive(Clone, Default)]
struct Instance(Option<(Timestamp, Vec<StoredKey>)>);

/// Somebody's copy of the JWKS: the ids, and since when.
#[derive(Clone, Default)]
struct Copy(Option<(Timestamp, Vec<SigningKeyId>)>);

struct Token {
    key: SigningKeyId,
    expires_at: Timestamp,
}

struct World {
    database: Database,
    organization: OrganizationId,
    configuration: Configuration,
    master: MasterKeys,
    master_byte: u8,
    now: Timestamp,
    serial: u64,
    instances: [Instance; 3],
    /// A cache in front of each instance, and a verifier behind each cache.
    caches: [Copy; 3],
    verifiers: [Copy; 3],
    tokens: Vec<Token>,
}

fn master(byte: u8) -> MasterKey {
    MasterKey::parse(&iam_core::encoding::base64url(&[byte; 32])).unwrap()
}

impl World {
    fn new(max_age: i64, token_life: i64, period: i64) -> Self {
        let document = serde_json::json!({
            "keyring": {"jwks_max_age": format!("{max_age}s"), "rotation_period": format!("{period}s")},
            "jwt": {"access_token_expiry": format!("{token_life}s")},
        });
        let configuration = Configuration::parse(&document.to_string(), []).unwrap();
        let database = Database::default();
        let organization = configuration.organization.clone();
        database.execute(&format!("INSERT INTO organizations VALUES ('{organization}', 'Model', 0)"));
        Self {
            database,
            organization,
            configuration,
            master: MasterKeys::new(master(1), None),
            master_byte: 1,
            now: Timestamp::from_millis(1_763_800_000_000),
            serial: 0,
            instances: Default::default(),
            caches: Default::default(),
            verifiers: Default::default(),
            tokens: Vec::new(),
        }
    }

    fn timing(&self) -> Timing {
        Timing::of(&self.configuration)
    }

    fn keys(&mut self, now: Timestamp) -> Vec<StoredKey> {
        self.database.run(StoredKey::all(&self.organization, now).into_statement()).decode().unwrap()
    }

    fn new_key(&mut self, place: Place) -> StoredKey {
        self.serial += 1;
        let mut entropy = [1; 32];
        entropy[..8].copy_from_slice(&self.serial.to_be_bytes());
        let mut id = [0; 10];
        id[..8].copy_from_slice(&self.serial.to_be_bytes());
        let (private, public) = key_pair(self.configuration.jwt.algorithm, &entropy).unwrap();
        let key_id = SigningKeyId::new(self.now, id);
        StoredKey::new(&self.organization, key_id, &private, public, place, &self.master, [3; 12]).unwrap()
    }

    fn announcement(&mut self, place: Place) -> Vec<Statement> {
        let key = self.new_key(place);
        vec![key.store(&self.organization), key.supersede(&self.organization, &self.timing())]
    }

    /// What an instance works with, read anew when it is too old by its clock.
    fn held(&mut self, instance: usize) -> Vec<StoredKey> {
        let now = self.at(instance);
        match &self.instances[instance].0 {
            Some((read_at, keys)) if now < read_at.after(KEYS_LIFE) => keys.clone(),
            _ => {
                let mut keys = self.keys(now);
                if keys.is_empty() {
                    let first = self.new_key(Place::first(now)).store(&self.organization);
                    self.database.run(first);
                    keys = self.keys(now);
                }
                self.instances[instance].0 = Some((now, keys.clone()));
                keys
            }
        }
    }

    fn at(&self, instance: usize) -> Timestamp {
        self.now.after(Duration::from_seconds(SKEWS[instance]))
    }

    fn fresh<'a>(&self, copy: &'a Copy) -> Option<&'a Vec<SigningKeyId>> {
        let max_age = self.configuration.keyring.jwks_max_age;
        copy.0.as_ref().filter(|(since, _)| self.now < since.after(max_age)).map(|(_, keys)| keys)
    }

    fn caches_keys(&mut self, cache: usize) -> Vec<SigningKeyId> {
        if let Some(keys) = self.fresh(&self.caches[cache]) {
            return keys.clone();
        }
        let now = self.at(cache);
        let published = self.held(cache).into_iter().filter(|key| key.phase(now).is_some());
        let keys: Vec<_> = published.map(|key| key.key_id).collect();
        self.caches[cache].0 = Some((self.now, keys.clone()));
        keys
    }

    fn verifiers_keys(&mut self, verifier: usize) -> Vec<SigningKeyId> {
        if let Some(keys) = self.fresh(&self.verifiers[verifier]) {
            return keys.clone();
        }
        let keys = self.caches_keys(verifier);
        self.verifiers[verifier].0 = Some((self.now, keys.clone()));
        keys
    }

    /// The next moment at which a key changes its phase, a copy is too old or a token ends.
    fn next_change(&mut self) -> Option<Timestamp> {
        let max_age = self.configuration.keyring.jwks_max_age;
        let copies = self.caches.iter().chain(&self.verifiers);
        let mut moments: Vec<Timestamp> =
            copies.filter_map(|copy| Some(copy.0.as_ref()?.0.after(max_age))).collect();
        moments.extend(self.tokens.iter().map(|token| token.expires_at));
        for key in self.keys(self.now) {
            moments.extend([Some(key.signs_from), key.signs_until, key.retires_at].into_iter().flatten());
        }
        moments.into_iter().filter(|moment| *moment > self.now).min()
    }

    fn job(&mut self, mut transactions: usize, races: bool) {
        let (timing, algorithm) = (self.timing(), self.configuration.jwt.algorithm);
        loop {
            let find = DueSuccessor::find(&self.organization, algorithm, &timing, self.now);
            let due: Vec<DueSuccessor> = self.database.run(find.into_statement()).decode().unwrap();
            if due.is_empty() {
                break;
            }
            if races {
                self.job(transactions, false);
            }
            let Some(left) = transactions.checked_sub(1) else { return };
            transactions = left;
            let batch: Vec<Statement> =
                due.iter().flat_map(|due| self.announcement(due.place(&timing, self.now))).collect();
            self.database.batch(batch);
        }
        let organization = self.organization.clone();
        let destroy = |now| destroy_private_halves(&organization, &timing, now);
        let delete = |now| RETIRED_KEYS.forget(&organization, now);
        for step in [&destroy as &dyn Fn(Timestamp) -> Query<Row>, &delete] {
            loop {
                let Some(left) = transactions.checked_sub(1) else { return };
                transactions = left;
                if self.database.run(step(self.now).into_statement()).is_empty() {
                    break;
                }
            }
        }
        self.reseal(transactions, races);
    }

    fn reseal(&mut self, mut transactions: usize, races: bool) {
        let Some(previous) = self.master.previous_id().map(str::to_owned) else { return };
        let mut after = String::new();
        loop {
            let find = SIGNING_KEY.find(&self.organization, &previous, &after).unwrap();
            let rows = self.database.run(find.into_statement());
            let read = |row| SealedText::read(&SIGNING_KEY, &self.organization, row).unwrap();
            let found: Vec<SealedText> = rows.iter().map(read).collect();
            if races {
                self.job(transactions, false);
            }
            let Some(left) = transactions.checked_sub(1) else { return };
            transactions = left;
            let batch: Vec<Statement> =
                found.iter().filter_map(|text| text.reseal(&self.master, [4; 12]).unwrap()).collect();
            self.database.batch(batch);
            let Some(last) = found.last() else { return };
            after = last.row_key.clone();
        }
    }

    fn rotate(&mut self, twice: bool) {
        let (keys, timing) = (self.keys(self.now), self.timing());
        if keys.is_empty() {
            return;
        }
        let Ok(place) = Place::successor(&keys, &timing, self.now) else { return };
        let before = keys.len();
        for _ in 0..=usize::from(twice) {
            let batch = self.announcement(place);
            self.database.batch(batch);
        }
        assert_eq!(self.keys(self.now).len(), before + 1);
        let waiting = self.keys(self.now);
        assert!(Place::successor(&waiting, &timing, self.now).is_err());
    }

    /// All that was signed is lost, and everybody who verifies reads the keys anew.
    fn emergency(&mut self) {
        let keys = self.keys(self.now);
        if keys.is_empty() {
            return;
        }
        let key = self.new_key(Place::emergency(&keys, self.now));
        self.database.batch([key.store(&self.organization), key.condemn(&self.organization)]);
        let left = self.keys(self.now);
        assert_eq!(left.iter().map(|key| &key.key_id).collect::<Vec<_>>(), [&key.key_id]);
        // An instance whose clock is behind signs with it all the same.
        assert_eq!(signing_key(&left, self.at(2)).unwrap().key_id, key.key_id);
        (self.instances, self.caches, self.verifiers) = Default::default();
        self.tokens.clear();
    }

    fn sign(&mut self, instance: usize) {
        let keys = self.held(instance);
        let now = self.at(instance);
        let key = signing_key(&keys, now).expect("some key signs");
        key.open(&self.organization, &self.master).expect("it opens");
        let expires_at = now.after(self.configuration.jwt.access_token_expiry);
        self.tokens.push(Token { key: key.key_id.clone(), expires_at });
    }

    /// Once nothing needs the one before.
    fn rotate_master_key(&mut self) {
        let needed = self.master.previous_id().map(|previous| IsNeeded::find(previous).into_statement());
        if needed.is_none_or(|needed| self.database.run(needed).decode() == Ok(vec![IsNeeded(false)])) {
            let previous = master(self.master_byte);
            self.master_byte += 1;
            self.master = MasterKeys::new(master(self.master_byte), Some(previous));
            // Instances start anew with it.
            self.instances = Default::default();
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Advance(seconds) => self.now = self.now.after(Duration::from_seconds(seconds.into())),
            Step::Approach { seconds } => {
                let moment = self.next_change().map(|moment| moment.after(Duration::from_seconds(seconds)));
                self.now = moment.unwrap_or(self.now).max(self.now);
            }
            Step::Fill { cache } => {
                self.caches_keys(cache);
            }
            Step::Job { transactions, races } => self.job(transactions, races),
            Step::Rotate { twice } => self.rotate(twice),
            Step::Emergency => self.emergency(),
            Step::Sign { instance } => self.sign(instance),
            Step::ChangeAlgorithm => {
                let other = match self.configuration.jwt.algorithm {
                    Algorithm::Es256 => Algorithm::EdDsa,
                    Algorithm::EdDsa | Algorithm::Rs256 => Algorithm::Es256,
                };
                self.configuration.jwt.algorithm = other;
            }
            Step::RotateMasterKey => self.rotate_master_key(),
        }
    }

    /// What must hold, and what these readers see.
    fn check(&mut self, readers: [bool; 3]) {
        let stored = self.keys(self.now);
        let signing = stored.iter().filter(|key| key.phase(self.now) == Some(Phase::Signing)).count();
        assert!(signing <= 1, "one key signs at a time");
        assert!(stored.is_empty() || signing_key(&stored, self.now).is_some());
        assert!(stored.len() < 16);
        let (now, latest) = (self.now, self.at(1));
        self.tokens.retain(|token| latest < token.expires_at);
        let wanted: Vec<SigningKeyId> = self.tokens.iter().map(|token| token.key.clone()).collect();
        for reader in (0..SKEWS.len()).filter(|reader| readers[*reader]) {
            let known = self.verifiers_keys(reader);
            assert!(wanted.iter().all(|key| known.contains(key)), "verifier {reader} at {now}");
            let (held, now) = (self.held(reader), self.at(reader));
            let known =
                |id: &SigningKeyId| held.iter().any(|key| key.key_id == *id && key.phase(now).is_some());
            assert!(wanted.iter().all(known), "instance {reader} at {now}");
        }
    }
}

/// An instance that read the keys just before the announcement fills a cache as late as it can, the cache a
/// verifier as late as it can, and an instance whose clock is ahead signs.
#[test]
fn the_longest_chain_of_copies_is_waited_out() {
    let mut world = World::new(300, 3600, 36_000);
    world.take(&Step::Sign { instance: 0 });
    let began = world.now;
    world.now = began.after(Duration::from_seconds(1));
    world.rotate(false);
    let wait = world.timing().wait;
    world.now = began.after(Duration::from_seconds(59));
    world.caches_keys(0);
    world.now = began.after(Duration::from_seconds(59 + 299));
    assert_eq!(world.verifiers_keys(0).len(), 1);
    world.now = began.after(wait).before(Duration::from_seconds(13));
    world.take(&Step::Sign { instance: 1 });
    assert_ne!(world.tokens[0].key, world.tokens[1].key);
    world.check([true; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn no_token_ever_fails(
        max_age in prop::sample::select(vec![1_i64, 30, 300]),
        token_life in prop::sample::select(vec![60_i64, 900, 3600]),
        period in prop::sample::select(vec![60_i64, 1800, 36_000]),
        steps in prop::collection::vec((step(), any::<[bool; 3]>()), 1..160),
    ) {
        let mut world = World::new(max_age, token_life, period);
        for (step, readers) in &steps {
            world.take(step);
            world.check(*readers);
        }
        world.check([true; 3]);
        // However late it comes, the job leaves nothing behind but what is still needed.
        world.now = world.now.after(Duration::from_days(2));
        world.job(64, false);
        world.now = world.now.after(Duration::from_days(2));
        world.job(64, false);
        world.check([true; 3]);
        assert!(world.database.number("SELECT COUNT(*) FROM signing_keys") <= 2);
    }
}
