//! Lists: which resources, in which order, and which part of them (RFC 7644 section 3.4.2, RFC 9865).
//!
//! A filter's candidates come from an index where it names something with one; they are bounded, and a filter
//! that would have us look at more is refused with `tooMany`. Users without a filter are found by their place
//! in the order of creation, so that a page in the middle of a large directory costs what the first one does.

mod cursor;
mod order;

use iam_core::id::OrganizationId;
use iam_core::sql::{Answers, Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use serde_json::{Value as Json, json};

pub use cursor::Cursor;
pub use order::Order;

use crate::filter::Filter;
use crate::filter::sql::{Compiled, compile};
use crate::group::ListedMember;
use crate::schema::ResourceKind;
use crate::{ScimError, ScimErrorKind, group, user};

/// How many resources a page has at most.
pub const MAX_PAGE: u32 = 200;

/// How many resources a page has where the client does not say.
pub const DEFAULT_PAGE: u32 = 100;

/// Far beyond any directory, and an integer on every host.
const MAX_START_INDEX: i64 = 1 << 40;

/// Which part of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// From the resource of this number, from 1.
    Index(i64),
    /// From the beginning, with a cursor for the next page.
    Beginning,
    /// After the resource that a cursor names.
    After(Cursor),
}

/// A list, as a client asks for it.
#[derive(Clone, Debug)]
pub struct Page {
    /// Of which resources.
    pub kind: ResourceKind,
    /// Which of them.
    pub filter: Option<Filter>,
    /// In which order.
    pub order: Order,
    /// Which part.
    pub position: Position,
    /// How many at most.
    pub count: u32,
    /// Whether groups are shown with their members, and users with their groups.
    pub has_members: bool,
    /// How many resources a filter may look at.
    pub max_scanned: u32,
}

impl Page {
    /// The first resource's number within bounds (RFC 7644 section 3.4.2.4): below 1 is 1.
    #[must_use]
    pub fn bounded_start(start_index: Option<i64>) -> i64 {
        start_index.unwrap_or(1).clamp(1, MAX_START_INDEX)
    }

    /// How many resources within bounds: below 0 is 0, and there is a most.
    #[must_use]
    pub fn bounded_count(count: Option<i64>) -> u32 {
        let count = count.unwrap_or(DEFAULT_PAGE.into()).clamp(0, MAX_PAGE.into());
        u32::try_from(count).unwrap_or(MAX_PAGE)
    }

    /// Asks for everything in one round trip.
    pub fn ask(&self, organization: &OrganizationId, batch: &mut Batch) -> AskedPage {
        let source = Source::new(self);
        let has_rows = self.count > 0;
        let has_members = has_rows && self.kind == ResourceKind::Group && self.has_members;
        AskedPage {
            total: batch.ask(source.total(organization)),
            rows: has_rows.then(|| batch.ask(source.page(organization))),
            members: has_members.then(|| batch.ask(source.members(organization))),
            max_scanned: self.max_scanned,
        }
    }
}

/// A page that was asked for.
#[derive(Debug)]
pub struct AskedPage {
    total: Ticket<Total>,
    rows: Option<Ticket<Row>>,
    members: Option<Ticket<ListedMember>>,
    max_scanned: u32,
}

/// A page as the database has it.
#[derive(Debug)]
pub struct FoundPage {
    /// How many resources there are in all.
    pub total: i64,
    /// The page's rows.
    pub rows: Vec<Row>,
    /// Who is in its groups.
    pub members: Vec<ListedMember>,
}

impl AskedPage {
    /// Reads the answers.
    ///
    /// # Errors
    /// `tooMany` where the filter would have looked at more than it may.
    pub fn read(&self, answers: &Answers) -> Result<FoundPage, PageError> {
        let Total { scanned, total } =
            answers.one(self.total)?.ok_or_else(|| RowError::unreadable("total"))?;
        if scanned > i64::from(self.max_scanned) {
            let detail = format!(
                "the filter would look at more than {} resources: compare another attribute with `eq` or \
                 `sw` too",
                self.max_scanned
            );
            return Err(PageError::Refused(ScimError::new(ScimErrorKind::TooMany, detail)));
        }
        let rows = self.rows.map_or(Ok(Vec::new()), |rows| answers.all(rows))?;
        let members = self.members.map_or(Ok(Vec::new()), |members| answers.all(members))?;
        Ok(FoundPage { total, rows, members })
    }
}

/// How many resources were looked at, and how many there are.
#[derive(Debug)]
struct Total {
    scanned: i64,
    total: i64,
}

impl FromRow for Total {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { scanned: row.integer("scanned")?, total: row.integer("total")? })
    }
}

/// Why a list can't be given.
#[derive(Debug)]
pub enum PageError {
    /// The client asks for too much.
    Refused(ScimError),
    /// The database answered something else than it should.
    Row(RowError),
}

impl From<RowError> for PageError {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

/// The parts of a list's statements. `?1` is the organization, `?2` a JSON array: the filter's arguments,
/// then the order's and the cursor's, `?3` how many groups of a user are shown, `?4` the page's length, `?5`
/// how many are skipped.
struct Source<'a> {
    page: &'a Page,
    compiled: Option<Compiled>,
    arguments: Vec<Json>,
    order: order::Sql,
    after: Option<String>,
}

impl<'a> Source<'a> {
    fn new(page: &'a Page) -> Self {
        let mut compiled = page.filter.as_ref().map(|filter| compile(page.kind, filter));
        let mut arguments = match compiled.as_mut().map(|compiled| compiled.arguments.take()) {
            Some(Json::Array(arguments)) => arguments,
            _ => Vec::new(),
        };
        let order = page.order.sql(page.kind, &mut arguments);
        let after = match &page.position {
            Position::After(cursor) => {
                Some(cursor.condition(&order, page.order.is_descending(), &mut arguments))
            }
            Position::Index(_) | Position::Beginning => None,
        };
        Self { page, compiled, arguments, order, after }
    }

