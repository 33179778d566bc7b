//! The session cookie: RFC 6265 with the attributes of `__Host-` cookies, whatever it is called.

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use iam_core::config::SessionConfiguration;
use iam_core::limit::SessionClaim;
use iam_core::secret::credential::{Credential, SESSION_TOKEN_PREFIX};
use iam_core::sign_in::session::LiveSession;
use iam_core::sql::Batch;

use super::caller::Caller;
use super::charge::{Charge, RateLimits};
use super::origin::check_cookie_use;
use super::session::{caller_of, live};
use crate::context::Context;
use crate::request::error::{ApiError, parse_credential};

/// The session cookie that a request brings.
///
/// # Errors
/// 400 where there are several by this name: a page of a neighbouring domain can set one of its own, and
/// nobody could tell which is ours.
fn find<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(given, _)| *given == name);
    let value = values.next().map(|(_, value)| value);
    if values.next().is_some() {
        return Err(ApiError::bad_request("ambiguous_cookie", "there are several session cookies"));
    }
    Ok(value)
}

/// 401: there is no credential.
pub(super) fn credential_missing() -> ApiError {
    ApiError::unauthorized("credential_missing", "send an access token or an API key")
}

/// Whoever calls with the session cookie, from a page of ours.
pub(super) async fn by_cookie(
    context: &Context,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(Caller, RateLimits), ApiError> {
    let value = find(headers, &context.configuration().session.cookie_name)?;
    let value = value.ok_or_else(credential_missing)?;
    check_cookie_use(method, uri, headers, context.configuration())?;
    let credential = parse_credential(SESSION_TOKEN_PREFIX, value)?;
    let organization = credential.organization();
    let hash = credential.hash();
    let charge = Charge::of_session(context, organization, SessionClaim::Cookie(&hash));
    let mut batch = Batch::new();
    let found = batch.ask(LiveSession::find_by_cookie(organization, &hash));
    let leases = charge.ask(&mut batch);
    let answers = context.db(organization).batch(batch).await?;
    let session = live(context, answers.one(found)?).inspect_err(|_| charge.give_back_unsettled())?;
    let limits = charge.settle(0, &leases, &answers)??;
    Ok((caller_of(context, organization, session), limits))
}

/// Sets the session cookie, for as long as the session lasts at most.
///
/// # Errors
/// Never with a name that the configuration allows.
pub fn session_cookie(
    configuration: &SessionConfiguration,
    credential: &Credential,
) -> Result<HeaderValue, ApiError> {
    set(&configuration.cookie_name, credential.reveal(), configuration.timeout.as_seconds())
}

/// Takes the session cookie away.
///
/// # Errors
/// Never with a name that the configuration allows.
pub fn clear_session_cookie(configuration: &SessionConfiguration) -> Result<HeaderValue, ApiError> {
    set(&configuration.cookie_name, "", 0)
}

fn set(name: &str, value: &str, max_age: i64) -> Result<HeaderValue, ApiError> {
    let text = format!("{name}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Strict");
    let mut header = HeaderValue::try_from(text).map_err(|error| ApiError::internal(error.to_string()))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        find(&headers, "SID").map(|value| value.map(str::to_owned)).map_err(|error| error.code())
    }

    #[test]
    fn one_cookie_is_found_among_others() {
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&["a=b; SID=x=y; c"]), Ok(Some("x=y".to_owned())));
        assert_eq!(found(&["a=b", "SID=x"]), Ok(Some("x".to_owned())));
        assert_eq!(found(&["sid=x; XSID=y; SID2=z"]), Ok(None));
    }

    #[test]
    fn two_of_one_name_are_refused() {
        assert_eq!(found(&["SID=a; SID=b"]), Err("ambiguous_cookie"));
        assert_eq!(found(&["SID=a", "SID=a"]), Err("ambiguous_cookie"));
    }

    #[test]
    fn its_attributes_are_those_of_a_host_cookie() {
        let configuration = SessionConfiguration::default();
        let organization = "org_7Gk2QxAb0".parse().unwrap();
        let credential = Credential::new("cronos_st_", &organization, &[7; 32]);
        let set = session_cookie(&configuration, &credential).unwrap();
        let expected = format!(
            "CRONOS_SESSION={}; Path=/; Max-Age=28800; Secure; HttpOnly; SameSite=Strict",
            credential.reveal()
        );
        assert_eq!(set.to_str().unwrap(), expected);
        let cleared = clear_session_cookie(&configuration).unwrap();
        assert_eq!(
            cleared.to_str().unwrap(),
            "CRONOS_SESSION=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict"
        );
    }
}
