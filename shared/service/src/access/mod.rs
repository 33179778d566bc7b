//! Who is calling, and whether it may: every route says which [`Access`] it gives, and its handler runs only
//! after that was checked. A kind of credential is a file here, and a line in `identify` or in `Rule`.

mod access_token;
mod api_key;
mod bearer;
mod caller;
mod charge;
mod cookie;
mod identify;
mod internal;
mod origin;
mod rule;
mod scim;
mod session;
mod signature;

pub use access_token::{BearerToken, ValidToken};
pub use api_key::{KeyVerification, RefusedKey, verify_key};
pub use caller::{Caller, CallerCredential};
pub use charge::{RateLimited, RateLimits};
pub use cookie::{clear_session_cookie, session_cookie};
pub use identify::authenticate;
pub use origin::check_origin;
pub use rule::Access;
pub(crate) use rule::Rule;
pub use scim::ScimClient;
pub(crate) use signature::scheme;
pub use signature::verify_signature;
