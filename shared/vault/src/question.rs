//! What can be asked of a Vault: a request to be made, and how its answer is read. Nothing here talks to
//! anybody.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::VaultError;
use crate::text::SecretText;

/// The longest mount or path, in bytes.
const MAX_PATH_BYTES: usize = 512;

/// The largest body that is sent, in bytes: Vault takes 32 MiB, and nothing of ours comes near this.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// What can be mounted for nobody: the Vault's own.
const VAULTS_OWN: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

/// A Vault: where it is, and which namespace of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    address: String,
    namespace: Option<HeaderValue>,
}

/// One request and how its answer is read. It may hold a secret, so it has no `Debug`.
pub struct Question<T> {
    pub(crate) asked: Asked,
    pub(crate) read: fn(&Response<Bytes>) -> Result<T, VaultError>,
}

/// What is asked, whatever the answer is read as: all that is long about asking is compiled once.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
    pub(crate) in_namespace: bool,
}

impl Server {
    /// A Vault at `https://host:port`, without a path.
    ///
    /// # Errors
    /// When the address or the namespace is none.
    pub fn new(address: &str, namespace: Option<&str>) -> Result<Self, VaultError> {
        let is_address = ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme));
        if !is_address || address.parse::<http::Uri>().map_or(true, |uri| uri.authority().is_none()) {
            return Err(VaultError::Invalid("an address such as https://vault.example.com:8200"));
        }
        let namespace = namespace
            .map(|name| match is_path(name) {
                true => HeaderValue::from_str(name).map_err(|_| VaultError::Invalid("a namespace of names")),
                false => Err(VaultError::Invalid("a namespace of names between slashes")),
            })
            .transpose()?;
        Ok(Self { address: address.trim_end_matches('/').to_owned(), namespace })
    }
}

impl<T> Question<T> {
    pub(crate) fn get(path: String, read: fn(&Response<Bytes>) -> Result<T, VaultError>) -> Self {
        Self { asked: Asked { method: Method::GET, path, body: None, in_namespace: true }, read }
    }

    pub(crate) fn post(
        path: String,
        body: &impl Serialize,
        read: fn(&Response<Bytes>) -> Result<T, VaultError>,
    ) -> Result<Self, VaultError> {
        let body =
            serde_json::to_vec(body).map_err(|_| VaultError::Invalid("what can be written as JSON"))?;
        if body.len() > MAX_BODY_BYTES {
            return Err(VaultError::Invalid("at most 256 KiB of data"));
        }
        let body = Some(Zeroizing::new(body));
        Ok(Self { asked: Asked { method: Method::POST, path, body, in_namespace: true }, read })
    }

    /// The request, as it goes to `server`.
    ///
    /// # Errors
    /// When the token can't stand in a header.
    pub fn request(&self, server: &Server, token: Option<&str>) -> Result<Request<Bytes>, VaultError> {
        self.asked.request(server, token)
    }

    /// What the answer says.
    ///
    /// # Errors
    /// When it is an error, or not what the API promises.
    pub fn read(&self, answer: &Response<Bytes>) -> Result<T, VaultError> {
        (self.read)(answer)
    }
}

impl Asked {
    pub(crate) fn request(&self, server: &Server, token: Option<&str>) -> Result<Request<Bytes>, VaultError> {
        const UNFIT: VaultError = VaultError::Invalid("a token that fits a header");
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("{}/v1/{}", server.address, self.path))
            // Vault's agents may insist on it; a server that is fooled into somebody else's request lacks it.
            .header("x-vault-request", "true")
            .header(header::ACCEPT, "application/json");
        if let Some(namespace) = server.namespace.as_ref().filter(|_| self.in_namespace) {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token).map_err(|_| UNFIT)?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = self.body.as_ref().map(|body| Bytes::copy_from_slice(body)).unwrap_or_default();
        request.body(body).map_err(|_| VaultError::Invalid("a path that fits an address"))
    }
}

