//! Roles against a model of them: random acts of several people, some of them while another act is under way,
//! on the native host's SQLite.
//!
//! After each act the database says of every role what the model says. Nobody ever has a right by an act of
//! somebody who did not hold it: an actor least of all.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

mod model;

use std::collections::BTreeMap;

use iam_core::directory::account::read_grants;
use iam_core::directory::role::change::{ChangeVerdict, DeletionVerdict, RoleChange, RoleDeletion};
use iam_core::directory::role::member::RoleMembership;
use iam_core::directory::role::{MAX_PAGE, Role, RoleDraft, RoleName, RoleRefusal};
use iam_core::id::{LogId, OrganizationId, UserId};
use iam_core::permission::Grants;
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::sql::{Answers, Batch, FromRow, Query, Rows, Statement};
use iam_core::time::Timestamp;
use iam_edge::native::TestHost;
use proptest::prelude::*;

use self::model::{Act, Between, Known, Model, Names, PEOPLE, ROLES, Verdict, step};

/// An act whose actor has read what it decides on.
struct Begun {
    act: Act,
    grants: Grants,
    /// What the actor held, in words.
    held: Names,
    involved: Vec<Role>,
}

/// The product's statements on a database, and the model beside.
struct World {
    host: TestHost,
    runtime: tokio::runtime::Runtime,
    organization: OrganizationId,
    people: [UserId; PEOPLE],
    model: Model,
    acts: u64,
}

