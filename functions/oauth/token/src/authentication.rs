//! Who a client is: `client_secret_basic`, `client_secret_post` (RFC 6749 section 2.3.1) or `private_key_jwt`
//! (RFC 7523 section 2.2), and exactly one of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use iam_core::id::{ClientId, OrganizationId};
use iam_core::jose::jwt::TokenError;
use iam_core::oauth::acts;
use iam_core::oauth::client_assertion::UnverifiedAssertion;
use iam_core::oauth::token::{ClientProof, PresentedClient};
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::{CLIENT_SECRET_PREFIX, Credential};
use iam_core::sql::Query;
use iam_service::{ApiError, Context, Form, verify_signature};
use percent_encoding::percent_decode_str;

use crate::TOKEN_PATH;

/// The one type of assertion (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request shows of its client.
pub(crate) enum Shown<'a> {
    /// An id and a secret.
    Secret(ClientId, Credential),
    /// An assertion.
    Assertion(Box<UnverifiedAssertion<'a>>),
}

/// A client that proved itself. An assertion is verified, but still to be used up.
pub(crate) struct AuthenticatedClient {
    /// In which organization.
    pub(crate) organization: OrganizationId,
    /// The client.
    pub(crate) client: PresentedClient,
    /// With what it proved itself.
    pub(crate) proof: ClientProof,
}

/// 401: not a client, or not its credential. Which of them is for the log alone.
pub(crate) fn invalid_client(cause: impl Into<String>) -> ApiError {
    let detail = "the client is unknown, or its credential does not hold";
    ApiError::new(StatusCode::UNAUTHORIZED, "invalid_client", detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"edge-iam\""))
        .cause(cause)
}

pub(crate) fn invalid_request(detail: &'static str) -> ApiError {
    ApiError::bad_request("invalid_request", detail)
}

/// Reads the client's credential; `None` where the request shows none.
///
/// # Errors
/// 400 where it shows more than one or contradicts itself, 401 where what it shows can't be a client's.
pub(crate) fn read<'a>(headers: &HeaderMap, form: &'a Form) -> Result<Option<Shown<'a>>, ApiError> {
    let basic = headers.get(header::AUTHORIZATION);
    let (secret, assertion) = (form.get("client_secret"), form.get("client_assertion"));
    let methods =
        usize::from(basic.is_some()) + usize::from(secret.is_some()) + usize::from(assertion.is_some());
    if methods > 1 {
        return Err(invalid_request("the client proves itself in more than one way"));
    }
    if form.get("client_assertion_type").is_some() != assertion.is_some() {
        return Err(invalid_request("`client_assertion` and `client_assertion_type` come together"));
    }
    let named = form.get("client_id");
    let shown = if let Some(value) = basic {
        let (id, secret) = basic_credential(value).ok_or_else(|| invalid_client("not a Basic credential"))?;
        secret_of(&id, &secret)?
    } else if let Some(secret) = secret {
        secret_of(named.ok_or_else(|| invalid_request("`client_id` is missing"))?, secret)?
    } else if let Some(assertion) = assertion {
        if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(invalid_request("`client_assertion_type` is that of RFC 7523 section 2.2"));
        }
        let refused = |error: TokenError| invalid_client(error.reason());
        Shown::Assertion(Box::new(UnverifiedAssertion::parse(assertion).map_err(refused)?))
    } else {
        return Ok(None);
    };
    if named.is_some_and(|named| named != shown.client_id().as_str()) {
        return Err(invalid_request("`client_id` is not the client that proves itself"));
    }
    Ok(Some(shown))
}

fn secret_of<'a>(id: &str, secret: &str) -> Result<Shown<'a>, ApiError> {
    let client_id = id.parse().map_err(|_| invalid_client("malformed client id"))?;
    let secret = Credential::parse(CLIENT_SECRET_PREFIX, secret);
    Ok(Shown::Secret(client_id, secret.ok_or_else(|| invalid_client("malformed client secret"))?))
}

/// Id and secret of `Authorization: Basic`, each encoded as in a form before they were joined.
fn basic_credential(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = joined.split_once(':')?;
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    Some((decode(id)?, decode(secret)?))
}

impl Shown<'_> {
    fn client_id(&self) -> &ClientId {
        match self {
            Self::Secret(client_id, _) => client_id,
            Self::Assertion(assertion) => assertion.client_id(),
        }
    }

    /// The organization that the client's id names.
    ///
    /// # Errors
    /// 401 where the secret names another.
    pub(crate) fn organization(&self) -> Result<OrganizationId, ApiError> {
        let organization =
            self.client_id().organization().ok_or_else(|| invalid_client("no organization"))?;
        match self {
            Self::Secret(_, secret) if *secret.organization() != organization => {
                Err(invalid_client("the secret is of another organization"))
            }
            _ => Ok(organization),
        }
    }

    /// Finds the client. Give it to [`Shown::check`].
    pub(crate) fn find(&self, organization: &OrganizationId) -> Query<PresentedClient> {
        let hash = match self {
            Self::Secret(_, secret) => Some(secret.hash()),
            Self::Assertion(_) => None,
        };
        PresentedClient::find(organization, self.client_id(), hash.as_ref())
    }

    /// Checks what was shown against the client as it was registered. A failure of a client that there is
    /// gets recorded before it is answered.
    pub(crate) async fn check(
        self,
        context: &Context,
        organization: OrganizationId,
        client: Option<PresentedClient>,
    ) -> Result<AuthenticatedClient, ApiError> {
        let client = client.ok_or_else(|| invalid_client("unknown client"))?;
        match self.prove(context, &client).await {
            Ok(proof) if client.is_active() => Ok(AuthenticatedClient { organization, client, proof }),
            Ok(_) => Err(refuse(context, &organization, &client, "account_inactive").await?),
            Err(reason) => Err(refuse(context, &organization, &client, reason).await?),
        }
    }

    async fn prove(self, context: &Context, client: &PresentedClient) -> Result<ClientProof, &'static str> {
        match self {
            Self::Secret(_, secret) if client.has_valid_secret(context.now) => {
                Ok(ClientProof::Secret(secret.hash()))
            }
            Self::Secret(..) => Err("wrong_secret"),
            Self::Assertion(assertion) => {
                let keys = client.keys.as_ref().ok_or("no_keys")?;
                let checked =
                    assertion.check(keys, &audiences(context), context.now).map_err(TokenError::reason)?;
                verify_signature(&checked.jws, &checked.key).await.map_err(TokenError::reason)?;
                Ok(ClientProof::Assertion(checked.used))
            }
        }
    }
}

/// Whom an assertion may be meant for: the issuer, and the token endpoint where the deployment knows its
/// address.
fn audiences(context: &Context) -> Vec<String> {
    let configuration = context.configuration();
    let mut audiences = vec![configuration.jwt.issuer.clone()];
    if let Some(url) = &configuration.public_url {
        audiences.push(url.clone());
        audiences.push(format!("{url}{TOKEN_PATH}"));
    }
    audiences
}

/// Records that a client failed to prove itself, and gives the error to answer with.
pub(crate) async fn refuse(
    context: &Context,
    organization: &OrganizationId,
    client: &PresentedClient,
    reason: &'static str,
) -> Result<ApiError, ApiError> {
    let event = context
        .audit(organization, acts::CLIENT_AUTHENTICATE, Outcome::Failure)?
        .of_user(&client.user_id)
        .on(client.client_id.as_str())
        .detail("reason", reason);
    context.db(organization).execute(event.record()).await?;
    Ok(invalid_client(reason))
}
