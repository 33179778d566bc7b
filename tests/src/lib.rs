//! Edge IAM from outside.
//!
//! A [`Deployment`] is the whole product behind one address, on some host. A scenario is behaviour seen over
//! HTTP; [`scenarios!`] makes each a test of a host, so that all hosts are held to the same.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]
#![expect(clippy::disallowed_methods, reason = "this crate runs natively alone")]

pub mod client;
pub mod collector;
pub mod conformance;
pub mod deployment;
pub mod hosts;
pub mod native;
pub mod process;
pub mod scenarios;
pub mod stage;

pub use client::{Answer, Client};
pub use deployment::Deployment;

/// Makes every scenario a test against the deployment that `$deployment().await` gives.
#[macro_export]
macro_rules! scenarios {
    ($deployment:ident) => {
        $crate::scenarios! { @each $deployment,
            sign_in => signs_in, wrong_credentials_look_alike, a_token_opens_the_profile, a_forged_token_opens_nothing,
                sessions_are_limited;
            refresh => rotates, of_two_at_once_one_wins, a_reused_token_ends_the_session;
            api_keys => live_and_die, are_listed_in_pages, never_exceed_their_owner, are_created_once, expire_by_schedule,
                a_key_is_a_credential;
            health => tells, details_need_a_permission;
            hostile => bad_bodies_are_problems, bad_requests_are_problems, secrets_stay_out_of_answers;
            scim => a_user_is_provisioned, a_deactivated_user_is_out;
            users => are_administered, bad_fields_are_named, come_and_go, are_created_once, are_found_by_every_filter,
                nobody_reaches_above_itself, are_imported, are_exported;
        }
    };
    (@each $deployment:ident, $($module:ident => $($name:ident),+;)+) => {$(
        mod $module {
            $(
                #[tokio::test]
                async fn $name() {
                    let deployment = super::$deployment().await;
                    $crate::scenarios::$module::$name(deployment).await;
                    deployment.check().await;
                }
            )+
        }
    )+};
}
