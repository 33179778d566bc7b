//! `cargo xtask bootstrap`: the first organization and its administrator in a remote database.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use iam_core::sql::{Statement, Value};

use crate::build::write;
use crate::deploy::{authenticated, configuration};
use crate::manifests::wrangler::{COMPATIBILITY_DATE, DATABASE_NAME};
use crate::tools::Node;
use crate::workspace::Workspace;
use crate::{first_organization, process};

/// Make the first organization and administrator of a remote database.
///
/// Prints the SQL on standard output (it holds hashes only), or runs it on D1 with --apply; the credentials
/// are shown once, on standard error. On a database that has the organization already the SQL fails and
/// changes nothing.
#[derive(Args)]
pub(crate) struct Bootstrap {
    /// The organization's name
    #[arg(long, default_value = "First organization")]
    name: String,
    /// The administrator's user name
    #[arg(long, default_value = "admin")]
    username: String,
    /// The configuration document of the deployment (JSON, or TOML by its name)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run it on the D1 database instead of printing it
    #[arg(long)]
    apply: bool,
    /// The D1 database's id, for --apply
    #[arg(long, value_name = "ID", env = "IAM_D1_DATABASE_ID")]
    database_id: Option<String>,
}

impl Bootstrap {
    pub(crate) fn run(&self) -> Result<()> {
        let config = configuration(self.config.as_deref())?;
        let organization = first_organization::make(&config, &self.name, &self.username)?;
        let sql = script(&organization.statements)?;
        if self.apply {
            self.apply(&sql)?;
        } else {
            print!("{sql}");
        }
        eprintln!("administrator: {}", organization.username);
        eprintln!("password:      {} (shown once)", organization.password.as_str());
        eprintln!("SCIM token:    {} (shown once)", organization.scim_token.reveal());
        Ok(())
    }

    fn apply(&self, sql: &str) -> Result<()> {
        let Some(id) = &self.database_id else {
            bail!("--apply needs --database-id: `npx wrangler d1 list` shows it");
        };
        let workspace = Workspace::load()?;
        let node = Node::install(&workspace)?;
        authenticated(&node)?;
        let folder = workspace.root.join("dist/bootstrap");
        let manifest = format!(
            "name = \"bootstrap\"\ncompatibility_date = \
             \"{COMPATIBILITY_DATE}\"\n\n[[d1_databases]]\nbinding = \"DB\"\ndatabase_name = \
             \"{DATABASE_NAME}\"\ndatabase_id = \"{id}\"\n"
        );
        write(&folder.join("wrangler.toml"), manifest.as_bytes())?;
        write(&folder.join("first.sql"), sql.as_bytes())?;
        let mut command = node.wrangler();
        command.arg("--config").arg(folder.join("wrangler.toml"));
        command.args(["d1", "execute", "DB", "--remote", "--yes", "--file"]).arg(folder.join("first.sql"));
        process::run(&mut command, "wrangler could not run the SQL")
    }
}

/// The statements as one script, each parameter written out.
fn script(statements: &[Statement]) -> Result<String> {
    let mut text = String::new();
    for statement in statements {
        writeln!(text, "{};", literal(statement)?)?;
    }
    Ok(text)
}

/// `?2` → the second parameter as a literal. Our statements hold no question mark but those.
fn literal(statement: &Statement) -> Result<String> {
    let mut pieces = statement.text().split('?');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.chars().take_while(char::is_ascii_digit).count();
        let (number, rest) = piece.split_at_checked(digits).context("a statement is not as expected")?;
        let index: usize = number.parse().context("a statement has a parameter without a number")?;
        let value = index.checked_sub(1).and_then(|index| statement.parameters().get(index));
        match value.context("a statement lacks a parameter")? {
            Value::Null => text.push_str("NULL"),
            Value::Integer(integer) => write!(text, "{integer}")?,
            Value::Text(value) => write!(text, "'{}'", value.replace('\'', "''"))?,
        }
        text.push_str(rest);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_does_what_the_statements_do() {
        let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../kv-schema/migrations");
        let mut connection = rusqlite::Connection::open_in_memory().unwrap();
        crate::migrations::apply(&mut connection, migrations.as_ref()).unwrap();
        let organization = first_organization::make("{}", "It's ours", "admin").unwrap();
        connection.execute_batch(&script(&organization.statements).unwrap()).unwrap();
        let name: String =
            connection.query_row("SELECT name FROM organizations", [], |row| row.get(0)).unwrap();
        assert_eq!(name, "It's ours");
        let again = script(&organization.statements).unwrap();
        assert!(connection.execute_batch(&again).is_err());
    }
}
