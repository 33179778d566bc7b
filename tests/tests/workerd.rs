//! The scenarios on the built functions, on real workerd, with a real collector behind them.

use std::sync::OnceLock;

use iam_tests::deployment::{Deployment, Setup};
use iam_tests::receiver::Receiver;
use iam_tests::scenarios::{algorithms, key_rotation as turning, vault, webhook_forwarding as forwarding};
use iam_tests::stage::Stage;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::start(iam_tests::hosts::workerd))
}

async fn deployment() -> &'static Deployment {
    &stage().deployment
}

iam_tests::scenarios!(deployment);

#[tokio::test]
async fn telemetry_reaches_a_real_collector() {
    let stage = stage();
    iam_tests::scenarios::telemetry::arrives(&stage.deployment, &stage.collector).await;
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
async fn webhooks_wait_for_the_end_of_maintenance() {
    let setup = Setup::new(&iam_tests::scenarios::webhooks::maintenance_configuration());
    let (deployment, _running) = iam_tests::hosts::workerd(setup);
    iam_tests::scenarios::webhooks::maintenance_is_told(&deployment).await;
}

#[tokio::test]
async fn cron_runs_the_job() {
    let stage = stage();
    iam_tests::scenarios::api_keys::expire_by_cron(&stage.deployment).await;
}

#[tokio::test]
async fn switches_work_without_a_deploy() {
    let (deployment, _running) = iam_tests::hosts::workerd(iam_tests::scenarios::flags::setup());
    iam_tests::scenarios::flags::maintenance_turns_away(&deployment).await;
    iam_tests::scenarios::flags::limits_are_switched(&deployment).await;
}

/// The job, with a receiver: turned by the built module, sent by the host, decrypted as its owner would.
#[tokio::test]
async fn an_aged_key_turns() {
    let receiver = Receiver::start(&[]);
    let aged = turning::aged(&receiver.url);
    let (deployment, _running) = iam_tests::hosts::workerd(aged.setup.clone());
    turning::an_aged_key_turns(&deployment, &aged, &receiver).await;
}

#[tokio::test]
async fn a_revocation_is_seen_by_the_next() {
    let (deployment, _running) = iam_tests::hosts::workerd(iam_tests::scenarios::limits::without_limits());
    iam_tests::scenarios::limits::a_revocation_is_seen_by_the_next(&deployment, 1000).await;
}

/// A target that fails, then takes it: sent by the host, signed by the built module.
#[tokio::test]
async fn a_webhook_is_forwarded() {
    let target = Receiver::start(&[500]);
    let setup = forwarding::setup(&forwarding::configuration(&target.url, 1));
    let (deployment, _running) = iam_tests::hosts::workerd(setup);
    forwarding::a_message_is_forwarded(&deployment, &target).await;
}

/// A real OpenBao keeps the master key, takes a key that turned and issues a certificate.
#[tokio::test]
async fn a_vault_keeps_the_secrets() {
    let kept = vault::keeps().await;
    let (deployment, _running) = iam_tests::hosts::workerd(kept.setup.clone());
    vault::keeps_the_secrets(&deployment, &kept).await;
}
