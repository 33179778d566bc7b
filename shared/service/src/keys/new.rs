//! Making API keys.

use iam_core::id::OrganizationId;
use iam_core::secret::credential::Credential;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::request::error::ApiError;

impl Context {
    /// A new API key of an organization.
    ///
    /// # Errors
    /// When the host has no randomness to give.
    pub fn new_api_key(&self, organization: &OrganizationId) -> Result<Credential, ApiError> {
        let configuration = self.configuration();
        let prefix = configuration.api_key_prefix();
        let entropy = Zeroizing::new(self.entropy()?);
        Ok(Credential::with_length(&prefix, organization, &entropy, configuration.api_keys.entropy_bits / 8))
    }
}
