//! A receiver of what is sent out: keys that turned, and messages that are forwarded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aes_gcm::aead::{Aead as _, KeyInit as _, Nonce, Payload};
use aes_gcm::{Aes256Gcm, Key};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use iam_core::encoding::from_base64url;
use iam_core::webhooks::standard;
use p256::ecdh::diffie_hellman;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// An answer that never comes.
pub const HANG: u16 = 0;

/// A receiver of webhooks, as somebody would run one: of keys that turned, or of messages that are forwarded.
pub struct Receiver {
    /// Where it takes them.
    pub url: String,
    /// What it answers next, or [`HANG`]; 204 where nothing is left.
    pub answers: Arc<Mutex<VecDeque<u16>>>,
    /// What came.
    pub got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    /// Answers what it was told to, then 204.
    #[must_use]
    pub fn start(answers: &[u16]) -> Self {
        let (sender, started) = std::sync::mpsc::channel();
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<u16>>()));
        let got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
        let (next, kept) = (Arc::clone(&answers), Arc::clone(&got));
        std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                let handler = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
                    kept.lock().unwrap().push((headers, body));
                    let status = next.lock().unwrap().pop_front().unwrap_or(204);
                    async move {
                        if status == HANG {
                            tokio::time::sleep(Duration::from_secs(60)).await;
                        }
                        StatusCode::from_u16(status.max(200)).unwrap()
                    }
                });
                axum::serve(listener, handler).await.unwrap();
            });
        });
        Self { url: format!("http://{}/hooks", started.recv().unwrap()), answers, got }
    }

    /// How many deliveries came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// What came last: its id, its headers and its body, signed with each of these secrets in turn, a moment
    /// ago.
    #[must_use]
    pub fn last_signed(&self, secrets: &[&str]) -> (String, HeaderMap, Bytes) {
        let (headers, body) = self.got.lock().unwrap().last().cloned().unwrap();
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let (id, moment) = (text("webhook-id"), text("webhook-timestamp").parse::<i64>().unwrap());
        assert!((iam_edge::now().as_seconds() - moment).abs() < 60);
        let sign = |secret: &&str| standard::sign(&key_of(secret), &id, moment, &body);
        assert_eq!(text("webhook-signature"), secrets.iter().map(sign).collect::<Vec<_>>().join(" "));
        (id, headers, body)
    }

    /// What came last, where keys are delivered: its id, its body and the key in it, the signature verified.
    #[must_use]
    pub fn last_key(&self, signing_secret: &str) -> (String, Value, String) {
        assert_eq!(key_of(signing_secret).len(), 32);
        let (id, _, body) = self.last_signed(&[signing_secret]);
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["type"], "api_key.rotated");
        let key = decrypt(json["data"]["encrypted_key"].as_str().unwrap());
        assert!(!String::from_utf8_lossy(&body).contains("cronos_sk_"), "a key in the clear");
        (id, json, key)
    }
}

/// Of `whsec_` and base64.
fn key_of(secret: &str) -> Vec<u8> {
    let text = secret.strip_prefix("whsec_").unwrap();
    from_base64url(&text.trim_end_matches('=').replace('+', "-").replace('/', "_")).unwrap()
}

/// As a receiver does it: RFC 7516 section 5.2, RFC 7518 section 4.6, written apart from what encrypts.
fn decrypt(jwe: &str) -> String {
    let parts: Vec<&str> = jwe.split('.').collect();
    let [header, "", vector, text, tag] = parts[..] else { panic!("{jwe}") };
    let json: Value = serde_json::from_slice(&from_base64url(header).unwrap()).unwrap();
    assert_eq!(json["kid"], "receiver-1");
    let coordinate = |name: &str| from_base64url(json["epk"][name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let ephemeral = p256::PublicKey::from_sec1_bytes(&point).unwrap();
    let private = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let shared = diffie_hellman(private.to_nonzero_scalar(), ephemeral.as_affine());
    let input = [
        &[0, 0, 0, 1],
        shared.raw_secret_bytes().as_slice(),
        &[0, 0, 0, 7],
        b"A256GCM",
        &[0; 8],
        &[0, 0, 1, 0],
    ];
    let key: [u8; 32] = Sha256::digest(input.concat()).into();
    let sealed = [from_base64url(text).unwrap(), from_base64url(tag).unwrap()].concat();
    let vector = from_base64url(vector).unwrap();
    let plain = Aes256Gcm::new(&Key::<Aes256Gcm>::from(key))
        .decrypt(
            &Nonce::<Aes256Gcm>::try_from(vector.as_slice()).unwrap(),
            Payload { msg: &sealed, aad: header.as_bytes() },
        )
        .unwrap();
    String::from_utf8(plain).unwrap()
}
