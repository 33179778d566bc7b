//! A refresh token family against a model of it: two parties who hold its tokens, retries, time, the
//! session's end, a master key that is rotated.

use iam_core::config::Configuration;
use iam_core::encoding::base64url;
use iam_core::id::{LogId, OrganizationId, SessionId, UserId};
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::secret::credential::{Credential, CredentialHash, REFRESH_TOKEN_PREFIX};
use iam_core::secret::seal::{MasterKey, MasterKeys};
use iam_core::sign_in::session::{
    NewSession, REFRESH_TOKEN_SPENT, Refresh, RefreshVerdict, SESSION_NOT_ENDED, SessionKind, end,
};
use iam_core::sql::{Answers, Batch};
use iam_core::time::{Duration, Timestamp};
use iam_tests::model::Database;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// A holder uses the token it has, so many times at once, and keeps what it gets.
    Refresh {
        holder: usize,
        times: usize,
    },
    /// A holder did not hear the answer and asks again with the token before.
    Retry {
        holder: usize,
    },
    /// Somebody comes with any token there ever was.
    Replay {
        token: usize,
    },
    Advance {
        milliseconds: i64,
    },
    EndSession,
    SuspendUser,
    RotateMasterKey,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..2, 1_usize..4).prop_map(|(holder, times)| Step::Refresh { holder, times }),
        4 => (0_usize..2).prop_map(|holder| Step::Retry { holder }),
        2 => (0_usize..64).prop_map(|token| Step::Replay { token }),
        8 => (0_i64..6_000).prop_map(|milliseconds| Step::Advance { milliseconds }),
        1 => (60_000_i64..2_000_000).prop_map(|milliseconds| Step::Advance { milliseconds }),
        1 => Just(Step::EndSession),
        1 => Just(Step::SuspendUser),
        1 => Just(Step::RotateMasterKey),
    ]
}

/// What a refresh comes to, in the model's words.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Gives(usize),
    AlreadySpent,
    Reused,
    Ended,
}

/// The reference: a chain of tokens, of which all but the last are spent.
struct Family {
    spent_at: Vec<Option<Timestamp>>,
    expires_at: Vec<Timestamp>,
    session_expires_at: Timestamp,
    last_activity: Timestamp,
    ended: bool,
    suspended: bool,
}

impl Family {
    fn refresh(&mut self, token: usize, configuration: &Configuration, now: Timestamp) -> Expected {
        let live = !self.ended
            && !self.suspended
            && now < self.session_expires_at
            && now < self.last_activity.after(configuration.session.idle_timeout);
        match self.spent_at[token] {
            _ if self.ended => Expected::Ended,
            Some(spent_at) if now >= spent_at.after(configuration.jwt.refresh_reuse_tolerance) => {
                self.ended = true;
                Expected::Reused
            }
            _ if !live => Expected::Ended,
            None if now >= self.expires_at[token] => Expected::Ended,
            None => {
                self.spent_at[token] = Some(now);
                self.last_activity = now;
                self.spent_at.push(None);
                let life = now.after(configuration.jwt.refresh_token_expiry);
                self.expires_at.push(life.min(self.session_expires_at));
                Expected::Gives(token + 1)
            }
            Some(_) if self.spent_at[token + 1].is_none() && now < self.expires_at[token + 1] => {
                Expected::Gives(token + 1)
            }
            Some(_) => Expected::AlreadySpent,
        }
    }
}

struct World {
    database: Database,
    configuration: Configuration,
    organization: OrganizationId,
    session_id: SessionId,
    user_id: UserId,
    master: MasterKeys,
    is_rotated: bool,
    now: Timestamp,
    serial: u64,
    /// The texts of the tokens, in the order of the family.
    texts: Vec<String>,
    /// Which token each holder has.
    held: [usize; 2],
    family: Family,
}

fn key(byte: u8) -> MasterKey {
    MasterKey::parse(&base64url(&[byte; 32])).unwrap()
}

