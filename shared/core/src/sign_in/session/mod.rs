//! Sessions and their refresh tokens.
//!
//! A session begins with a sign-in and is the family of the refresh tokens that follow from it. Whatever must
//! happen once is one conditional statement: of two refreshes at the same instant one finds the token
//! unspent.

mod begin;
mod end;
pub mod listed;
mod live;
mod refresh;

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use begin::{NewSession, SESSION_EXISTS};
pub use end::{
    OWN_SESSION_NOT_ENDED, SESSION_NOT_ENDED, SessionCount, count_of, end, end_all_but, end_owned,
};
pub use live::{ACTIVITY_GRAIN, LiveSession};
pub use refresh::{InspectedRefreshToken, REFRESH_TOKEN_SPENT, Refresh, RefreshVerdict};

use crate::sql::RowError;

/// How a session came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A person signed in. It idles out, and counts towards the person's limit.
    Interactive,
    /// One token of an OAuth client: it lasts as long as the token, used or not.
    Client,
    /// An emergency credential was used. It idles out and counts towards no limit.
    BreakGlass,
}

impl SessionKind {
    /// Its word in the database and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Client => "client",
            Self::BreakGlass => "break_glass",
        }
    }

    fn idles_out(self) -> bool {
        self != Self::Client
    }
}

impl FromStr for SessionKind {
    type Err = RowError;

    fn from_str(text: &str) -> Result<Self, RowError> {
        [Self::Interactive, Self::Client, Self::BreakGlass]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(RowError::unreadable("kind"))
    }
}
