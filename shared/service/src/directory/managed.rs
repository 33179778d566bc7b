//! What SCIM manages and callers of the API may not change.

use iam_core::directory::managed::LocalEdits;

use crate::context::Context;
use crate::request::error::ApiError;

impl Context {
    /// What may be changed of what SCIM manages.
    ///
    /// # Errors
    /// 500 where the configuration can't be read.
    pub fn local_edits(&self) -> Result<LocalEdits<'_>, ApiError> {
        LocalEdits::new(&self.configuration().scim).map_err(|error| ApiError::internal(error.to_string()))
    }
}

/// 409: SCIM alone decides on a group's name and on who is in it.
#[must_use]
pub fn group_is_managed(display_name: &str) -> ApiError {
    let detail = format!("the group `{display_name}` is managed over SCIM: change it where it comes from");
    ApiError::conflict("managed_by_scim", detail)
}

/// 409: SCIM alone decides on these fields of the user, JSON pointers.
#[must_use]
pub fn fields_are_managed<'a>(pointers: impl IntoIterator<Item = &'a str>) -> ApiError {
    let detail = "the user is managed over SCIM: change it where it comes from";
    let error = ApiError::conflict("managed_by_scim", detail);
    pointers.into_iter().fold(error, |error, pointer| error.and_field(pointer, "managed over SCIM"))
}
