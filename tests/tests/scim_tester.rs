//! SCIM as another's conformance test sees it.
//!
//! What runs natively is ignored without the tester: `cargo xtask test` installs it and runs everything. By hand:
//! `IAM_TEST_SCIM=$PWD/.venv/bin/scim2 cargo test -p iam-tests --test scim_tester -- --include-ignored`

use iam_tests::deployment::Setup;
use iam_tests::scim_tester::{configuration, finds_nothing};

#[tokio::test]
#[ignore = "needs scim2-cli, which IAM_TEST_SCIM names"]
async fn the_conformance_tool_finds_nothing_natively() {
    let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration()));
    finds_nothing(&deployment).await;
    deployment.check().await;
}

#[cfg(feature = "hosts")]
#[tokio::test]
async fn the_conformance_tool_finds_nothing() {
    let (deployment, _running) = iam_tests::hosts::workerd(Setup::new(&configuration()));
    finds_nothing(&deployment).await;
}

#[cfg(feature = "hosts")]
#[tokio::test]
async fn the_conformance_tool_finds_nothing_on_spin() {
    let (deployment, _running) = iam_tests::hosts::spin(Setup::new(&configuration()));
    finds_nothing(&deployment).await;
}
