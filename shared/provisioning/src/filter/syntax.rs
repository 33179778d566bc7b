//! The grammar of filters (RFC 7644 figure 1), before any name is looked up.

use serde_json::{Number, Value as Json};

use super::{
    MAX_FILTER_BYTES, MAX_FILTER_COMPARISONS, MAX_FILTER_DEPTH, Operator, strip_prefix_ignoring_case,
};
use crate::{ScimError, shown};

/// A filter as it is written.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// All of these; at least two.
    And(Vec<Node<'a>>),
    /// Any of these; at least two.
    Or(Vec<Node<'a>>),
    /// Not this.
    Not(Box<Node<'a>>),
    /// `path pr` or `path operator value`.
    Test(&'a str, Predicate),
    /// `path[filter]`, and what may follow: `.name pr` or `.name operator value`.
    Brackets(&'a str, Box<Node<'a>>, Option<(&'a str, Predicate)>),
}

/// What is said of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Predicate {
    /// `pr`
    Present,
    /// An operator and a value: text, a number, true, false or null.
    Compare(Operator, Json),
}

/// Reads a filter.
///
/// # Errors
/// `invalidFilter` where it is malformed or beyond a bound.
pub(super) fn read(text: &str) -> Result<Node<'_>, ScimError> {
    if text.len() > MAX_FILTER_BYTES {
        return Err(ScimError::filter(format!("a filter may be {MAX_FILTER_BYTES} bytes long")));
    }
    let mut reader = Reader { rest: text, depth: 0, comparisons: 0, is_in_brackets: false };
    let node = reader.any()?;
    reader.skip_space();
    match reader.rest {
        "" => Ok(node),
        _ => Err(reader.expected("`and`, `or` or the end of the filter")),
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// How many parentheses and brackets are open: what bounds the recursion.
    depth: usize,
    comparisons: usize,
    is_in_brackets: bool,
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Result<Node<'a>, ScimError> {
        let mut nodes = vec![self.all()?];
        while self.takes_word("or") {
            match self.all()? {
                Node::Or(more) => nodes.extend(more),
                node => nodes.push(node),
            }
        }
        Ok(only(nodes).unwrap_or_else(Node::Or))
    }

    fn all(&mut self) -> Result<Node<'a>, ScimError> {
        let mut nodes = vec![self.unit()?];
        while self.takes_word("and") {
            match self.unit()? {
                Node::And(more) => nodes.extend(more),
                node => nodes.push(node),
            }
        }
        Ok(only(nodes).unwrap_or_else(Node::And))
    }

    fn unit(&mut self) -> Result<Node<'a>, ScimError> {
        self.skip_space();
        if self.takes('(') {
            return self.enclosed(')');
        }
        let negated = strip_prefix_ignoring_case(self.rest, "not").map(str::trim_start);
        if let Some(rest) = negated.and_then(|rest| rest.strip_prefix('(')) {
            self.rest = rest;
            return Ok(Node::Not(Box::new(self.enclosed(')')?)));
        }
        let path = self.name()?;
        if !self.takes('[') {
            return Ok(Node::Test(path, self.predicate()?));
        }
        if std::mem::replace(&mut self.is_in_brackets, true) {
            return Err(ScimError::filter("brackets may not be within brackets"));
        }
        let filter = self.enclosed(']')?;
        self.is_in_brackets = false;
        let then = if self.takes('.') { Some((self.name()?, self.predicate()?)) } else { None };
        Ok(Node::Brackets(path, Box::new(filter), then))
    }

    /// What is within parentheses or brackets, after the opening one.
    fn enclosed(&mut self, end: char) -> Result<Node<'a>, ScimError> {
        self.depth += 1;
        if self.depth > MAX_FILTER_DEPTH {
            return Err(ScimError::filter(format!("a filter may be {MAX_FILTER_DEPTH} levels deep")));
        }
        let node = self.any()?;
        self.skip_space();
        if !self.takes(end) {
            return Err(self.expected(&format!("`and`, `or` or `{end}`")));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn name(&mut self) -> Result<&'a str, ScimError> {
        match self.take_while(is_name_character) {
            "" => Err(self.expected("an attribute")),
            name => Ok(name),
        }
    }

    fn predicate(&mut self) -> Result<Predicate, ScimError> {
        self.comparisons += 1;
        if self.comparisons > MAX_FILTER_COMPARISONS {
            let max = MAX_FILTER_COMPARISONS;
            return Err(ScimError::filter(format!("a filter may have {max} comparisons")));
        }
        if !self.skip_space() {
            return Err(self.expected("a space and an operator"));
        }
        let before = self.rest;
        let word = self.take_while(|character| character.is_ascii_alphanumeric());
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Predicate::Present);
        }
        let Some(operator) = Operator::from_word(word) else {
            self.rest = before;
            return Err(self.expected("eq, ne, co, sw, ew, gt, ge, lt, le or pr"));
        };
        if !self.skip_space() {
            return Err(self.expected("a space and a value"));
        }
        Ok(Predicate::Compare(operator, self.literal()?))
    }

    fn literal(&mut self) -> Result<Json, ScimError> {
        let before = self.rest;
        let literal = match before.strip_prefix('"') {
            Some(_) => self.text(),
            None => scalar(self.take_while(|character| !is_end(character))),
        };
        if let Some(literal) = literal
            && self.rest.chars().next().is_none_or(is_end)
        {
            return Ok(literal);
        }
        self.rest = before;
        Err(self.expected("text in quotes, a number, true, false or null"))
    }

    /// Text in quotes, escaped as JSON does it. Not every host carries a NUL through a column, and no value
    /// has one.
    fn text(&mut self) -> Option<Json> {
        let mut is_escaped = false;
        let closing = self.rest.char_indices().skip(1).find(|(_, character)| {
            let is_closing = *character == '"' && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            is_closing
        });
        let (at, _) = closing?;
        let (quoted, rest) = self.rest.split_at_checked(at + 1)?;
        let text: String = serde_json::from_str(quoted).ok()?;
        self.rest = rest;
        (!text.contains('\0')).then_some(Json::String(text))
    }

    fn takes(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let rest = strip_prefix_ignoring_case(self.rest, word)
            .filter(|rest| !rest.chars().next().is_some_and(is_name_character));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) -> bool {
        !self.take_while(|character| character.is_ascii_whitespace()).is_empty()
    }

    fn expected(&self, what: &str) -> ScimError {
        match self.rest {
            "" => ScimError::filter(format!("the filter ends where there must be {what}")),
            rest => ScimError::filter(format!("in the filter there must be {what} at `{}`", shown(rest))),
        }
    }
}

/// The only one, or all of them.
fn only(mut nodes: Vec<Node<'_>>) -> Result<Node<'_>, Vec<Node<'_>>> {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => Ok(node),
        Some(node) => {
            nodes.push(node);
            Err(nodes)
        }
        None => Err(nodes),
    }
}

/// Clients that are written in Python or C# send `True`.
fn scalar(word: &str) -> Option<Json> {
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    match word {
        _ if is("true") => Some(Json::Bool(true)),
        _ if is("false") => Some(Json::Bool(false)),
        _ if is("null") => Some(Json::Null),
        _ => serde_json::from_str::<Number>(word).ok().map(Json::Number),
    }
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '$' | ':' | '.')
}

fn is_end(character: char) -> bool {
    character.is_ascii_whitespace() || matches!(character, ')' | ']')
}
