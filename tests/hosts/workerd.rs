//! The scenarios on the built functions, on real workerd, with a real collector behind them.

use std::sync::OnceLock;

use iam_tests::deployment::{Deployment, Setup};
use iam_tests::scenarios::oauth::algorithms;
use iam_tests::stage::Stage;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::start(iam_tests::hosts::workerd))
}

async fn deployment() -> &'static Deployment {
    &stage().deployment
}

iam_tests::scenarios!(deployment);
iam_tests::host_scenarios!(iam_tests::hosts::workerd);

#[tokio::test]
async fn telemetry_reaches_a_real_collector() {
    let stage = stage();
    iam_tests::scenarios::operation::telemetry::arrives(&stage.deployment, &stage.collector).await;
}

#[tokio::test]
async fn the_host_layer_conforms() {
    iam_tests::conformance::workerd().await;
}

#[tokio::test]
async fn tokens_are_signed_by_the_host_with_rs256_where_configured() {
    let setup = Setup::new(&algorithms::configuration_with("RS256"));
    let (deployment, _running) = iam_tests::hosts::workerd(setup);
    algorithms::signs_with(&deployment, "RS256").await;
}

/// The host verifies what the module signed: another implementation on each side.
#[tokio::test]
async fn tokens_are_signed_with_eddsa_where_configured() {
    let setup = Setup::new(&algorithms::configuration_with("EdDSA"));
    let (deployment, _running) = iam_tests::hosts::workerd(setup);
    algorithms::signs_with(&deployment, "EdDSA").await;
}

#[tokio::test]
async fn cron_runs_the_job() {
    let stage = stage();
    iam_tests::scenarios::keys::api_keys::expire_by_cron(&stage.deployment).await;
}
