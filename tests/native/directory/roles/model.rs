//! What roles should do, as plainly as can be; and what people may do to them.

use std::collections::{BTreeMap, BTreeSet};

use iam_core::directory::role::RoleRefusal;
use iam_core::permission::{Grant, Grants};
use proptest::prelude::*;

/// Wide and narrow ones of which some include others.
pub(crate) const GRANTS: [&str; 8] = [
    "*",
    "a.*",
    "read.*",
    "a.read.own",
    "a.read.all",
    "a.write.team",
    "b.*.organization",
    "b.read.organization",
];
pub(crate) const ROLES: [&str; 6] = ["admin", "r1", "r2", "r3", "r4", "r5"];
/// The first is the administrator.
pub(crate) const PEOPLE: usize = 3;

pub(crate) type Names = BTreeSet<String>;

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Create { role: usize, grants: Names, inherits: Names },
    Change { role: usize, grants: Option<Names>, inherits: Option<Names> },
    Delete { role: usize, by_force: bool },
    Give { role: usize, person: usize },
    Take { role: usize, person: usize },
}

/// Who does what, and what somebody else does between its reading and its writing.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) actor: usize,
    pub(crate) act: Act,
    pub(crate) between: Option<Between>,
}

#[derive(Clone, Debug)]
pub(crate) enum Between {
    /// Anything, by anybody.
    Anything(usize, Act),
    /// What the act is about, or what that inherits from, comes to grant everything: the number chooses
    /// which.
    Raise(usize),
}

pub(crate) fn names(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Names> {
    proptest::collection::btree_set(proptest::sample::select(of).prop_map(str::to_owned), 0..=most)
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    let role = || 0..ROLES.len();
    let (grants, inherits) = (|| names(&GRANTS, 2), || names(&ROLES, 2));
    prop_oneof![
        3 => (role(), grants(), inherits())
            .prop_map(|(role, grants, inherits)| Act::Create { role, grants, inherits }),
        6 => (role(), proptest::option::of(grants()), proptest::option::of(inherits()))
            .prop_map(|(role, grants, inherits)| Act::Change { role, grants, inherits }),
        1 => (role(), any::<bool>()).prop_map(|(role, by_force)| Act::Delete { role, by_force }),
        3 => (role(), 0..PEOPLE).prop_map(|(role, person)| Act::Give { role, person }),
        1 => (role(), 0..PEOPLE).prop_map(|(role, person)| Act::Take { role, person }),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let between = prop_oneof![
        (0..PEOPLE, act()).prop_map(|(actor, act)| Between::Anything(actor, act)),
        any::<usize>().prop_map(Between::Raise),
    ];
    let between = proptest::option::of(between);
    (0..PEOPLE, act(), between).prop_map(|(actor, act, between)| Step { actor, act, between })
}

/// What an act comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    NoRole,
    NoParent,
    NotHeld,
    /// Never: there are not so many.
    TooManyGrants,
    Administrator,
    Exists,
    Circular,
    Inherited,
    InUse,
    LastAdministrator,
    ChangedMeanwhile,
}

impl From<RoleRefusal> for Verdict {
    fn from(refusal: RoleRefusal) -> Self {
        match refusal {
            RoleRefusal::NotHeld(_) => Self::NotHeld,
            RoleRefusal::Administrator => Self::Administrator,
            RoleRefusal::TooManyGrants => Self::TooManyGrants,
        }
    }
}

/// A role's own grants and parents.
pub(crate) type Known = (Names, Names);

/// What should be so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) roles: BTreeMap<String, Known>,
    /// The roles of each person.
    pub(crate) held: [Names; PEOPLE],
}

impl Model {
    pub(crate) fn closure(&self, role: &str) -> Names {
        let (mut seen, mut next, mut grants) = (Names::new(), vec![role.to_owned()], Names::new());
        while let Some(role) = next.pop() {
            if seen.insert(role.clone()) {
                let (own, parents) = &self.roles[&role];
                grants.extend(own.iter().cloned());
                next.extend(parents.iter().cloned());
            }
        }
        grants
    }

    /// Everything that an act is about: the role, the parents it shall have, and what those inherit from.
    pub(crate) fn concerned(&self, act: &Act) -> Vec<usize> {
        let (role, parents) = match act {
            Act::Create { role, inherits, .. } | Act::Change { role, inherits: Some(inherits), .. } => {
                (*role, inherits.clone())
            }
            Act::Change { role, .. }
            | Act::Delete { role, .. }
            | Act::Give { role, .. }
            | Act::Take { role, .. } => (*role, Names::new()),
        };
        let named = |name: &str| name == ROLES[role] || parents.contains(name);
        let heirs: Vec<&str> = self.roles.keys().map(String::as_str).filter(|name| named(name)).collect();
        let is_concerned =
            |name: &str| self.roles.contains_key(name) && heirs.iter().any(|heir| self.is_above(name, heir));
        (0..ROLES.len()).filter(|role| is_concerned(ROLES[*role])).collect()
    }

