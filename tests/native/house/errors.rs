//! Error codes: each that the sources answer with is in `iam_service::codes`, with its status; no other is.

use std::collections::BTreeMap;

use http::StatusCode;

use super::{Source, assert_none, sources};

/// Where errors are made.
const ERRORS: [&str; 2] = ["functions", "shared"];

/// The words of kinds of refusals that are codes too, and those among them that never are.
const KINDS: [(&str, &str, &[&str]); 2] = [
    ("shared/core/src/webhooks/mod.rs", "impl Refusal {", &["unknown_service"]),
    ("shared/provisioning/src/lib.rs", "impl ScimErrorKind {", &[]),
];

/// Where a code is not a literal: a constructor passes it on, or it is the word of one of [`KINDS`].
const PASSED_ON: [&str; 4] = [
    "functions/provisioning/scim/src/message.rs",
    "functions/provisioning/scim/src/search.rs",
    "functions/webhooks/webhook/src/refusals.rs",
    "shared/service/src/request/error.rs",
];

/// A code in the sources, and the status where that is literal too.
struct Use {
    code: String,
    status: Option<u16>,
    place: String,
}

/// Every status by its name in `http`: `NOT_FOUND`.
fn status(name: &str) -> Option<u16> {
    let named = |code: &u16| {
        let reason = StatusCode::from_u16(*code).ok().and_then(|status| status.canonical_reason());
        reason.is_some_and(|reason| reason.to_ascii_uppercase().replace([' ', '-'], "_") == name)
    };
    (400..600).find(named)
}

/// The codes that this file's calls of constructors name, and the places where one is not literal.
fn constructed(source: &Source, uses: &mut Vec<Use>, passed_on: &mut Vec<String>) {
    let code = source.text.split("\n#[cfg(test)]").next().unwrap();
    let makes_errors = code.contains("impl ApiError {") || code.contains(" for ApiError {");
    let calls =
        [("new(", None), ("bad_request(", Some(400)), ("unauthorized(", Some(401)), ("conflict(", Some(409))];
    for (call, fixed) in calls {
        let ours =
            |before: &str| before.ends_with("ApiError::") || (before.ends_with("Self::") && makes_errors);
        for (at, _) in code.match_indices(call).filter(|(at, _)| ours(&code[..*at])) {
            take(source, code, at + call.len(), fixed, uses, passed_on);
        }
    }
    if source.path == "functions/operation/gateway/src/lib.rs" {
        for (at, call) in code.match_indices(" problem(StatusCode") {
            take(source, code, at + call.len() - "StatusCode".len(), None, uses, passed_on);
        }
    }
}

/// Takes the code of the call whose arguments begin at `at`; its status is `fixed`, or the first argument.
fn take(
    source: &Source,
    code: &str,
    at: usize,
    fixed: Option<u16>,
    uses: &mut Vec<Use>,
    passed_on: &mut Vec<String>,
) {
    let place = format!("{}:{}", source.path, code[..at].lines().count());
    let mut arguments = &code[at..];
    let mut named = fixed;
    if fixed.is_none() {
        let (first, rest) = arguments.split_once(',').unwrap();
        named = first.rsplit_once("StatusCode::").and_then(|(_, name)| status(name.trim()));
        arguments = rest;
    }
    let literal = arguments.trim_start().strip_prefix('"').and_then(|text| text.split('"').next());
    match literal {
        Some(code) => uses.push(Use { code: code.to_owned(), status: named, place }),
        None if PASSED_ON.contains(&source.path.as_str()) => {}
        None => passed_on.push(place),
    }
}

/// The words of the kinds of refusals that are codes.
fn kinds(source: &Source, uses: &mut Vec<Use>) {
    for (_, start, never) in KINDS.iter().filter(|(path, ..)| *path == source.path) {
        let body = source.text.split_once(start).unwrap().1.split("\n}\n").next().unwrap();
        let words = body.lines().filter_map(|line| line.split_once("=> \"")?.1.split('"').next());
        for word in words.filter(|word| !never.contains(word)) {
            uses.push(Use { code: word.to_owned(), status: None, place: source.path.clone() });
        }
    }
}

#[test]
fn every_code_is_listed_and_every_listed_one_is_used() {
    let (mut uses, mut wrong) = (Vec::new(), Vec::new());
    for source in sources(&ERRORS) {
        constructed(&source, &mut uses, &mut wrong);
        kinds(&source, &mut uses);
    }
    assert_none("codes that are not written where the error is made", wrong);

    let mut listed: BTreeMap<&str, &[u16]> = BTreeMap::new();
    for code in iam_service::codes::ROOMS.iter().flat_map(|(_, codes)| *codes) {
        assert!(listed.insert(code.code, code.statuses).is_none(), "{} is listed twice", code.code);
    }
    let strange = uses.iter().filter(|used| match listed.get(used.code.as_str()) {
        Some(statuses) => used.status.is_some_and(|status| !statuses.contains(&status)),
        None => true,
    });
    let strange = strange.map(|used| format!("{}: {} {:?}", used.place, used.code, used.status)).collect();
    assert_none(
        "codes, or statuses of theirs, that `request/codes.rs` of `shared/service` does not list",
        strange,
    );

    let unused = listed.keys().filter(|code| !uses.iter().any(|used| used.code == **code));
    assert_none("listed codes that nothing answers with", unused.map(|code| (*code).to_owned()).collect());
}