fn entropy(number: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn role_names(names: &Names) -> Vec<RoleName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn role_name(role: usize) -> RoleName {
    ROLES[role].parse().unwrap()
}

impl World {
    /// An administrator, and two people with something in common and something of their own.
    fn new() -> Self {
        let host = TestHost::new_in_memory().unwrap();
        host.apply(iam_edge::native::SCHEMA).unwrap();
        let people = [1, 2, 3].map(|number| UserId::new(Timestamp::from_millis(1), entropy(number)));
        let organization: OrganizationId = "org_000000001".parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut world = Self { host, runtime, organization, people, model: Model::default(), acts: 0 };
        for person in world.people.clone() {
            let insert = "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, \
                 created_at, updated_at) VALUES (?1, ?2, ?2, ?2, 'active', 'manual', 1, 1)";
            world.run(Statement::new(insert).bind(&world.organization).bind(&person));
        }
        for (person, role, grants) in [
            (0, "admin", vec!["*"]),
            (1, "r1", vec!["a.*", "b.read.organization"]),
            (2, "r2", vec!["read.*"]),
        ] {
            let texts = serde_json::json!(grants).to_string();
            let insert = "INSERT INTO roles (org_id, role, grants, effective_grants) VALUES (?1, ?2, ?3, ?3)";
            world.run(Statement::new(insert).bind(&world.organization).bind(role).bind(texts));
            let insert = "INSERT INTO user_roles (org_id, user_id, role) VALUES (?1, ?2, ?3)";
            world
                .run(Statement::new(insert).bind(&world.organization).bind(&world.people[person]).bind(role));
            let own = grants.into_iter().map(str::to_owned).collect();
            world.model.roles.insert(role.to_owned(), (own, Names::new()));
            world.model.held[person].insert(role.to_owned());
        }
        world
    }

    fn run(&self, statement: Statement) -> Rows {
        self.runtime.block_on(self.host.request().db("").run(statement)).unwrap()
    }

    fn all<T: FromRow>(&self, query: Query<T>) -> Vec<T> {
        self.run(query.into_statement()).decode().unwrap()
    }

    fn batch(&self, batch: Batch) -> Answers {
        let statements = batch.into_statements();
        Answers::new(self.runtime.block_on(self.host.request().db("").batch(statements)).unwrap())
    }

    /// As a request reads them.
    fn grants_of(&self, person: usize) -> Grants {
        let sql = concat!(
            "SELECT ",
            iam_core::grants_column!("users"),
            " FROM users WHERE org_id = ?1 AND user_id = ?2"
        );
        let rows = self.run(Statement::new(sql).bind(&self.organization).bind(&self.people[person]));
        read_grants(rows.first().unwrap()).unwrap()
    }

    fn event(&mut self) -> AuditEvent {
        self.acts += 1;
        AuditEvent {
            organization: self.organization.clone(),
            log_id: LogId::new(Timestamp::from_millis(1), entropy(self.acts)),
            timestamp: Timestamp::from_millis(1),
            actor: Actor::Manual,
            user_id: None,
            act: iam_tests::model::act("test", "role"),
            resource_id: None,
            ip_address: None,
            user_agent: None,
            outcome: Outcome::Success,
            request_id: None,
            details: serde_json::Map::new(),
        }
    }

    fn begin(&self, actor: usize, act: Act) -> Begun {
        let (role, parents) = match &act {
            Act::Create { role, inherits, .. } => (*role, role_names(inherits)),
            Act::Change { role, inherits, .. } => {
                (*role, inherits.as_ref().map(role_names).unwrap_or_default())
            }
            Act::Delete { role, .. } | Act::Give { role, .. } | Act::Take { role, .. } => (*role, Vec::new()),
        };
        let involved = self.all(Role::involved(&self.organization, &role_name(role), &parents));
        Begun { act, grants: self.grants_of(actor), held: self.model.of_person(actor), involved }
    }

    fn finish(&mut self, begun: &Begun) -> Verdict {
        let result = match &begun.act {
            Act::Create { role, grants, inherits } => {
                let draft = draft(grants, inherits);
                self.change(begun, &role_name(*role), None, &draft)
            }
            Act::Change { role, grants, inherits } => {
                let name = role_name(*role);
                let Some(before) = begun.involved.iter().find(|role| role.role == name) else {
                    return Verdict::NoRole;
                };
                let own = grants.clone().unwrap_or_else(|| before.grants.iter().cloned().collect());
                let parents = inherits.clone().unwrap_or_else(|| {
                    before.inherits.iter().map(|parent| parent.as_str().to_owned()).collect()
                });
                self.change(begun, &name, Some(before), &draft(&own, &parents))
            }
            Act::Delete { role, by_force } => self.delete(begun, &role_name(*role), *by_force),
            Act::Give { role, person } => self.assign(begun, &role_name(*role), *person, true),
            Act::Take { role, person } => self.assign(begun, &role_name(*role), *person, false),
        };
        result.unwrap_or_else(Verdict::from)
    }

    fn change(
        &mut self,
        begun: &Begun,
        role: &RoleName,
        before: Option<&Role>,
        draft: &RoleDraft,
    ) -> Result<Verdict, RoleRefusal> {
        let Ok(parents) = draft.parents(&begun.involved) else { return Ok(Verdict::NoParent) };
        let (event, organization) = (self.event(), self.organization.clone());
        let revision = event.log_id.to_string();
        let change = RoleChange {
            organization: &organization,
            role,
            before,
            draft,
            parents: &parents,
            revision: &revision,
        };
        change.check(&begun.grants)?;
        let mut batch = Batch::new();
        let tickets = change.ask(event, &mut batch);
        let answers = self.batch(batch);
        Ok(match change.verdict(&answers, tickets).unwrap() {
            ChangeVerdict::Done(_) => Verdict::Done,
            ChangeVerdict::Exists => Verdict::Exists,
            ChangeVerdict::Gone => Verdict::NoRole,
            ChangeVerdict::Circular => Verdict::Circular,
            ChangeVerdict::NotCreated | ChangeVerdict::ChangedMeanwhile => Verdict::ChangedMeanwhile,
        })
    }

    fn delete(&mut self, begun: &Begun, name: &RoleName, by_force: bool) -> Result<Verdict, RoleRefusal> {
        let Some(role) = begun.involved.iter().find(|role| role.role == *name) else {
            return Ok(Verdict::NoRole);
        };
        let (event, organization) = (self.event(), self.organization.clone());
        let deletion = RoleDeletion { organization: &organization, role, by_force };
        deletion.check(&begun.grants)?;
        let mut batch = Batch::new();
        let tickets = deletion.ask(event, &mut batch);
        let answers = self.batch(batch);
        Ok(match deletion.verdict(&answers, tickets).unwrap() {
            DeletionVerdict::Done => Verdict::Done,
            DeletionVerdict::Gone => Verdict::NoRole,
            DeletionVerdict::Inherited => Verdict::Inherited,
            DeletionVerdict::InUse => Verdict::InUse,
            DeletionVerdict::ChangedMeanwhile => Verdict::ChangedMeanwhile,
        })
    }

    fn assign(
        &mut self,
        begun: &Begun,
        name: &RoleName,
        person: usize,
        gives: bool,
    ) -> Result<Verdict, RoleRefusal> {
        let Some(role) = begun.involved.iter().find(|role| role.role == *name) else {
            return Ok(Verdict::NoRole);
        };
        role.check_held(&begun.grants)?;
        let (event, organization, user_id) =
            (self.event(), self.organization.clone(), self.people[person].clone());
        let membership = RoleMembership { organization: &organization, role, user_id: &user_id };
        let mut batch = Batch::new();
        let outcome =
            if gives { membership.add(event, &mut batch) } else { membership.remove(event, &mut batch) };
        let outcome = self.batch(batch).one(outcome).unwrap().unwrap();
        Ok(if outcome.is_given == gives {
            Verdict::Done
        } else if !outcome.is_unchanged {
            Verdict::ChangedMeanwhile
        } else {
            assert!(!gives && !outcome.is_administered);
            Verdict::LastAdministrator
        })
    }

    /// Writes, and holds what came of it against the model and the rules.
    fn settle(&mut self, begun: &Begun, alone: bool) {
        let expected = self.model.judge(&begun.act, &begun.grants);
        let before: [Names; PEOPLE] = std::array::from_fn(|person| self.model.of_person(person));
        let verdict = self.finish(begun);
        if alone {
            assert_eq!(verdict, expected, "{:?}", begun.act);
        }
        // Where the role is there or gone already, giving and taking it are done whatever it has become.
        let member = match &begun.act {
            Act::Give { role, person } => Some((self.model.held[*person].contains(ROLES[*role]), true)),
            Act::Take { role, person } => Some((self.model.held[*person].contains(ROLES[*role]), false)),
            _ => None,
        };
        let is_idle = member.is_some_and(|(is_member, gives)| is_member == gives);
        if verdict == Verdict::Done && !is_idle {
            assert_eq!(expected, Verdict::Done, "{:?}", begun.act);
            self.model.perform(&begun.act);
        }
        self.compare();
        for (person, before) in before.iter().enumerate() {
            let allowed = Grants::from_texts(before.iter().chain(&begun.held));
            for grant in self.model.of_person(person) {
                assert!(
                    allowed.include(&grant.parse().unwrap()),
                    "{person} came to {grant} by {:?}",
                    begun.act
                );
            }
        }
        assert!(self.model.held.iter().any(|held| held.contains("admin")), "nobody is left");
    }

    fn compare(&self) {
        let roles = self.all(Role::page(&self.organization, None, MAX_PAGE));
        let stored: BTreeMap<String, (Known, Vec<String>)> = roles
            .into_iter()
            .map(|role| {
                let parents = role.inherits.iter().map(|parent| parent.as_str().to_owned()).collect();
                let known = (role.grants.into_iter().collect(), parents);
                (role.role.as_str().to_owned(), (known, role.effective_grants))
            })
            .collect();
        let expected = self.model.roles.iter().map(|(role, known)| {
            assert!(!known.1.iter().any(|parent| self.model.is_above(role, parent)), "{role} goes round");
            let effective = self.model.closure(role).into_iter().collect();
            (role.clone(), (known.clone(), effective))
        });
        assert_eq!(stored, expected.collect());
        for (person, held) in self.model.held.iter().enumerate() {
            let sql = "SELECT role FROM user_roles WHERE org_id = ?1 AND user_id = ?2";
            let rows = self.run(Statement::new(sql).bind(&self.organization).bind(&self.people[person]));
            let stored: Names = rows.iter().map(|row| row.text("role").unwrap().to_owned()).collect();
            assert_eq!(stored, *held, "roles of {person}");
        }
    }
}

fn draft(grants: &Names, inherits: &Names) -> RoleDraft {
    RoleDraft { description: None, grants: grants.iter().cloned().collect(), inherits: role_names(inherits) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn roles_are_what_the_model_says(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            let begun = world.begin(step.actor, step.act);
            let between = step.between.and_then(|between| match between {
                Between::Anything(actor, act) => Some((actor, act)),
                Between::Raise(which) => {
                    let concerned = world.model.concerned(&begun.act);
                    let role = *concerned.get(which % concerned.len().max(1))?;
                    let grants = Some(Names::from(["*".to_owned()]));
                    Some((0, Act::Change { role, grants, inherits: None }))
                }
            });
            let alone = between.is_none();
            if let Some((actor, act)) = between {
                let between = world.begin(actor, act);
                world.settle(&between, true);
            }
            world.settle(&begun, alone);
        }
    }
}

/// The races that random ones may miss: what was decided on changes before the write.
#[test]
fn a_decision_on_what_was_does_not_hold() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Names>();
    let create = |role, grants: &[&str]| Act::Create { role, grants: set(grants), inherits: set(&[]) };
    let raise = Act::Change { role: 3, grants: Some(set(&["*"])), inherits: None };
    for late in [
        Act::Create { role: 4, grants: set(&[]), inherits: set(&["r3"]) },
        Act::Change { role: 1, grants: None, inherits: Some(set(&["r3"])) },
        Act::Give { role: 3, person: 1 },
        Act::Change { role: 3, grants: Some(set(&["a.read.own"])), inherits: None },
        Act::Delete { role: 3, by_force: true },
    ] {
        let mut world = World::new();
        let made = world.begin(0, create(3, &["a.read.all"]));
        world.settle(&made, true);
        let begun = world.begin(1, late);
        let raised = world.begin(0, raise.clone());
        world.settle(&raised, true);
        assert_eq!(world.finish(&begun), Verdict::ChangedMeanwhile, "{:?}", begun.act);
        world.compare();
    }
    // What it inherits from by inheritance is what was decided on too.
    for late in [
        Act::Create { role: 5, grants: set(&[]), inherits: set(&["r4"]) },
        Act::Change { role: 1, grants: None, inherits: Some(set(&["r4"])) },
        Act::Give { role: 4, person: 1 },
    ] {
        let mut world = World::new();
        let heir = Act::Create { role: 4, grants: set(&[]), inherits: set(&["r3"]) };
        for act in [create(3, &["a.read.all"]), heir] {
            let made = world.begin(0, act);
            world.settle(&made, true);
        }
        let begun = world.begin(1, late);
        let raised = world.begin(0, raise.clone());
        world.settle(&raised, true);
        assert_eq!(world.finish(&begun), Verdict::ChangedMeanwhile, "{:?}", begun.act);
        world.compare();
    }
    // Deleted and made anew, stronger, under the same name: not what was read either.
    let mut world = World::new();
    let made = world.begin(0, create(3, &["a.read.all"]));
    world.settle(&made, true);
    let begun = world.begin(1, Act::Change { role: 1, grants: None, inherits: Some(set(&["r3"])) });
    for act in [Act::Delete { role: 3, by_force: false }, create(3, &["*"])] {
        let made = world.begin(0, act);
        world.settle(&made, true);
    }
    assert_eq!(world.finish(&begun), Verdict::ChangedMeanwhile);
    // Two links that are fine each and a circle together: the second is refused, whoever read first.
    let mut world = World::new();
    for role in [3, 4] {
        let made = world.begin(0, create(role, &[]));
        world.settle(&made, true);
    }
    let link = |role, parent| Act::Change { role, grants: None, inherits: Some(set(&[parent])) };
    let (first, second) = (world.begin(0, link(3, "r4")), world.begin(0, link(4, "r3")));
    world.settle(&first, true);
    assert_eq!(world.finish(&second), Verdict::Circular);
    world.compare();
}