    pub(crate) fn is_above(&self, role: &str, heir: &str) -> bool {
        role == heir || self.roles[heir].1.iter().any(|parent| self.is_above(role, parent))
    }

    pub(crate) fn of_person(&self, person: usize) -> Names {
        self.held[person].iter().flat_map(|role| self.closure(role)).collect()
    }

    /// What an act of somebody with these grants comes to, all at once.
    pub(crate) fn judge(&self, act: &Act, grants: &Grants) -> Verdict {
        let holds = |texts: &Names| texts.iter().all(|text| grants.include(&text.parse::<Grant>().unwrap()));
        let (Act::Create { role, .. }
        | Act::Change { role, .. }
        | Act::Delete { role, .. }
        | Act::Give { role, .. }
        | Act::Take { role, .. }) = act;
        let name = ROLES[*role];
        let there = self.roles.get(name);
        let drafted = |own: &Names, parents: &Names| {
            let inherited = parents.iter().flat_map(|parent| self.closure(parent));
            own.iter().cloned().chain(inherited).collect::<Names>()
        };
        match (act, there) {
            (Act::Create { grants, inherits, .. }, _) => {
                if inherits.iter().any(|parent| !self.roles.contains_key(parent)) {
                    Verdict::NoParent
                } else if !holds(&drafted(grants, inherits)) {
                    Verdict::NotHeld
                } else if name == "admin" && !grants.contains("*") {
                    Verdict::Administrator
                } else if there.is_some() {
                    Verdict::Exists
                } else {
                    Verdict::Done
                }
            }
            (_, None) => Verdict::NoRole,
            (Act::Change { grants, inherits, .. }, Some((own, parents))) => {
                let (grants, inherits) =
                    (grants.as_ref().unwrap_or(own), inherits.as_ref().unwrap_or(parents));
                if inherits.iter().any(|parent| !self.roles.contains_key(parent)) {
                    Verdict::NoParent
                } else if !holds(&self.closure(name)) || !holds(&drafted(grants, inherits)) {
                    Verdict::NotHeld
                } else if name == "admin" && !grants.contains("*") {
                    Verdict::Administrator
                } else if inherits.iter().any(|parent| self.is_above(name, parent)) {
                    Verdict::Circular
                } else {
                    Verdict::Done
                }
            }
            _ if !holds(&self.closure(name)) => Verdict::NotHeld,
            (Act::Delete { .. }, _) if name == "admin" => Verdict::Administrator,
            (Act::Delete { by_force, .. }, _) => {
                if self.roles.values().any(|(_, parents)| parents.contains(name)) {
                    Verdict::Inherited
                } else if !by_force && self.held.iter().any(|held| held.contains(name)) {
                    Verdict::InUse
                } else {
                    Verdict::Done
                }
            }
            (Act::Take { person, .. }, _) => {
                let others = (0..PEOPLE).filter(|other| other != person);
                let is_last =
                    name == "admin" && !others.into_iter().any(|other| self.held[other].contains(name));
                if is_last && self.held[*person].contains(name) {
                    Verdict::LastAdministrator
                } else {
                    Verdict::Done
                }
            }
            (Act::Give { .. }, _) => Verdict::Done,
        }
    }

    pub(crate) fn perform(&mut self, act: &Act) {
        match act {
            Act::Create { role, grants, inherits } => {
                self.roles.insert(ROLES[*role].to_owned(), (grants.clone(), inherits.clone()));
            }
            Act::Change { role, grants, inherits } => {
                let known = self.roles.get_mut(ROLES[*role]).unwrap();
                known.0 = grants.clone().unwrap_or_else(|| known.0.clone());
                known.1 = inherits.clone().unwrap_or_else(|| known.1.clone());
            }
            Act::Delete { role, .. } => {
                self.roles.remove(ROLES[*role]);
                for held in &mut self.held {
                    held.remove(ROLES[*role]);
                }
            }
            Act::Give { role, person } => {
                self.held[*person].insert(ROLES[*role].to_owned());
            }
            Act::Take { role, person } => {
                self.held[*person].remove(ROLES[*role]);
            }
        }
    }
}
