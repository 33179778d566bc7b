//! Acts: what can be done, as it stands in a record.

/// One kind of act. Each room has its own, as constants in its `acts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// Its name in the record: `login`, `api_key.create`, `scim.user.update`, …
    pub name: &'static str,
    /// The kind of thing it is done to: `session`, `api_key`, `user`, …
    pub resource: &'static str,
    /// How much an auditor cares.
    pub severity: Severity,
    /// What of people its records hold.
    pub personal_data: PersonalData,
}

/// How much an auditor cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Everyday work: a sign-in, a token refreshed.
    Routine,
    /// A change of what exists or of who may do what.
    Notable,
    /// What a defender looks at: emergency access, reuse of a token, a master key.
    Critical,
}

impl Severity {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Routine => "routine",
            Self::Notable => "notable",
            Self::Critical => "critical",
        }
    }
}

/// What of people the records of an act hold, beyond the ids of who acted and where from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonalData {
    /// Nothing: ids, counts and reasons alone.
    None,
    /// A name that identifies somebody: a user name, an e-mail address.
    Identifier,
    /// What somebody is like: attributes of a profile that were changed.
    Profile,
}

impl PersonalData {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Identifier => "identifier",
            Self::Profile => "profile",
        }
    }
}

/// The acts of a room: a constant each, and the list of all of them, `ALL`.
///
/// ```
/// iam_core::acts! {
///     /// A door was opened.
///     pub OPEN = "door.open" on "door", Routine, None;
/// }
/// assert_eq!(ALL[0], &OPEN);
/// assert_eq!(OPEN.resource, "door");
/// assert_eq!(DOCUMENTED[0], (&OPEN, " A door was opened."));
/// ```
#[macro_export]
macro_rules! acts {
    ($(
        $(#[doc = $documentation:literal])+
        pub $constant:ident = $name:literal on $resource:literal, $severity:ident, $personal:ident;
    )+) => {
        $(
            $(#[doc = $documentation])+
            pub const $constant: $crate::record::Act = $crate::record::Act {
                name: $name,
                resource: $resource,
                severity: $crate::record::Severity::$severity,
                personal_data: $crate::record::PersonalData::$personal,
            };
        )+

        /// All of them.
        pub const ALL: &[&$crate::record::Act] = &[$(&$constant),+];

        /// All of them with what they mean, for the reference.
        #[cfg(not(target_family = "wasm"))]
        pub const DOCUMENTED: &[(&$crate::record::Act, &str)] =
            &[$((&$constant, concat!($($documentation),+))),+];
    };
}