    /// What may be in the list: the table, and what its rows must be.
    fn from(&self) -> String {
        let (table, id, live) = match self.page.kind {
            ResourceKind::User => (
                "users",
                "user_id",
                "users.org_id = ?1 AND users.deleted_at IS NULL AND users.number IS NOT NULL",
            ),
            ResourceKind::Group => ("groups", "group_id", "groups.org_id = ?1"),
        };
        match &self.compiled {
            None => format!("{table} WHERE {live}"),
            Some(Compiled { candidates, condition, .. }) => format!(
                "(SELECT DISTINCT id FROM (SELECT id FROM ({candidates}) LIMIT {} + 1)) AS candidate CROSS \
                 JOIN {table} ON {table}.org_id = ?1 AND {table}.{id} = candidate.id WHERE {live} AND \
                 ({condition})",
                self.page.max_scanned
            ),
        }
    }

    fn statement(&self, text: String, organization: &OrganizationId) -> Statement {
        Statement::new(text).bind(organization).bind(Json::Array(self.arguments.clone()).to_string())
    }

    fn total(&self, organization: &OrganizationId) -> Query<Total> {
        let text = match (&self.compiled, self.page.kind) {
            (None, ResourceKind::User) => {
                "SELECT 0 AS scanned, COALESCE(SUM(people), 0) AS total, ?2 AS arguments FROM user_ranks \
                 WHERE org_id = ?1"
                    .to_owned()
            }
            (None, ResourceKind::Group) => {
                "SELECT 0 AS scanned, COUNT(*) AS total, ?2 AS arguments FROM groups WHERE org_id = ?1"
                    .to_owned()
            }
            (Some(compiled), _) => format!(
                "SELECT (SELECT COUNT(*) FROM (SELECT id FROM ({}) LIMIT {} + 1)) AS scanned, COUNT(*) AS \
                 total, ?2 AS arguments FROM {}",
                compiled.candidates,
                self.page.max_scanned,
                self.from()
            ),
        };
        self.statement(text, organization).into()
    }

    /// The page's rows, of these columns, in order.
    fn select(&self, columns: &str) -> String {
        let is_by_rank =
            self.compiled.is_none() && self.page.kind == ResourceKind::User && self.page.order.is_natural();
        let mut text = format!("SELECT {columns} FROM {}", self.from());
        if let Some(after) = &self.after {
            text.push_str(" AND ");
            text.push_str(after);
        } else if is_by_rank {
            // The last 512 places that begin at or before the one that is wanted: none before them is
            // counted.
            text.push_str(
                " AND users.number >= 512 * COALESCE((SELECT bucket FROM (SELECT bucket, MAX(before) FROM \
                 (SELECT bucket, SUM(people) OVER (ORDER BY bucket) - people AS before FROM user_ranks WHERE \
                 org_id = ?1) WHERE before <= ?5)), 0)",
            );
        }
        text.push_str(" ORDER BY ");
        text.push_str(&self.order.by);
        text.push_str(" LIMIT ?4 OFFSET ");
        text.push_str(match (is_by_rank, &self.after) {
            (true, None) => {
                "?5 - COALESCE((SELECT MAX(before) FROM (SELECT SUM(people) OVER (ORDER BY bucket) - people \
                 AS before FROM user_ranks WHERE org_id = ?1) WHERE before <= ?5), 0)"
            }
            _ => "?5",
        });
        text
    }

    fn bind_page<T>(&self, text: String, organization: &OrganizationId) -> Query<T> {
        let groups = if self.page.has_members { iam_core::directory::account::MAX_GROUPS_SHOWN } else { 0 };
        let skipped = match self.page.position {
            Position::Index(start) => start.saturating_sub(1),
            Position::Beginning | Position::After(_) => 0,
        };
        self.statement(text, organization).bind(groups).bind(self.page.count).bind(skipped).into()
    }

    /// With the column `sort_key`, for the next page's cursor.
    fn page(&self, organization: &OrganizationId) -> Query<Row> {
        let columns = match self.page.kind {
            ResourceKind::User => user::select_list(),
            ResourceKind::Group => group::select_list(),
        };
        let columns = format!("{columns}, {} AS sort_key", self.order.key);
        let text = match self.page.kind {
            ResourceKind::Group if self.page.has_members => self.cut(&columns, "*"),
            _ => self.select(&columns),
        };
        self.bind_page(text, organization)
    }

    /// Only as many groups as have [`group::MAX_MEMBERS_SHOWN`] members together, one at least.
    fn cut(&self, columns: &str, shown: &str) -> String {
        format!(
            "SELECT {shown} FROM (SELECT *, SUM(member_count) OVER (ROWS UNBOUNDED PRECEDING) AS so_far, \
             ROW_NUMBER() OVER (ROWS UNBOUNDED PRECEDING) AS place FROM ({})) WHERE place = 1 OR so_far <= \
             {}",
            self.select(&format!("{columns}, groups.member_count")),
            group::MAX_MEMBERS_SHOWN
        )
    }

    fn members(&self, organization: &OrganizationId) -> Query<ListedMember> {
        let page = self.cut("groups.group_id AS id", "id");
        self.bind_page(group::members_of_page(&page), organization)
    }
}

/// What a cursor belongs to: a list of the same resources in the same order.
#[must_use]
pub fn question(
    kind: ResourceKind,
    filter: Option<&str>,
    sort_by: Option<&str>,
    is_descending: bool,
) -> String {
    json!([kind.name(), filter, sort_by, is_descending]).to_string()
}
