//! `iam test-webhook`

use std::io::{BufRead as _, IsTerminal as _, Read as _, stdin, stdout};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use iam_core::webhooks::{Encoding, HmacOptions, Outgoing, Part, Proof, Scheme, SchemeName, Signed, sign};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use crate::Global;
use crate::client::check_url;
use crate::exit::Exit;
use crate::output::Table;

/// The environment variable that may hold the secret.
const SECRET_VARIABLE: &str = "IAM_WEBHOOK_SECRET";

/// The largest body: what any deployment takes.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// How long the deployment has.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Send a signed webhook, as a provider would.
///
/// The secret is asked for; where standard input is no terminal, its first line is read instead, and where
/// the environment variable IAM_WEBHOOK_SECRET is set, that is it. It is never an argument, because other
/// users of a machine see those. Nobody has to be signed in.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam test-webhook --url https://iam.example.com --service github\n  \
                        iam test-webhook --url https://iam.example.com --service payments --scheme stripe \
                        --body event.json\n  pass show hooks/own | iam test-webhook --url \
                        https://iam.example.com --service own --scheme hmac_sha256 \\\n    \
                        --signature-header X-Signature --signed '{timestamp}.{body}' --timestamp-header \
                        X-Time")]
pub(crate) struct TestWebhook {
    /// The service, as in /webhook/<SERVICE> of the deployment at --url. Without it --url is the whole
    /// address.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// How the message is signed. Without it the scheme that is called as the service.
    #[arg(long, value_enum, value_name = "SCHEME")]
    scheme: Option<SchemeArgument>,
    /// A file with the body, or - for standard input. Without it a small JSON object that is another one each
    /// time.
    #[arg(long, value_name = "FILE")]
    body: Option<String>,
    /// The body's media type.
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// The address as the deployment is configured to know it, where that is signed (trello, twilio) and is
    /// another one than the one that is called.
    #[arg(long, value_name = "URL")]
    signed_url: Option<String>,
    /// The message's id. Without it another one each time.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Sign for so many seconds ago, to see that it is refused.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    age: i64,
    /// Of shared_secret and hmac_sha256: the header with the secret or the signature.
    #[arg(long, value_name = "NAME", default_value = "X-Signature")]
    signature_header: String,
    /// Of hmac_sha256: what stands before the signature.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Of hmac_sha256: how the signature is written.
    #[arg(long, value_enum, value_name = "ENCODING", default_value_t = EncodingArgument::Hex)]
    encoding: EncodingArgument,
    /// Of hmac_sha256: what is signed.
    #[arg(long, value_name = "TEMPLATE", default_value = "{body}")]
    signed: String,
    /// Of hmac_sha256: the header with the moment.
    #[arg(long, value_name = "NAME")]
    timestamp_header: Option<String>,
    /// Of shared_secret and hmac_sha256: the header with the id.
    #[arg(long, value_name = "NAME")]
    id_header: Option<String>,
}

/// A scheme, by its name.
#[derive(Clone, Copy, Debug)]
struct SchemeArgument(SchemeName);

