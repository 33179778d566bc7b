//! The scenarios on the built functions, on a Spin-compatible host, with a real collector behind them.

use std::sync::OnceLock;

use iam_tests::deployment::{Deployment, Setup};
use iam_tests::receiver::Receiver;
use iam_tests::scenarios::{key_rotation as turning, vault, webhook_forwarding as forwarding};
use iam_tests::stage::Stage;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::start(iam_tests::hosts::spin))
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
    iam_tests::conformance::spin().await;
}

#[tokio::test]
async fn switches_work_without_a_deploy() {
    let (deployment, _running) = iam_tests::hosts::spin(iam_tests::scenarios::flags::setup());
    iam_tests::scenarios::flags::maintenance_turns_away(&deployment).await;
    iam_tests::scenarios::flags::limits_are_switched(&deployment).await;
}

#[tokio::test]
async fn webhooks_wait_for_the_end_of_maintenance() {
    let setup = Setup::new(&iam_tests::scenarios::webhooks::maintenance_configuration());
    let (deployment, _running) = iam_tests::hosts::spin(setup);
    iam_tests::scenarios::webhooks::maintenance_is_told(&deployment).await;
}

/// The job, with a receiver: turned by the built module, sent by the host, decrypted as its owner would.
#[tokio::test]
async fn an_aged_key_turns() {
    let receiver = Receiver::start(&[]);
    let aged = turning::aged(&receiver.url);
    let (deployment, _running) = iam_tests::hosts::spin(aged.setup.clone());
    turning::an_aged_key_turns(&deployment, &aged, &receiver).await;
}

/// Fewer at the same moment than elsewhere: the first requests of an instance lease in a transaction that writes, before they
/// know whether limits are enforced, and SQLite has one at a time.
#[tokio::test]
async fn a_revocation_is_seen_by_the_next() {
    let (deployment, _running) = iam_tests::hosts::spin(iam_tests::scenarios::limits::without_limits());
    iam_tests::scenarios::limits::a_revocation_is_seen_by_the_next(&deployment, 50).await;
}

/// A target that fails, then takes it: sent by the host, signed by the built module.
#[tokio::test]
async fn a_webhook_is_forwarded() {
    let target = Receiver::start(&[500]);
    let setup = forwarding::setup(&forwarding::configuration(&target.url, 1));
    let (deployment, _running) = iam_tests::hosts::spin(setup);
    forwarding::a_message_is_forwarded(&deployment, &target).await;
}

/// A real OpenBao keeps the master key, takes a key that turned and issues a certificate.
#[tokio::test]
async fn a_vault_keeps_the_secrets() {
    let kept = vault::keeps().await;
    let (deployment, _running) = iam_tests::hosts::spin(kept.setup.clone());
    vault::keeps_the_secrets(&deployment, &kept).await;
}