impl World {
    fn new() -> Self {
        let document = r#"{"session": {"timeout": "2h", "idle_timeout": "20m"},
            "jwt": {"refresh_token_expiry": "25m", "refresh_reuse_tolerance": "5s"}}"#;
        let configuration = Configuration::parse(document, []).unwrap();
        let now = Timestamp::from_millis(1_763_800_000_000);
        let organization = configuration.organization.clone();
        let (user_id, session_id) = (UserId::new(now, [1; 10]), SessionId::new(now, [2; 10]));
        let mut database = Database::default();
        database.execute(&format!(
            "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
             updated_at) VALUES ('{organization}', '{}', 'model', 'model', 'active', 'manual', 0, 0)",
            user_id.as_str()
        ));
        let session = NewSession {
            organization: &organization,
            session_id: &session_id,
            user_id: &user_id,
            kind: SessionKind::Interactive,
            client_id: None,
            scope: None,
            token_hash: None,
            life: configuration.session.timeout,
            ip_address: None,
            user_agent: None,
            mfa_verified: false,
            now,
        };
        let first = Credential::new(REFRESH_TOKEN_PREFIX, &organization, &[7; 32]);
        let expires_at = now.after(configuration.jwt.refresh_token_expiry);
        database.batch([session.begin(), session.first_refresh_token(&first.hash(), expires_at)]);
        let family = Family {
            spent_at: vec![None],
            expires_at: vec![expires_at],
            session_expires_at: now.after(configuration.session.timeout),
            last_activity: now,
            ended: false,
            suspended: false,
        };
        Self {
            database,
            organization,
            session_id,
            user_id,
            master: MasterKeys::new(key(1), None),
            is_rotated: false,
            now,
            serial: 0,
            texts: vec![first.reveal().to_owned()],
            held: [0, 0],
            family,
            configuration,
        }
    }

    fn event(&mut self, action: &'static str, outcome: Outcome) -> AuditEvent {
        self.serial += 1;
        let mut entropy = [0; 10];
        entropy[..8].copy_from_slice(&self.serial.to_be_bytes());
        AuditEvent {
            organization: self.organization.clone(),
            log_id: LogId::new(self.now, entropy),
            timestamp: self.now,
            actor: Actor::Manual,
            user_id: None,
            act: iam_tests::model::act(action, "session"),
            resource_id: None,
            ip_address: None,
            user_agent: None,
            outcome,
            request_id: None,
            details: serde_json::Map::new(),
        }
    }

    /// As a handler does it; the token that came of it, or why none.
    fn exchange(&mut self, token: usize) -> Result<String, RefreshVerdict> {
        let presented = Credential::parse(REFRESH_TOKEN_PREFIX, &self.texts[token]).unwrap();
        let successors: Vec<Credential> = self
            .master
            .derive(presented.reveal())
            .map(|secret| Credential::new(REFRESH_TOKEN_PREFIX, &self.organization, &secret))
            .collect();
        let hashes: Vec<CredentialHash> = successors.iter().map(Credential::hash).collect();
        let event = self.event("token.refresh", Outcome::Success);
        let (record, presented, organization) =
            (event.log_id.clone(), presented.hash(), self.organization.clone());
        let refresh = Refresh {
            organization: &organization,
            presented: &presented,
            successor: &hashes[0],
            record: &record,
            now: self.now,
        };
        let session = &self.configuration.session;
        let mut batch = Batch::from([
            refresh.spend(session),
            refresh.store_successor(self.now.after(self.configuration.jwt.refresh_token_expiry)),
            refresh.note_activity(),
            event.record_if(REFRESH_TOKEN_SPENT, &presented),
        ]);
        let inspected = batch.ask(refresh.inspect(session));
        let answers = Answers::new(self.database.batch(batch.into_statements()));
        let inspected = answers.one(inspected).unwrap().expect("it is a token of ours");
        assert_eq!((&inspected.session_id, &inspected.user_id), (&self.session_id, &self.user_id));
        let tolerance = self.configuration.jwt.refresh_reuse_tolerance;
        match inspected.verdict(&refresh, &hashes, tolerance) {
            RefreshVerdict::Granted => Ok(successors[0].reveal().to_owned()),
            RefreshVerdict::Repeated(position) => Ok(successors[position].reveal().to_owned()),
            verdict => {
                if verdict == RefreshVerdict::Reused {
                    let event = self.event("token.reuse", Outcome::Failure).on(self.session_id.as_str());
                    self.database.batch([
                        event.record_if(SESSION_NOT_ENDED, &self.session_id),
                        end(&self.organization, &self.session_id, "refresh_token_reused", self.now),
                    ]);
                }
                Err(verdict)
            }
        }
    }

    /// Exchanges for real and in the model: both say the same.
    fn compare(&mut self, token: usize) -> Option<usize> {
        let before = self.texts.len();
        let expected = self.family.refresh(token, &self.configuration, self.now);
        match self.exchange(token) {
            Ok(text) => {
                assert_eq!(expected, Expected::Gives(token + 1));
                if self.family.spent_at.len() > before {
                    assert!(!self.texts.contains(&text), "a new member is new");
                    self.texts.push(text);
                } else {
                    assert_eq!(text, self.texts[token + 1], "a retry gets the same");
                }
                Some(token + 1)
            }
            Err(verdict) => {
                let known = match verdict {
                    RefreshVerdict::AlreadySpent => Expected::AlreadySpent,
                    RefreshVerdict::Reused => Expected::Reused,
                    RefreshVerdict::Ended => Expected::Ended,
                    RefreshVerdict::Granted | RefreshVerdict::Repeated(_) => panic!("{verdict:?} gives"),
                };
                assert_eq!(expected, known);
                None
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Refresh { holder, times } => {
                let token = self.held[holder];
                for _ in 0..times {
                    self.held[holder] = self.compare(token).unwrap_or(token);
                }
            }
            Step::Retry { holder } => {
                if let Some(before) = self.held[holder].checked_sub(1) {
                    self.compare(before);
                }
            }
            Step::Replay { token } => {
                self.compare(token % self.texts.len());
            }
            Step::Advance { milliseconds } => self.now = self.now.after(Duration::from_millis(milliseconds)),
            Step::EndSession => {
                self.database.run(end(&self.organization, &self.session_id, "terminated", self.now));
                self.family.ended = true;
            }
            Step::SuspendUser => {
                self.database.execute("UPDATE users SET status = 'suspended'");
                self.family.suspended = true;
            }
            Step::RotateMasterKey if !self.is_rotated => {
                self.master = MasterKeys::new(key(2), Some(key(1)));
                self.is_rotated = true;
            }
            Step::RotateMasterKey => {}
        }
    }

    fn check(&self) {
        let members = i64::try_from(self.texts.len()).unwrap();
        let number = |sql: &str| self.database.number(sql);
        assert_eq!(number("SELECT COUNT(*) FROM refresh_tokens"), members);
        assert_eq!(number("SELECT COUNT(*) FROM refresh_tokens WHERE spent_at IS NULL"), 1);
        let recorded =
            |action: &str| number(&format!("SELECT COUNT(*) FROM audit_events WHERE action = '{action}'"));
        assert_eq!(recorded("token.refresh"), members - 1, "one record a member, none a retry");
        assert!(recorded("token.reuse") <= 1);
        assert_eq!(number("SELECT ended_at IS NOT NULL FROM sessions") != 0, self.family.ended);
        let outlives = "SELECT COUNT(*) FROM refresh_tokens, sessions WHERE refresh_tokens.expires_at > \
                        sessions.expires_at";
        assert_eq!(number(outlives), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_family_does_as_its_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
