//! Webhook signatures: the examples of the providers' documentation, and what must not pass whatever is sent.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use iam_core::time::{Duration, Timestamp};
use iam_core::webhooks::{
    Encoding, HmacOptions, Message, Outgoing, Refusal, Scheme, SchemeName, Verified, present, sign, template,
    verify,
};
use proptest::prelude::*;
use zeroize::Zeroizing;

const URL: &str = "https://iam.example.com/webhook/service";

const OPTIONS: HmacOptions<'static> = HmacOptions {
    header: "X-Signature",
    prefix: "v1=",
    encoding: Encoding::Hex,
    signed: "{id}.{timestamp}.{body}",
    timestamp_header: Some("X-Timestamp"),
    id_header: Some("X-Id"),
};

fn scheme(name: SchemeName) -> Scheme {
    Scheme::of(name, &OPTIONS).unwrap()
}

/// A message as it is sent, and may be changed on its way.
#[derive(Clone, Debug)]
struct Sent {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    url: String,
    query: Option<String>,
}

impl Sent {
    fn new(headers: &[(&str, &str)], body: &[u8], url: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { headers, body: body.to_vec(), url: url.to_owned(), query: None }
    }

    fn signed(
        scheme: &Scheme,
        secret: &str,
        body: &[u8],
        content_type: &str,
        id: &str,
        timestamp: i64,
    ) -> Self {
        let outgoing = Outgoing { url: URL, content_type, body, id, timestamp };
        let signed = sign(scheme, secret, &outgoing).unwrap();
        Self { headers: signed.headers, body: body.to_vec(), url: URL.to_owned(), query: signed.query }
    }

