//! Identity providers as they really speak: the recorded sequences of `tests/data/scim`.

use crate::{Deployment, sequences};

macro_rules! played {
    ($($name:ident => $file:literal),+ $(,)?) => {
        $(
            #[doc = concat!("Plays `", $file, ".json`.")]
            pub async fn $name(deployment: &Deployment) {
                sequences::play($file, &deployment.base_url, &deployment.scim()).await;
            }
        )+

        /// The files that are played.
        #[cfg(test)]
        const PLAYED: &[&str] = &[$($file),+];
    };
}

played!(
    entra_tests_its_connection => "entra-connection",
    entra_provisions_groups => "entra-groups",
    entra_provisions_users => "entra-users",
    entra_provisions_users_with_its_flag => "entra-users-compliant",
    jumpcloud_tests_its_integration => "jumpcloud",
    okta_pushes_groups => "okta-groups",
    okta_tests_the_specification => "okta-specification-test",
    okta_provisions_users => "okta-users",
    okta_provisions_users_by_put => "okta-users-by-put",
    onelogin_provisions => "onelogin",
);

/// No file is forgotten.
#[test]
fn every_sequence_is_played() {
    let files: Vec<&str> = sequences::FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(PLAYED, files);
}
