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
pub mod model;
pub mod native;
pub mod process;
pub mod receiver;
pub mod scenarios;
pub mod scim_tester;
pub mod sequences;
pub mod stage;
pub mod vault;

pub use client::{Answer, Client};
pub use deployment::Deployment;

/// Every scenario, listed once: by room, by file. Hands the list to another macro, behind what that one wants
/// besides.
#[macro_export]
macro_rules! each_scenario {
    ($callback:path, $with:ident) => {
        $callback! { $with
            sign_in {
                login => signs_in, wrong_credentials_look_alike, a_second_factor_is_refused,
                    a_token_opens_the_profile, a_forged_token_opens_nothing, sessions_are_limited;
                lockout => parallel_guesses_get_five_tries, an_unknown_account_locks_alike,
                    an_address_is_locked_over_all_accounts, a_made_up_organization_leaves_no_trace;
                sessions => a_browser_signs_in_with_a_cookie, another_site_changes_nothing,
                    are_listed_and_ended, are_their_owners, end_everywhere;
                refresh => rotates, of_twenty_at_once_one_wins, a_used_successor_is_given_to_nobody,
                    a_reused_token_ends_the_session;
                passwords => are_changed, are_refused_with_every_rule, are_not_used_again,
                    are_reset_by_an_administrator, a_reset_is_asked_for_without_telling,
                    of_two_resets_at_once_one_wins, guesses_are_bounded;
                break_glass => opens_once, is_listed_and_revoked, refuses_what_is_no_credential;
            }
            oauth {
                keyring => is_for_those_who_may, of_many_rotations_one_waits;
                well_known => keys_verify_tokens, copies_are_kept, metadata_names_the_endpoints,
                    the_description_is_served;
                service_accounts => are_administered, are_not_people, are_listed_in_pages, are_no_way_up,
                    are_created_once, secrets_rotate, keys_are_checked, are_out_of_reach_of_scim;
                tokens => a_client_gets_tokens, bad_requests_are_refused, a_scope_narrows,
                    tokens_end_with_their_client, assertions_work_once, introspection_tells,
                    revocation_ends_the_session, validation_tells, a_refresh_token_is_exchanged;
            }
            keys {
                api_keys => live_and_die, are_listed_in_pages, never_exceed_their_owner, are_created_once,
                    expire_by_schedule, a_key_is_a_credential, carry_ranges_and_notes, are_found_by_filters;
                limits => a_key_keeps_to_its_limit, a_key_is_bound_to_addresses, uses_are_counted;
                key_rights => nobody_gets_a_key_above_itself, a_wider_key_stops_its_schedule,
                    follow_their_owner, rest_with_their_owner, are_bounded, are_replaced_once;
                key_rotation => schedules_are_set, targets_are_checked, are_not_for_everybody;
            }
            directory {
                roles => roles_inherit, roles_never_go_round, nobody_grants_what_it_lacks,
                    roles_are_administered, roles_are_bounded, roles_in_use_stay, an_administrator_remains;
                groups => groups_live, groups_have_members;
                organizations => are_administered, are_apart;
                users => are_administered, bad_fields_are_named, come_and_go, are_created_once,
                    are_found_by_every_filter, nobody_reaches_above_itself, are_imported, are_exported;
            }
            provisioning {
                scim => a_user_is_provisioned, a_deactivated_user_is_out, groups_and_lists_work,
                    me_is_the_signed_in_user;
                scim_clients => are_administered, tokens_are_rotated;
                scim_providers => entra_tests_its_connection, entra_provisions_groups,
                    entra_provisions_users, entra_provisions_users_with_its_flag,
                    jumpcloud_tests_its_integration, okta_pushes_groups, okta_tests_the_specification,
                    okta_provisions_users, okta_provisions_users_by_put, onelogin_provisions;
            }
            webhooks {
                intake => every_scheme_is_taken, others_are_refused, replays_are_refused,
                    addresses_are_checked, secrets_are_rotated, a_challenge_is_answered, messages_are_fetched,
                    are_listed;
            }
            operation {
                flags => are_set_and_taken_back, bad_values_are_refused,
                    are_for_the_deployments_administrators;
                health => tells, details_need_a_permission;
                hostile => bad_bodies_are_problems, bad_requests_are_problems,
                    secrets_stay_out_of_answers;
                secrets => are_listed_without_their_values, are_out_of_reach;
            }
        }
    };
}