    fn verify(&self, scheme: &Scheme, secrets: &[&str], now: i64) -> Result<Verified, Refusal> {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let message =
            Message { headers: &headers, body: &self.body, url: &self.url, query: self.query.as_deref() };
        let secrets: Vec<_> = secrets.iter().map(|secret| Zeroizing::new((*secret).to_owned())).collect();
        verify(scheme, &message, &secrets, Timestamp::from_seconds(now), Duration::from_seconds(300))
    }
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>, "Testing the webhook
/// payload validation".
#[test]
fn github() {
    let sent = Sent::new(
        &[("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")],
        b"Hello, World!",
        URL,
    );
    let scheme = scheme(SchemeName::Github);
    sent.verify(&scheme, &["It's a Secret to Everybody"], 0).unwrap();
    assert_eq!(sent.verify(&scheme, &["It's a secret to everybody"], 0), Err(Refusal::SignatureWrong));
}

/// <https://api.slack.com/authentication/verifying-requests-from-slack>, the example walked through there.
#[test]
fn slack() {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
        channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=\
        https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=\
        398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let sent = Sent::new(
        &[
            ("x-slack-request-timestamp", "1531420618"),
            ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ],
        body,
        URL,
    );
    let (scheme, secret) = (scheme(SchemeName::Slack), ["8f742231b10e8888abcd99yyyzzz85a5"]);
    sent.verify(&scheme, &secret, 1_531_420_618).unwrap();
    sent.verify(&scheme, &secret, 1_531_420_918).unwrap();
    assert_eq!(sent.verify(&scheme, &secret, 1_531_420_919), Err(Refusal::TimestampStale));
    assert_eq!(sent.verify(&scheme, &secret, 1_531_420_317), Err(Refusal::TimestampAhead));
    // Only its sender learns how the clocks differ.
    assert_eq!(sent.verify(&scheme, &["another secret"], 0), Err(Refusal::SignatureWrong));
}

/// What Stripe's own library for .NET tests itself with: `EventUtilityTest.cs` and
/// `event_test_signature.json` of <https://github.com/stripe/stripe-dotnet>.
#[test]
fn stripe_of_its_library() {
    let (scheme, body) = (scheme(SchemeName::Stripe), include_bytes!("data/stripe_event.json"));
    let header = "t=1533204620,v1=f0bdba6d4eacbd8ad8a3bbadd7248e633ec1477f7899c124c51b39405fa36613,\
        v0=63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef";
    let sent = Sent::new(&[("stripe-signature", header)], body, URL);
    let verify = |at| sent.verify(&scheme, &["webhook_secret"], at);
    verify(1_533_204_620 + 100).unwrap();
    assert_eq!(verify(1_533_204_620 + 400), Err(Refusal::TimestampStale));
}

/// <https://docs.stripe.com/webhooks/signature> describes `t` and `v1` and shows a header without its secret:
/// the form is that header's, the signature follows from the description (reckoned with Python's `hmac`).
#[test]
fn stripe() {
    let scheme = scheme(SchemeName::Stripe);
    let shown = "t=1492774577,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd,\
        v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39";
    let headers = [("stripe-signature", shown)];
    let message = Message { headers: &headers, body: b"", url: URL, query: None };
    present(&scheme, &message).unwrap();

    let body = br#"{"id":"evt_test","object":"event"}"#;
    let tag = "691252e266ce41cb94d709c84e9580d4172b117a510bbc81723f657d2cd5d215";
    let verify = |header: &str, at| {
        Sent::new(&[("stripe-signature", header)], body, URL).verify(&scheme, &["whsec_test_secret"], at)
    };
    verify(&format!("t=1492774577,v1={tag}"), 1_492_774_577).unwrap();
    // While the secret turns there are two; an older scheme counts for nothing.
    let wrong = tag.replace('6', "7");
    verify(&format!("t=1492774577,v1={wrong},v1={tag},v0={wrong}"), 1_492_774_577).unwrap();
    let refused = [
        (format!("t=1492774577,v0={tag}"), Refusal::SignatureMalformed),
        (format!("v1={tag}"), Refusal::TimestampMissing),
        (format!("t=1492774577,t=1492774577,v1={tag}"), Refusal::TimestampMalformed),
        (format!("t=+1492774577,v1={tag}"), Refusal::TimestampMalformed),
        (format!("t=01492774577,v1={tag}"), Refusal::SignatureWrong),
        (format!("t=1492774578,v1={tag}"), Refusal::SignatureWrong),
        (format!("t=1492774577,v1={}", tag.trim_end_matches('5')), Refusal::SignatureMalformed),
        (format!("t=1492774577{}", format!(",v1={tag}").repeat(17)), Refusal::SignatureMalformed),
        ("x".repeat(5000), Refusal::SignatureMalformed),
        (String::new(), Refusal::SignatureMissing),
    ];
    for (header, refusal) in refused {
        assert_eq!(verify(&header, 1_492_774_577), Err(refusal), "{header}");
    }
    // A retry is signed anew and is the same event.
    let first = Sent::signed(&scheme, "secret", body, "application/json", "", 1000);
    let retry = Sent::signed(&scheme, "secret", body, "application/json", "", 1060);
    let (first, retry) = (
        first.verify(&scheme, &["secret"], 1060).unwrap(),
        retry.verify(&scheme, &["secret"], 1060).unwrap(),
    );
    assert_eq!(first.message_hash, retry.message_hash);
    assert_ne!(first.content_hash, retry.content_hash);
}

/// <https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#webhook-signatures>: base64 of
/// HMAC-SHA-1 over the body and the callback address. The page gives a routine and no values: these are that
/// routine's, reckoned with Python's `hmac`.
#[test]
fn trello() {
    let (scheme, body) = (scheme(SchemeName::Trello), br#"{"action":{"id":"1"}}"#);
    let url = "https://iam.example.com/webhook/trello";
    let sent = Sent::new(&[("x-trello-webhook", "+UVd9yvbdRRxHQGSWCM4K3qko3Y=")], body, url);
    sent.verify(&scheme, &["trello-secret"], 0).unwrap();
    let elsewhere = Sent { url: URL.to_owned(), ..sent.clone() };
    assert_eq!(elsewhere.verify(&scheme, &["trello-secret"], 0), Err(Refusal::SignatureWrong));
}

/// <https://www.twilio.com/docs/usage/security#validating-requests>, with both numbers that the page has had.
#[test]
fn twilio() {
    let scheme = scheme(SchemeName::Twilio);
    for (number, tag) in [
        ("%2B14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("%2B12349013030", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
    ] {
        let body =
            format!("Digits=1234&To=%2B18005551212&From={number}&Caller={number}&CallSid=CA1234567890ABCDE");
        let headers = [
            ("x-twilio-signature", tag),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ];
        let mut sent = Sent::new(&headers, body.as_bytes(), "https://mycompany.com/myapp.php");
        sent.query = Some("foo=1&bar=2".to_owned());
        sent.verify(&scheme, &["12345"], 0).unwrap();
        // The body counts only as what it says it is.
        let json = Sent { headers: vec![sent.headers[0].clone()], ..sent.clone() };
        assert_eq!(json.verify(&scheme, &["12345"], 0), Err(Refusal::SignatureWrong));
    }
    // Another body than a form is told by its hash in the query.
    let body = br#"{"a": 1}"#;
    let mut sent = Sent::signed(&scheme, "12345", body, "application/json", "", 0);
    assert!(sent.query.as_ref().unwrap().starts_with("bodySHA256="));
    sent.verify(&scheme, &["12345"], 0).unwrap();
    sent.body.push(b' ');
    assert_eq!(sent.verify(&scheme, &["12345"], 0), Err(Refusal::SignatureWrong));
    // The signature of a request without a body vouches for none.
    let mut empty = Sent::signed(&scheme, "12345", b"", "application/json", "", 0);
    empty.verify(&scheme, &["12345"], 0).unwrap();
    empty.body = b"{}".to_vec();
    assert_eq!(empty.verify(&scheme, &["12345"], 0), Err(Refusal::SignatureWrong));
}

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md> and its
/// libraries' tests.
#[test]
fn standard_webhooks() {
    let (scheme, id) = (scheme(SchemeName::StandardWebhooks), "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let secret = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    let verify = |signature: &str| {
        let headers =
            [("webhook-id", id), ("webhook-timestamp", "1614265330"), ("webhook-signature", signature)];
        Sent::new(&headers, br#"{"test": 2432232314}"#, URL).verify(&scheme, &secret, 1_614_265_330)
    };
    verify("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=").unwrap();
    verify(
        "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= \
            v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )
    .unwrap();
    for signature in [
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,",
        "v1",
        " ",
    ] {
        assert_eq!(verify(signature), Err(Refusal::SignatureMalformed), "{signature}");
    }
}

/// <https://docs.gitlab.com/user/project/integrations/webhooks/>: the secret token is compared; a signing
/// token signs as Standard Webhooks does.
#[test]
fn gitlab() {
    let token = scheme(SchemeName::Gitlab);
    let sent = |secret: &str, id: &str| {
        Sent::new(&[("x-gitlab-token", secret), ("idempotency-key", id)], b"{}", URL)
    };
    let first = sent("a-token", "1").verify(&token, &["a-token"], 0).unwrap();
    assert_ne!(first, sent("a-token", "2").verify(&token, &["a-token"], 0).unwrap());
    for wrong in ["a-toke", "a-token ", "b-token", "A-TOKEN"] {
        assert_eq!(sent(wrong, "1").verify(&token, &["a-token"], 0), Err(Refusal::SignatureWrong));
    }
    let signed = scheme(SchemeName::GitlabSigned);
    let secret = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=";
    let sent = Sent::signed(&signed, secret, b"{}", "application/json", "uuid", 1000);
    assert!(sent.headers.iter().any(|(name, _)| name == "webhook-signature"));
    sent.verify(&signed, &[secret], 1000).unwrap();
}

#[test]
fn what_counts_comes_once() {
    for (_, name) in SchemeName::ALL {
        let scheme = scheme(name);
        let sent = Sent::signed(&scheme, "c2VjcmV0LXNlY3JldA==", b"{}", "application/json", "id", 1000);
        let verify = |sent: &Sent| sent.verify(&scheme, &["c2VjcmV0LXNlY3JldA=="], 1000);
        verify(&sent).unwrap();
        let mut twice = sent.clone();
        twice.headers.push(sent.headers.last().unwrap().clone());
        assert_eq!(verify(&twice), Err(Refusal::HeaderTwice), "{name:?}");
        let mut without = sent.clone();
        without.headers.pop();
        assert_eq!(verify(&without), Err(Refusal::SignatureMissing), "{name:?}");
        assert_eq!(sent.verify(&scheme, &[], 1000), Err(Refusal::SignatureWrong), "{name:?}");
        assert_eq!(name, SchemeName::ALL.iter().find(|(text, _)| *text == name.as_str()).unwrap().1);
    }
}

/// A message that is replayed under another id that nobody signed stays the same message.
#[test]
fn an_id_that_is_not_signed_counts_for_nothing() {
    let scheme = scheme(SchemeName::Github);
    let mut sent = Sent::signed(&scheme, "secret", b"{}", "application/json", "1", 0);
    let first = sent.verify(&scheme, &["secret"], 0).unwrap();
    sent.headers.push(("x-github-delivery".to_owned(), "2".to_owned()));
    assert_eq!(sent.verify(&scheme, &["secret"], 0), Ok(first));
}

#[test]
fn templates_are_read() {
    assert_eq!(template("{timestamp}.{body}").unwrap().len(), 3);
    assert_eq!(template("v0:{timestamp}:{body}!").unwrap().len(), 5);
    for bad in
        ["", "body", "{body", "body}", "{body}{body}", "{other}{body}", "{timestamp}", "{{body}}", "}{body}"]
    {
        assert!(template(bad).is_none(), "{bad}");
    }
}

fn any_scheme() -> impl Strategy<Value = SchemeName> {
    proptest::sample::select(SchemeName::ALL.map(|(_, name)| name).to_vec())
}

const SECRET: &str = "c2VjcmV0LXNlY3JldA==";

proptest! {
    #[test]
    fn what_is_signed_verifies(
        name in any_scheme(),
        body: Vec<u8>,
        id in "[a-z0-9-]{1,40}",
        now in 1_000_000_i64..100_000_000_000,
        is_form: bool,
    ) {
        let scheme = scheme(name);
        let media = if is_form { "application/x-www-form-urlencoded" } else { "application/json" };
        let sent = Sent::signed(&scheme, SECRET, &body, media, &id, now);
        prop_assert!(sent.verify(&scheme, &["b3RoZXItc2VjcmV0", SECRET], now).is_ok());
        prop_assert!(sent.verify(&scheme, &["b3RoZXItc2VjcmV0"], now).is_err());
    }

    /// Twilio's way puts names and values of a form together without a sign between them, so its forms are
    /// left out here.
    #[test]
    fn a_changed_body_is_refused(
        name in any_scheme(),
        body: Vec<u8>,
        at: prop::sample::Index,
        change in 1_u8..,
    ) {
        let scheme = scheme(name);
        prop_assume!(!matches!(name, SchemeName::Gitlab | SchemeName::SharedSecret));
        let mut sent = Sent::signed(&scheme, SECRET, &body, "application/json", "id", 1000);
        if body.is_empty() {
            sent.body.push(change);
        } else {
            sent.body[at.index(body.len())] ^= change;
        }
        prop_assert!(sent.verify(&scheme, &[SECRET], 1000).is_err());
        sent.body = [body.as_slice(), &[change]].concat();
        prop_assert!(sent.verify(&scheme, &[SECRET], 1000).is_err());
    }

    /// Each header that the scheme reads, changed in any character. Where an id is not signed but vouched for
    /// by the secret itself, another id is another message.
    #[test]
    fn a_changed_header_is_refused(
        name in any_scheme(),
        header: prop::sample::Index,
        at: prop::sample::Index,
        to in "[!-~]",
    ) {
        let scheme = scheme(name);
        let sent = Sent::signed(&scheme, SECRET, b"{\"a\": 1}", "application/json", "id-1", 1000);
        let first = sent.verify(&scheme, &[SECRET], 1000).unwrap();
        let mut changed = sent.clone();
        // The first one is the media type.
        let index = 1 + header.index(sent.headers.len() - 1);
        let (_, value) = &mut changed.headers[index];
        let at = at.index(value.len());
        let before = value.clone();
        value.replace_range(at..=at, &to);
        prop_assume!(!before.eq_ignore_ascii_case(value));
        match changed.verify(&scheme, &[SECRET], 1000) {
            Err(_) => {}
            Ok(other) => {
                prop_assert!(matches!(name, SchemeName::Gitlab | SchemeName::SharedSecret), "{:?} {} -> \
                     {}", name, before, changed.headers[index].1);
                prop_assert_ne!(other.message_hash, first.message_hash);
            }
        }
    }

    #[test]
    fn another_time_is_refused(name in any_scheme(), off in 301_i64..1_000_000, is_ahead: bool) {
        let scheme = scheme(name);
        prop_assume!(scheme.timestamp.is_some());
        let now = 2_000_000;
        let (moment, refusal) =
            if is_ahead {
                (now + off, Refusal::TimestampAhead)
            } else {
                (now - off, Refusal::TimestampStale)
            };
        let sent = Sent::signed(&scheme, SECRET, b"{}", "application/json", "id", moment);
        prop_assert_eq!(sent.verify(&scheme, &[SECRET], now), Err(refusal));
    }

    #[test]
    fn foreign_headers_never_panic(
        name in any_scheme(),
        value in ".{0,200}",
        body: Vec<u8>,
        query in ".{0,40}",
    ) {
        let scheme = scheme(name);
        let slack = "x-slack-request-timestamp";
        let names = [scheme.header.as_ref(), "webhook-id", "webhook-timestamp", slack, "content-type"];
        let headers: Vec<_> = names.iter().map(|name| (*name, value.as_str())).collect();
        let message = Message { headers: &headers, body: &body, url: URL, query: Some(&query) };
        let secrets = [Zeroizing::new("another-secret".to_owned())];
        let (now, window) = (Timestamp::from_seconds(0), Duration::from_seconds(300));
        let result = verify(&scheme, &message, &secrets, now, window);
        prop_assert!(result.is_err());
    }
}
