//! From a manifest to a listening server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use wasmtime::component::{Component as Compiled, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::SpinHostError;
use crate::instance::{Component, InstanceFactory, InstanceState, SpinInterfaces, Stores};
use crate::key_value::KeyValueStores;
use crate::manifest::{ComponentDeclaration, Manifest};
use crate::outbound::AllowedHosts;
use crate::routes::Router;
use crate::services::Services;
use crate::sqlite::SqliteDatabase;
use crate::variables::Variables;

/// What a host is to run, and where.
#[derive(Debug)]
pub struct Settings {
    /// The application's `spin.toml`.
    pub manifest: PathBuf,
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The folder of the stores.
    pub state: PathBuf,
    /// The folder of the compiled components.
    pub compile_cache: PathBuf,
    /// Application variables given by hand.
    pub variables: BTreeMap<String, String>,
}

/// A component and its code, ready to be instantiated.
type Linked = (Arc<Component>, ServicePre<InstanceState>);

/// An application that listens.
pub struct Host {
    listener: TcpListener,
    services: Arc<Services>,
}

impl Host {
    /// Compiles the application's components and starts to listen.
    ///
    /// # Errors
    ///
    /// When the application is not one that Spin would run, or a file, a store or the address can't be used.
    pub async fn start(settings: &Settings) -> Result<Self, SpinHostError> {
        let manifest = Manifest::load(&settings.manifest)?;
        let router = Router::new(&manifest.trigger.http)?;
        let components = prepare_components(&manifest, settings)?;
        let linked = link_components(&manifest, components, &settings.compile_cache)?;
        let services = Arc::new_cyclic(|services| {
            let handlers = linked.into_iter().map(|(component, linked)| {
                let id = component.id.to_string();
                (id, ProxyHandler::new(InstanceFactory { component, linked, services: services.clone() }))
            });
            Services::new(router, handlers.collect())
        });
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(SpinHostError::io(format!("listening on {}", settings.listen)))?;
        Ok(Self { listener, services })
    }

    /// Compiles the application's components into the cache, so that hosts that start at once need not all do
    /// it.
    ///
    /// # Errors
    ///
    /// When a component is missing or is none, or the cache can't be used.
    pub fn compile(settings: &Settings) -> Result<(), SpinHostError> {
        let manifest = Manifest::load(&settings.manifest)?;
        let engine = create_engine(&settings.compile_cache)?;
        let sources: BTreeSet<&Path> =
            manifest.component.values().map(|declaration| declaration.source.as_path()).collect();
        sources.into_iter().try_for_each(|path| {
            let problem = SpinHostError::engine(path.display().to_string());
            Compiled::from_file(&engine, path).map(drop).map_err(problem)
        })
    }

    /// Where the application listens.
    ///
    /// # Errors
    ///
    /// When the operating system doesn't say.
    pub fn address(&self) -> Result<SocketAddr, SpinHostError> {
        self.listener.local_addr().map_err(SpinHostError::io("asking for the address"))
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    ///
    /// When no more connections can be accepted.
    pub async fn serve(self) -> Result<(), SpinHostError> {
        loop {
            // Without TCP_NODELAY, as Spin's trigger leaves it.
            let (stream, client) =
                self.listener.accept().await.map_err(SpinHostError::io("accepting a connection"))?;
            tokio::spawn(serve_connection(self.services.clone(), stream, client));
        }
    }
}

async fn serve_connection(services: Arc<Services>, stream: TcpStream, client: SocketAddr) {
    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let services = services.clone();
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        async move { services.call(request, client).await }
    });
    // A connection that breaks concerns its client alone.
    http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
}

fn prepare_components(manifest: &Manifest, settings: &Settings) -> Result<Vec<Component>, SpinHostError> {
    let variables = Variables::resolve(manifest, &settings.variables, |name| std::env::var(name).ok())?;
    let stores = open_stores(&settings.state)?;
    let triggered: BTreeSet<_> =
        manifest.trigger.http.iter().map(|trigger| trigger.component.as_str()).collect();
    let prepare = |(id, declaration): (&String, &ComponentDeclaration)| {
        Ok(Component {
            id: id.as_str().into(),
            environment: declaration.environment.clone(),
            variables: variables.of_component(&declaration.variables)?,
            allowed_hosts: AllowedHosts::parse(&declaration.allowed_outbound_hosts, &variables, &triggered)?,
            key_value_stores: declaration.key_value_stores.clone(),
            sqlite_databases: declaration.sqlite_databases.clone(),
            stores: stores.clone(),
        })
    };
    manifest.component.iter().filter(|(id, _)| triggered.contains(id.as_str())).map(prepare).collect()
}

fn open_stores(folder: &Path) -> Result<Stores, SpinHostError> {
    std::fs::create_dir_all(folder).map_err(SpinHostError::io(format!("creating {}", folder.display())))?;
    Ok(Stores {
        key_value: KeyValueStores::open(&folder.join("key-value.db"))?,
        sqlite: SqliteDatabase::open(folder.join("default.db"))?,
    })
}

fn link_components(
    manifest: &Manifest,
    components: Vec<Component>,
    cache: &Path,
) -> Result<Vec<Linked>, SpinHostError> {
    let engine = create_engine(cache)?;
    let linker = create_linker(&engine).map_err(SpinHostError::engine("linking the host's interfaces"))?;
    let mut compiled = BTreeMap::<&Path, ServicePre<InstanceState>>::new();
    let mut linked = Vec::with_capacity(components.len());
    for component in components {
        let Some(declaration) = manifest.component.get(&*component.id) else { continue };
        let path = declaration.source.as_path();
        let pre = match compiled.get(path) {
            Some(pre) => pre.clone(),
            None => {
                let problem = || format!("component {} ({})", component.id, path.display());
                let pre = Compiled::from_file(&engine, path)
                    .and_then(|compiled| linker.instantiate_pre(&compiled))
                    .and_then(ServicePre::new)
                    .map_err(SpinHostError::engine(problem()))?;
                compiled.insert(path, pre.clone());
                pre
            }
        };
        linked.push((Arc::new(component), pre));
    }
    Ok(linked)
}

fn create_engine(cache: &Path) -> Result<Engine, SpinHostError> {
    let folder =
        std::path::absolute(cache).map_err(SpinHostError::io(format!("locating {}", cache.display())))?;
    let mut cache = CacheConfig::new();
    cache.with_directory(folder);
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    Cache::new(cache)
        .map(|cache| config.cache(Some(cache)))
        .and_then(|config| Engine::new(config))
        .map_err(SpinHostError::engine("creating the engine"))
}

fn create_linker(engine: &Engine) -> wasmtime::Result<Linker<InstanceState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    crate::bindings::Spin::add_to_linker::<_, SpinInterfaces>(&mut linker, |state| state)?;
    Ok(linker)
}