/// Makes every scenario a test against the deployment that `$deployment().await` gives.
#[macro_export]
macro_rules! scenarios {
    ($deployment:ident) => {
        $crate::each_scenario! { $crate::scenario_tests, $deployment }
    };
}

/// A test for each scenario of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! scenario_tests {
    ($deployment:ident $($room:ident { $($file:ident => $($name:ident),+;)+ })+) => {$(
        mod $room {
            use super::$deployment;

            $(
                mod $file {
                    use super::$deployment;

                    $(
                        #[tokio::test]
                        async fn $name() {
                            let deployment = $deployment().await;
                            $crate::scenarios::$room::$file::$name(deployment).await;
                            deployment.check().await;
                        }
                    )+
                }
            )+
        }
    )+};
}

/// Runs each scenario of the list against one deployment, one after the other.
#[doc(hidden)]
#[macro_export]
macro_rules! run_scenarios {
    ($deployment:ident $($room:ident { $($file:ident => $($name:ident),+;)+ })+) => {
        $($($(Box::pin($crate::scenarios::$room::$file::$name($deployment)).await;)+)+)+
    };
}

/// The tests of the built functions that need a deployment of their own, for a host that [`hosts`] starts:
/// the same on each.
#[macro_export]
macro_rules! host_scenarios {
    ($host:path) => {
        #[tokio::test]
        async fn switches_work_without_a_deploy() {
            let (deployment, _running) = $host($crate::scenarios::operation::flags::setup());
            $crate::scenarios::operation::flags::maintenance_turns_away(&deployment).await;
            $crate::scenarios::operation::flags::limits_are_switched(&deployment).await;
        }

        #[tokio::test]
        async fn an_organization_keeps_to_its_limit() {
            let (deployment, _running) = $host($crate::scenarios::keys::limits::with_organization_limit());
            $crate::scenarios::keys::limits::an_organization_keeps_to_its_limit(&deployment).await;
        }

        /// So many requests at once that a deployment shared with other scenarios would be no place for them.
        #[tokio::test]
        async fn a_revocation_is_seen_by_the_next() {
            let (deployment, _running) = $host($crate::scenarios::keys::limits::without_limits());
            $crate::scenarios::keys::limits::a_revocation_is_seen_by_the_next(&deployment).await;
        }

        #[tokio::test]
        async fn webhooks_wait_for_the_end_of_maintenance() {
            use $crate::scenarios::webhooks::intake;
            let setup = $crate::deployment::Setup::new(&intake::maintenance_configuration());
            let (deployment, _running) = $host(setup);
            intake::maintenance_is_told(&deployment).await;
        }

        /// The job, with a receiver: rotated by the built module, sent by the host, decrypted as its owner
        /// would.
        #[tokio::test]
        async fn an_aged_key_is_rotated() {
            use $crate::scenarios::keys::key_rotation;
            let receiver = $crate::receiver::Receiver::start(&[]);
            let aged = key_rotation::aged(&receiver.url);
            let (deployment, _running) = $host(aged.setup.clone());
            key_rotation::an_aged_key_is_rotated(&deployment, &aged, &receiver).await;
        }

        /// A target that fails, then takes it: sent by the host, signed by the built module.
        #[tokio::test]
        async fn a_webhook_is_forwarded() {
            use $crate::scenarios::webhooks::forwarding;
            let target = $crate::receiver::Receiver::start(&[500]);
            let setup = forwarding::setup(&forwarding::configuration(&target.url, 1));
            let (deployment, _running) = $host(setup);
            forwarding::a_message_is_forwarded(&deployment, &target).await;
        }

        /// A real OpenBao keeps the master key, takes a key that was rotated and issues a certificate.
        #[tokio::test]
        async fn a_vault_keeps_the_secrets() {
            use $crate::scenarios::operation::vault;
            let kept = vault::keeps().await;
            let (deployment, _running) = $host(kept.setup.clone());
            vault::keeps_the_secrets(&deployment, &kept).await;
        }
    };
}