/// The answer's body, where its status is one of success.
pub(crate) fn success(answer: &Response<Bytes>) -> Result<Body, VaultError> {
    check_status(answer)?;
    serde_json::from_slice(answer.body()).map(Body).map_err(|_| FORM)
}

const FORM: VaultError = VaultError::Lying("a body of another form");

/// A body, taken apart member by member: the modules carry one reader of JSON instead of one for each answer.
pub(crate) struct Body(pub(crate) Value);

impl Body {
    pub(crate) fn take(&mut self, pointer: &str) -> Value {
        self.0.pointer_mut(pointer).map(Value::take).unwrap_or_default()
    }

    /// A text, moved out: nothing of it is left here.
    pub(crate) fn text(&mut self, pointer: &str) -> Result<String, VaultError> {
        match self.take(pointer) {
            Value::String(text) => Ok(text),
            _ => Err(FORM),
        }
    }

    pub(crate) fn secret(&mut self, pointer: &str) -> Result<SecretText, VaultError> {
        self.text(pointer).map(SecretText::new)
    }

    pub(crate) fn integer(&self, pointer: &str) -> Result<i64, VaultError> {
        self.0.pointer(pointer).and_then(Value::as_i64).ok_or(FORM)
    }

    pub(crate) fn flag(&self, pointer: &str) -> Result<bool, VaultError> {
        self.0.pointer(pointer).and_then(Value::as_bool).ok_or(FORM)
    }
}

/// Sorts what is no success. Vault says more in `errors`; that may repeat what was asked, and stays unread
/// but for the one text that tells a lost race from a bad request.
pub(crate) fn check_status(answer: &Response<Bytes>) -> Result<(), VaultError> {
    let status = answer.status();
    Err(match status.as_u16() {
        200 | 204 => return Ok(()),
        400 if says(answer, b"check-and-set parameter did not match") => VaultError::OutOfDate,
        401 | 403 => VaultError::Denied,
        404 if is_vaults(answer) => VaultError::Absent,
        404 => VaultError::Lying("404 from somebody else"),
        429 | 472 | 473 | 501 => VaultError::Busy(status.as_u16()),
        503 if says(answer, b"sealed") || says(answer, b"not initialized") => VaultError::Sealed,
        301..=308 => VaultError::Busy(status.as_u16()),
        _ if status.is_client_error() => VaultError::Refused(status.as_u16()),
        _ if status.is_server_error() => VaultError::Busy(status.as_u16()),
        _ => VaultError::Lying("a status that the API does not know"),
    })
}

fn says(answer: &Response<Bytes>, words: &[u8]) -> bool {
    answer.body().windows(words.len()).any(|window| window.eq_ignore_ascii_case(words))
}

/// A 404 of Vault's is JSON; a proxy's is a page.
pub(crate) fn is_vaults(answer: &Response<Bytes>) -> bool {
    answer.status() == StatusCode::NOT_FOUND
        && serde_json::from_slice::<Value>(answer.body())
            .is_ok_and(|body| body.get("errors").is_some() || body.get("data").is_some())
}

/// Whether it is a path of plain names: nothing in it is encoded, climbs or ends it early.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(known) && !name.bytes().all(|byte| byte == b'.');
    text.len() <= MAX_PATH_BYTES && text.split('/').all(is_name)
}

/// Whether an engine can be mounted there: a path, and nothing of it is the Vault's own, for what stands
/// before that may be a namespace.
#[must_use]
pub fn is_mount(text: &str) -> bool {
    is_path(text) && !text.split('/').any(|name| VAULTS_OWN.contains(&name))
}

pub(crate) fn check_mount(mount: &str) -> Result<(), VaultError> {
    if is_mount(mount) { Ok(()) } else { Err(VaultError::Invalid("the mount of an engine")) }
}

pub(crate) fn check_path(path: &str) -> Result<(), VaultError> {
    if is_path(path) { Ok(()) } else { Err(VaultError::Invalid("a path of names between slashes")) }
}
