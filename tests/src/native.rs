//! All functions in this process, over one SQLite database in memory.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Request, Response};
use iam_core::sql::Statement;
use iam_edge::Host;
use iam_edge::native::TestHost;
use iam_service::{RoundTrips, Service};

use crate::deployment::{Deployment, Setup};

/// Starts the product natively, on a thread and a runtime of its own: a test's runtime ends with the test.
#[must_use]
pub fn start(setup: Setup) -> (Deployment, TestHost) {
    let host = TestHost::new_in_memory().unwrap();
    host.apply(iam_edge::native::SCHEMA).unwrap();
    for (name, value) in [
        ("IAM_CONFIG", &setup.configuration),
        ("IAM_MASTER_KEY", &setup.master_key),
        ("IAM_VAULT_SECRET_ID", &setup.vault_secret_id),
        ("IAM_INTERNAL_TOKEN", &setup.internal_token),
        ("IAM_WEBHOOK_SECRETS", &setup.webhook_secrets),
    ] {
        host.set_variable(name, value);
    }
    let violations = Arc::new(Mutex::new(Vec::new()));
    for function in iam_catalogue::functions() {
        bind(&host, function, &violations);
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let (served, statements) = (host.clone(), setup.statements.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async move {
            served.request().db("").batch(statements).await.unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let gateway = axum::Router::new().fallback(move |request: Request<Body>| {
                let host = served.request_from([127, 0, 0, 1].into());
                iam_gateway::handle(host, request)
            });
            axum::serve(listener, gateway).await.unwrap();
        });
    });
    let address = receiver.recv().unwrap();
    let violations = Arc::new(move || std::mem::take(&mut *violations.lock().unwrap()));
    let asked = host.clone();
    let count = Arc::new(move |sql: &str| count(&asked, sql));
    (
        Deployment {
            base_url: format!("http://{address}"),
            setup,
            violations,
            count,
            administrator: tokio::sync::Mutex::default(),
        },
        host,
    )
}

/// Starts these functions anew over the same database, with these variables instead of the ones before.
pub fn restart(host: &TestHost, functions: &[&str], variables: &[(&str, &str)]) {
    for (name, value) in variables {
        host.set_variable(name, value);
    }
    for function in iam_catalogue::functions() {
        if functions.is_empty() || functions.contains(&function.name) {
            bind(host, function, &Arc::default());
        }
    }
}

/// On a thread of its own: whoever asks is inside a runtime already.
fn count(host: &TestHost, sql: &str) -> i64 {
    let (host, sql) = (host.clone(), sql.to_owned());
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let rows = runtime.block_on(host.request().db("").run(Statement::new(sql))).unwrap();
        rows.first().unwrap().integer("count").unwrap()
    });
    asking.join().unwrap()
}

fn bind(host: &TestHost, function: iam_service::Function, violations: &Arc<Mutex<Vec<String>>>) {
    let name = function.name;
    let (service, violations) = (Arc::new(Service::new(function)), Arc::clone(violations));
    host.bind_function(name, move |host: Host, request: Request<Body>| {
        let (service, violations) = (Arc::clone(&service), Arc::clone(&violations));
        async move {
            let asked = format!("{} {}", request.method(), request.uri().path());
            let response: Response<Body> = service.handle(host, request).await;
            if let Some(RoundTrips { used, budget }) = response.extensions().get::<RoundTrips>().copied()
                && used > budget
            {
                violations.lock().unwrap().push(format!("{asked}: {used} of {budget}"));
            }
            response
        }
    });
}
