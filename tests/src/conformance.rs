//! The host layer's own suite, run inside a built module on each host.

use iam_edge::conformance::peers::Peers;
use serde_json::{Value, json};

use crate::client::Client;
use crate::hosts;
use crate::process::Attached;

const MODULE: &str = "conformance-function";

/// What the suite wants to find, as variables of its host.
fn variables(peers: &Peers) -> [(&'static str, String); 4] {
    [
        ("CONFORMANCE_TEXT", "grüße".to_owned()),
        ("CONFORMANCE_SECRET", "do not print".to_owned()),
        ("CONFORMANCE_PEER", format!("http://{}", peers.http)),
        ("CONFORMANCE_ECHO", peers.echo.to_string()),
    ]
}

/// The suite on workerd.
pub async fn workerd() {
    let peers = Peers::start().await.unwrap();
    let mut bindings: serde_json::Map<String, Value> =
        variables(&peers).into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    // A Worker's own secrets are what every other test has: this one is of a Secrets Store.
    let secret = bindings.remove("CONFORMANCE_SECRET");
    let document = json!({
        "database": "conformance",
        "namespace": "conformance",
        "workers": [{
            "name": MODULE,
            "directory": hosts::root().join("dist/cloudflare").join(MODULE),
            "compatibilityDate": "2026-11-01",
            "bindings": bindings,
            "storedSecrets": {"CONFORMANCE_SECRET": secret},
            "database": true,
            "keyValue": true,
            "services": {"CONFORMANCE_FUNCTION": MODULE},
        }],
    });
    let (url, running) = hosts::start_workerd(&document);
    check(&url, running, "cloudflare").await;
}

/// The suite on the Spin-compatible host.
pub async fn spin() {
    let peers = Peers::start().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let manifest = state.path().join("spin.toml");
    let granted: String =
        variables(&peers).map(|(name, value)| format!("{} = '{value}'\n", name.to_lowercase())).concat();
    let text = format!(
        "spin_manifest_version = 2\n\
         [application]\nname = 'conformance'\n\
         [[trigger.http]]\nroute = '/...'\ncomponent = '{MODULE}'\n\
         [component.{MODULE}]\nsource = '{}'\n\
         sqlite_databases = ['default']\nkey_value_stores = ['default']\n\
         allowed_outbound_hosts = ['*://127.0.0.1:*', 'http://*.spin.internal']\n\
         [component.{MODULE}.variables]\n{granted}",
        hosts::root().join("dist/spin").join(format!("{MODULE}.wasm")).display(),
    );
    std::fs::write(&manifest, text).unwrap();
    let (url, running) = hosts::start_spin(&manifest, state.path(), &json!({}));
    check(&url, running, "spin").await;
}

async fn check(url: &str, running: Attached, host: &str) {
    let answer = Client::new(url).post("/conformance", &json!({})).await.expect(200);
    assert_eq!(answer.text_at("/host"), host);
    let results = answer.json["results"].as_array().unwrap();
    let failed: Vec<_> = results.iter().filter(|result| result["passed"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(results.len() >= 30, "only {} checks ran", results.len());
    drop(running);
}