impl ValueEnum for SchemeArgument {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [SchemeArgument; 10] = [
            SchemeArgument(SchemeName::Github),
            SchemeArgument(SchemeName::Gitlab),
            SchemeArgument(SchemeName::GitlabSigned),
            SchemeArgument(SchemeName::Slack),
            SchemeArgument(SchemeName::Stripe),
            SchemeArgument(SchemeName::Trello),
            SchemeArgument(SchemeName::Twilio),
            SchemeArgument(SchemeName::StandardWebhooks),
            SchemeArgument(SchemeName::SharedSecret),
            SchemeArgument(SchemeName::HmacSha256),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum EncodingArgument {
    Hex,
    Base64,
}

impl TestWebhook {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let base = global.url.as_deref().context("say where the deployment is: --url or IAM_URL")?;
        let base = base.trim().trim_end_matches('/');
        ensure!(!base.contains(['?', '#']), "an address without query and fragment is needed");
        check_url(base, global.insecure_http)?;
        let url = match &self.service {
            Some(service) => format!("{base}/webhook/{}", self.checked_service(service)?),
            None => base.to_owned(),
        };
        let scheme = self.scheme()?;
        let (secret, body) = self.inputs()?;
        let now = now()?;
        let id = self.id.clone().unwrap_or_else(|| format!("msg_{:x}", now.as_nanos()));
        let body = body.unwrap_or_else(|| json!({"id": id, "test": true}).to_string().into_bytes());
        let outgoing = Outgoing {
            url: self.signed_url.as_deref().unwrap_or(&url),
            content_type: &self.content_type,
            body: &body,
            id: &id,
            timestamp: i64::try_from(now.as_secs())?.saturating_sub(self.age),
        };
        let signed = sign(&scheme, &secret, &outgoing)
            .context("the message can't be signed: is the secret of the scheme's form?")?;
        let answer = post(&url, &signed, &body)?;
        let is_taken = answer.get("status").and_then(Value::as_u64).is_some_and(|status| status < 300);
        let columns = &[("status", 6), ("result", 20), ("delivery_id", 31)];
        let mut table = Table::begin(stdout().lock(), global.output, columns)?;
        table.row(&answer)?;
        table.finish()?;
        Ok(if is_taken { Exit::Done } else { Exit::Refused })
    }

    fn checked_service<'a>(&self, service: &'a str) -> Result<&'a str> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        ensure!(
            (1..=64).contains(&service.len()) && service.bytes().all(known),
            "a service's name is 1 to 64 lower-case letters, digits, `_` and `-`"
        );
        Ok(service)
    }

    fn scheme(&self) -> Result<Scheme> {
        let by_service = || {
            let service = self.service.as_deref()?;
            SchemeName::ALL.iter().find(|(name, _)| *name == service).map(|(_, name)| *name)
        };
        let name = self.scheme.map(|scheme| scheme.0).or_else(by_service);
        let name = name.context("say how the message is signed: --scheme")?;
        let options = HmacOptions {
            header: &self.signature_header,
            prefix: &self.prefix,
            encoding: match self.encoding {
                EncodingArgument::Hex => Encoding::Hex,
                EncodingArgument::Base64 => Encoding::Base64,
            },
            signed: &self.signed,
            timestamp_header: self.timestamp_header.as_deref(),
            id_header: self.id_header.as_deref(),
        };
        let template = "--signed is text with {body} and perhaps {timestamp}, {id} and {url} in it";
        let scheme = Scheme::of(name, &options).context(template)?;
        if let Proof::Hmac { signed, .. } = &scheme.proof {
            let is_sent = |part: &Part, header: bool| !signed.contains(part) || header;
            let timed = is_sent(&Part::Timestamp, scheme.timestamp.is_some());
            let has_id = name != SchemeName::HmacSha256 || is_sent(&Part::Id, self.id_header.is_some());
            ensure!(timed && has_id, "what is signed has to be sent: --timestamp-header, --id-header");
        }
        Ok(scheme)
    }

    /// The secret, and the body where one is given.
    fn inputs(&self) -> Result<(String, Option<Vec<u8>>)> {
        let from_environment = std::env::var(SECRET_VARIABLE).ok().filter(|secret| !secret.is_empty());
        let from_input = self.body.as_deref() == Some("-");
        if from_input && from_environment.is_none() {
            bail!("the body comes from standard input, so set {SECRET_VARIABLE}");
        }
        let secret = match from_environment {
            Some(secret) => secret,
            None => ask()?,
        };
        let body = match self.body.as_deref() {
            None => None,
            Some("-") => Some(read(stdin().lock(), "standard input")?),
            Some(path) => {
                let file = std::fs::File::open(path).with_context(|| format!("can't read {path}"))?;
                Some(read(file, path)?)
            }
        };
        Ok((secret, body))
    }
}

#[expect(clippy::disallowed_methods, reason = "this program runs natively alone")]
fn now() -> Result<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock is before 1970")
}

fn ask() -> Result<String> {
    let secret = if stdin().is_terminal() {
        rpassword::prompt_password("Secret: ").context("no secret")?
    } else {
        let mut line = String::new();
        stdin().lock().take(4096).read_line(&mut line).context("can't read standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    ensure!(!secret.is_empty(), "no secret: set {SECRET_VARIABLE}, or write it to standard input");
    Ok(secret)
}

fn read(source: impl std::io::Read, name: &str) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    source.take(MAX_BODY_BYTES + 1).read_to_end(&mut body).with_context(|| format!("can't read {name}"))?;
    ensure!(body.len() as u64 <= MAX_BODY_BYTES, "the body may be {MAX_BODY_BYTES} bytes long");
    Ok(body)
}

/// Sends it; what came back, for the report.
fn post(url: &str, signed: &Signed, body: &[u8]) -> Result<Value> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .user_agent(concat!("iam/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let query = signed.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = Request::builder().method("POST").uri(format!("{url}{query}"));
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    let response = agent.run(request.body(body)?).with_context(|| format!("{url} does not answer"))?;
    let (parts, answer) = response.into_parts();
    let mut bytes = Vec::new();
    let read = answer.into_with_config().limit(MAX_ANSWER_BYTES).reader().read_to_end(&mut bytes);
    read.context("the answer broke off")?;
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let result =
        ["code", "status"].iter().find_map(|name| answer.get(name).filter(|value| value.is_string()));
    Ok(json!({
        "status": parts.status.as_u16(),
        "result": result,
        "delivery_id": answer.get("delivery_id"),
        "detail": answer.get("detail"),
    }))
}
