//! SCIM as another's conformance test sees it.
//!
//! Ignored without the tester: `cargo xtask test` installs it and runs everything. By hand:
//! `IAM_TEST_SCIM=$PWD/.venv/bin/scim2 cargo test -p iam-tests --test native tester -- --include-ignored`

use iam_tests::deployment::Setup;
use iam_tests::scim_tester::{configuration, finds_nothing};

#[tokio::test]
#[ignore = "needs scim2-cli, which IAM_TEST_SCIM names"]
async fn the_conformance_tool_finds_nothing_natively() {
    let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration()));
    finds_nothing(&deployment).await;
    deployment.check().await;
}
