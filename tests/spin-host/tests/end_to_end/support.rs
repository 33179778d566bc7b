//! Starts the host on a fixture component and talks to it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use wasmtime_wasi_http::io::TokioIo;

/// Long enough for a busy machine, short enough to fail a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// `open` may do everything, `bare` nothing, and nobody outside reaches `inner`.
const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "fixture"

[variables]
greeting = { default = "hello" }
token = { required = true, secret = true }
allowed_port = { default = "1" }

[[trigger.http]]
route = "/open/..."
component = "open"

[[trigger.http]]
route = "/users/:id/echo"
component = "open"

[[trigger.http]]
route = "/bare/..."
component = "bare"

[[trigger.http]]
route = { private = true }
component = "inner"

[component.open]
source = "SOURCE"
key_value_stores = ["default"]
sqlite_databases = ["default"]
allowed_outbound_hosts = ["http://*.spin.internal", "*://127.0.0.1:{{ allowed_port }}"]
[component.open.variables]
greeting = "{{ greeting }}, {{ token }}"

[component.bare]
source = "SOURCE"

[component.inner]
source = "SOURCE"
[component.inner.variables]
inner = "for inner alone"
"#;

/// The fixture component, built once for all tests.
fn fixture() -> &'static Path {
    static FIXTURE: OnceLock<PathBuf> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixture");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixture");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--release", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        target.join("wasm32-wasip2/release/iam_spin_host_fixture.wasm")
    })
}

/// An empty folder of the test's own.
pub(crate) fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The host's command for the application in `folder`.
pub(crate) fn command(folder: &Path) -> Command {
    let manifest = folder.join("spin.toml");
    if !manifest.exists() {
        std::fs::write(&manifest, MANIFEST.replace("SOURCE", fixture().to_str().unwrap())).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_iam-spin-host"));
    command
        .args(["--listen", "127.0.0.1:0", "--manifest"])
        .arg(manifest)
        .arg("--state")
        .arg(folder.join("state"))
        .arg("--compile-cache")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A host that serves, ended with the test.
pub(crate) struct Host {
    child: Option<Child>,
    address: SocketAddr,
}

/// What the host answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What went wrong in the component.
    pub(crate) fn error(&self) -> String {
        assert_eq!(self.status, StatusCode::BAD_REQUEST, "{self:?}");
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// The values of a header that the component got, in their order.
    pub(crate) fn received(&self, name: &str) -> Vec<String> {
        let headers = self.json()["headers"].as_array().unwrap().clone();
        let named = headers.into_iter().filter(|header| header[0] == name);
        named.map(|header| header[1].as_str().unwrap().to_owned()).collect()
    }
}

impl Host {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(&empty_folder(name), &[])
    }

    pub(crate) fn start_with(folder: &Path, arguments: &[&str]) -> Self {
        Self::run(command(folder).args(["--variable", "token=t0ken"]).args(arguments))
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening http://") else {
            child.kill().unwrap();
            panic!("no address in {line:?}: {:?}", child.wait_with_output().unwrap());
        };
        Self { address: address.parse().unwrap(), child: Some(child) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(path)).await
    }

    pub(crate) fn request(&self, path: &str) -> Request<Full<Bytes>> {
        let request = Request::get(path).header("host", self.address.to_string());
        request.body(Full::default()).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(&self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let exchange = async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok(Answer { status, body: response.into_body().collect().await?.to_bytes() })
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap()
    }

    /// Ends the host as an operator would, and returns what it wrote.
    pub(crate) fn terminate(mut self) -> (Output, String) {
        let mut child = self.child.take().unwrap();
        let killed = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
        assert!(killed.success());
        let mut rest_of_stdout = String::new();
        child.stdout.take().unwrap().read_to_string(&mut rest_of_stdout).unwrap();
        (child.wait_with_output().unwrap(), rest_of_stdout)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
