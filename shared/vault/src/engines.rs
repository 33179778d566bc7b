//! Transit (encryption without giving the key away), PKI (certificates), and how the Vault does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::error::VaultError;
use crate::pem::{is_certificate, is_pair};
use crate::question::{Question, check_mount, check_path, success};
use crate::text::SecretText;

/// What every ciphertext of the transit engine begins with, before its version.
pub const CIPHERTEXT_PREFIX: &str = "vault:v";

/// The longest ciphertext that is taken, in bytes.
const MAX_CIPHERTEXT_BYTES: usize = 64 * 1024;

/// What the transit engine sealed: `vault:v1:…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ciphertext(String);

impl Ciphertext {
    /// Reads it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let version_and_rest = text.strip_prefix(CIPHERTEXT_PREFIX).and_then(|rest| rest.split_once(':'));
        let fits = version_and_rest.is_some_and(|(version, body)| {
            !version.is_empty()
                && !version.starts_with('0')
                && version.len() <= 9
                && version.bytes().all(|byte| byte.is_ascii_digit())
                && !body.is_empty()
                && body.len() <= MAX_CIPHERTEXT_BYTES
                && body.bytes().all(|byte| byte.is_ascii_graphic())
        });
        if fits { Ok(Self(text.to_owned())) } else { Err(VaultError::Invalid("a ciphertext: vault:v1:…")) }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version of the key that sealed it.
    #[must_use]
    pub fn key_version(&self) -> u32 {
        let rest = self.0.strip_prefix(CIPHERTEXT_PREFIX).and_then(|rest| rest.split_once(':'));
        rest.and_then(|(version, _)| version.parse().ok()).unwrap_or_default()
    }
}

fn read_ciphertext(answer: &http::Response<bytes::Bytes>) -> Result<Ciphertext, VaultError> {
    Ciphertext::parse(&success(answer)?.text("/data/ciphertext")?)
        .map_err(|_| VaultError::Lying("a ciphertext of another form"))
}

/// Encrypts under the newest version of a key.
///
/// # Errors
/// When mount or key is none, or the text is too large.
pub fn encrypt(mount: &str, key: &str, plain: &[u8]) -> Result<Question<Ciphertext>, VaultError> {
    check_mount(mount)?;
    check_path(key)?;
    let body = json!({"plaintext": STANDARD.encode(plain)});
    Question::post(format!("{mount}/encrypt/{key}"), &body, read_ciphertext)
}

/// Decrypts, under whichever version sealed it.
///
/// # Errors
/// When mount or key is none.
pub fn decrypt(
    mount: &str,
    key: &str,
    ciphertext: &Ciphertext,
) -> Result<Question<Zeroizing<Vec<u8>>>, VaultError> {
    check_mount(mount)?;
    check_path(key)?;
    let body = json!({"ciphertext": ciphertext});
    Question::post(format!("{mount}/decrypt/{key}"), &body, |answer| {
        let plain = STANDARD.decode(success(answer)?.secret("/data/plaintext")?.expose());
        plain.map(Zeroizing::new).map_err(|_| VaultError::Lying("a plaintext that is not base64"))
    })
}

/// Seals anew under the newest version of the key; the plaintext never leaves the Vault.
///
/// # Errors
/// When mount or key is none.
pub fn rewrap(mount: &str, key: &str, ciphertext: &Ciphertext) -> Result<Question<Ciphertext>, VaultError> {
    check_mount(mount)?;
    check_path(key)?;
    Question::post(format!("{mount}/rewrap/{key}"), &json!({"ciphertext": ciphertext}), read_ciphertext)
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// Who issued it, PEM.
    pub issuing_ca: String,
    /// The chain above it, PEM each.
    pub ca_chain: Vec<String>,
    /// Its private key, PEM.
    pub private_key: SecretText,
    /// What kind of key that is: `rsa`, `ec`, `ed25519`.
    pub private_key_type: String,
    /// Its serial number, in hexadecimal between colons.
    pub serial_number: String,
    /// When it ends, in seconds since 1970.
    pub expiration: i64,
}

/// Issues a certificate of a role.
///
/// # Errors
/// When mount or role is none.
pub fn issue(
    mount: &str,
    role: &str,
    common_name: &str,
    alternative_names: &[String],
    seconds: u64,
) -> Result<Question<Certificate>, VaultError> {
    check_mount(mount)?;
    check_path(role)?;
    let body = json!({
        "common_name": common_name, "alt_names": alternative_names.join(","), "ttl": format!("{seconds}s"),
    });
    Question::post(format!("{mount}/issue/{role}"), &body, |answer| {
        let mut body = success(answer)?;
        let ca_chain = match body.take("/data/ca_chain") {
            Value::Array(chain) => {
                chain.iter().map(|pem| pem.as_str().unwrap_or_default().to_owned()).collect()
            }
            _ => Vec::new(),
        };
        let issued = Certificate {
            certificate: body.text("/data/certificate")?,
            issuing_ca: body.text("/data/issuing_ca")?,
            ca_chain,
            private_key: body.secret("/data/private_key")?,
            private_key_type: body.text("/data/private_key_type")?,
            serial_number: body.text("/data/serial_number")?,
            expiration: body.integer("/data/expiration")?,
        };
        let is_whole = is_pair(&issued.certificate, issued.private_key.expose())
            && is_certificate(&issued.issuing_ca)
            && issued.ca_chain.iter().all(|certificate| is_certificate(certificate))
            && issued.expiration > 0;
        if is_whole { Ok(issued) } else { Err(VaultError::Lying("a certificate of another form")) }
    })
}

/// How a Vault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it was set up.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Whether another node does the work.
    pub standby: bool,
    /// Its version.
    pub version: String,
}

/// Asks how it does; nobody needs a token for that.
#[must_use]
pub fn health() -> Question<Health> {
    // The codes turn a state into an answer: what isn't 200 then is no Vault's.
    let path = "sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200";
    let mut question = Question::get(path.to_owned(), |answer| {
        let mut body = success(answer)?;
        Ok(Health {
            initialized: body.flag("/initialized")?,
            sealed: body.flag("/sealed")?,
            standby: body.flag("/standby")?,
            version: body.text("/version")?,
        })
    });
    question.asked.in_namespace = false;
    question
}
