//! The rotation of client secrets against a small model, whatever comes in whichever order: never more than
//! two are valid, and only time itself leaves a client that had one without any.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use iam_core::id::{ClientId, ClientSecretId, OrganizationId, UserId};
use iam_core::oauth::client::{AuthMethod, ClientRevocation, MAX_SECRETS, NewClient, NewSecret};
use iam_core::oauth::token::PresentedClient;
use iam_core::secret::credential::{CLIENT_SECRET_PREFIX, Credential};
use iam_core::sql::{Answers, Batch, Statement};
use iam_core::time::{Duration, Timestamp};
use iam_edge::native::TestHost;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_millis(1_763_800_000_000);

#[derive(Clone, Debug)]
enum Step {
    /// Create a secret that ends after so many seconds, or never.
    Create(Option<i64>),
    /// Revoke one of those that were ever created.
    Revoke(prop::sample::Index),
    /// Let time pass, in seconds.
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::option::of(1_i64..60).prop_map(Step::Create),
        4 => any::<prop::sample::Index>().prop_map(Step::Revoke),
        1 => (1_i64..40).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

/// A secret as the model has it.
struct Modelled {
    id: ClientSecretId,
    credential: Credential,
    ends: Option<Timestamp>,
    is_revoked: bool,
}

impl Modelled {
    fn is_valid(&self, now: Timestamp) -> bool {
        !self.is_revoked && self.ends.is_none_or(|ends| now < ends)
    }
}

struct World {
    host: TestHost,
    organization: OrganizationId,
    user_id: UserId,
    client_id: ClientId,
    secrets: Vec<Modelled>,
    now: Timestamp,
    made: u8,
}

impl World {
    async fn new() -> Self {
        let host = TestHost::new_in_memory().unwrap();
        host.apply(iam_edge::native::SCHEMA).unwrap();
        let organization: OrganizationId = "org_000000001".parse().unwrap();
        let user_id = UserId::new(START, [1; 10]);
        let client_id = ClientId::new(&organization, START, [2; 10]);
        let account = Statement::new(
            "INSERT INTO users (org_id, user_id, kind, username, username_key, status, managed_by, \
             created_at, updated_at) VALUES (?1, ?2, 'service_account', 'robot', 'robot', 'active', \
             'manual', 0, 0)",
        );
        let client = NewClient {
            organization: &organization,
            client_id: &client_id,
            user_id: &user_id,
            name: "a client",
            auth_method: AuthMethod::ClientSecret,
            jwks: None,
            scope: None,
            now: START,
        };
        let batch = vec![account.bind(&organization).bind(&user_id), client.create()];
        host.request().db("").batch(batch).await.unwrap();
        Self { host, organization, user_id, client_id, secrets: Vec::new(), now: START, made: 0 }
    }

    fn valid(&self) -> usize {
        self.secrets.iter().filter(|secret| secret.is_valid(self.now)).count()
    }

    /// Creates one; whether the database did.
    async fn create(&mut self, life: Option<i64>) -> bool {
        self.made += 1;
        let id = ClientSecretId::new(self.now, [self.made; 10]);
        let credential = Credential::new(CLIENT_SECRET_PREFIX, &self.organization, &[self.made; 32]);
        let ends = life.map(|seconds| self.now.after(Duration::from_seconds(seconds)));
        let new = NewSecret {
            organization: &self.organization,
            user_id: &self.user_id,
            client_id: &self.client_id,
            secret_id: &id,
            hash: &credential.hash(),
            expires_at: ends,
            now: self.now,
        };
        let mut batch = Batch::new();
        let created = batch.then(new.create());
        batch.then(new.close_expired());
        let rows = self.host.request().db("").batch(batch.into_statements()).await.unwrap();
        let is_done = Answers::new(rows).did(created).unwrap();
        if is_done {
            self.secrets.push(Modelled { id, credential, ends, is_revoked: false });
        }
        is_done
    }

    /// Revokes one; whether the database did.
    async fn revoke(&mut self, index: usize) -> bool {
        let revocation = ClientRevocation {
            organization: &self.organization,
            user_id: &self.user_id,
            client_id: &self.client_id,
            now: self.now,
        };
        let statement = revocation.revoke_secret(&self.secrets[index].id);
        let is_done = !self.host.request().db("").run(statement).await.unwrap().is_empty();
        self.secrets[index].is_revoked |= is_done;
        is_done
    }

    /// Whether each secret opens what the model says, and no more than two do.
    async fn check(&self) {
        assert!(self.valid() <= usize::try_from(MAX_SECRETS).unwrap());
        for secret in &self.secrets {
            let find =
                PresentedClient::find(&self.organization, &self.client_id, Some(&secret.credential.hash()));
            let rows = self.host.request().db("").run(find.into_statement()).await.unwrap();
            let client: PresentedClient = rows.decode_first().unwrap().unwrap();
            assert_eq!(client.has_valid_secret(self.now), secret.is_valid(self.now));
        }
    }

    async fn take(&mut self, step: Step) {
        let before = self.valid();
        match step {
            Step::Wait(seconds) => self.now = self.now.after(Duration::from_seconds(seconds)),
            Step::Create(life) => assert_eq!(self.create(life).await, before < 2),
            Step::Revoke(index) if !self.secrets.is_empty() => {
                let index = index.index(self.secrets.len());
                let secret = &self.secrets[index];
                let is_last = secret.is_valid(self.now) && before == 1;
                // One that has ended may have been closed when another was made: revoking it again changes
                // nothing.
                let may_be_closed = !secret.is_revoked && !secret.is_valid(self.now);
                let expected = !secret.is_revoked && !is_last;
                let is_done = self.revoke(index).await;
                assert!(is_done == expected || (may_be_closed && !is_done));
                assert!(before == 0 || self.valid() > 0, "a revocation left none");
            }
            Step::Revoke(_) => {}
        }
        self.check().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rotation_follows_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
            }
        });
    }
}

/// Creations and revocations at the same instant, over HTTP and on many threads.
#[tokio::test(flavor = "multi_thread")]
async fn races_leave_one_or_two() {
    let configuration = iam_tests::scenarios::configuration();
    let (deployment, _host) = iam_tests::native::start(iam_tests::deployment::Setup::new(&configuration));
    let admin = deployment.administrator().await;
    let account = iam_tests::scenarios::oauth::service_accounts::new_account(&admin, &[]).await;
    let client = iam_tests::scenarios::oauth::service_accounts::new_client(&admin, &account, None).await;
    let path = format!("{account}/clients/{}", client.text_at("/client_id"));
    for _ in 0..5 {
        let creations: Vec<_> = (0..6)
            .map(|_| {
                let (admin, path) = (admin.clone(), format!("{path}/secrets"));
                tokio::spawn(async move { admin.post(&path, &serde_json::json!({})).await.status })
            })
            .collect();
        let mut statuses = Vec::new();
        for creation in creations {
            statuses.push(creation.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);

        let shown = admin.get(&path).await.expect(200);
        let ids = shown.json["secrets"].as_array().unwrap().iter().map(|secret| secret["secret_id"].clone());
        let revocations: Vec<_> = ids
            .map(|id| {
                let (admin, path) = (admin.clone(), format!("{path}/secrets/{}", id.as_str().unwrap()));
                tokio::spawn(async move { admin.delete(&path).await.status })
            })
            .collect();
        let mut statuses = Vec::new();
        for revocation in revocations {
            statuses.push(revocation.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409]);
    }
    deployment.check().await;
}
