//! The scenarios on the native host.

use std::sync::OnceLock;

use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::scenarios::algorithms;

async fn deployment() -> &'static Deployment {
    static DEPLOYMENT: OnceLock<Deployment> = OnceLock::new();
    DEPLOYMENT.get_or_init(|| iam_tests::native::start(Setup::new(&iam_tests::scenarios::configuration())).0)
}

iam_tests::scenarios!(deployment);

#[tokio::test]
async fn tokens_are_signed_with_eddsa_where_configured() {
    let setup = Setup::new(&algorithms::configuration_with("EdDSA"));
    algorithms::signs_with(&iam_tests::native::start(setup).0, "EdDSA").await;
}

#[tokio::test]
async fn rs256_is_refused_where_the_host_does_not_sign_it() {
    let setup = Setup::new(&algorithms::configuration_with("RS256"));
    algorithms::refuses_rs256(&iam_tests::native::start(setup).0).await;
}

#[tokio::test]
async fn a_bad_configuration_stops_the_start() {
    let mut setup = Setup::new(&iam_tests::scenarios::configuration());
    setup.configuration = r#"{"session": {"timeout": "8 hours"}}"#.to_owned();
    let answer = iam_tests::native::start(setup).0.client().get("/health").await.expect(500);
    assert_eq!(answer.text_at("/code"), "configuration_invalid");
}
