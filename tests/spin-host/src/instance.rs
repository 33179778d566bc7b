//! Instances of components: what each may use, and how many requests it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::key_value::KeyValueStores;
use crate::outbound::AllowedHosts;
use crate::outbound_http::OutboundHttp;
use crate::services::Services;
use crate::sqlite::SqliteDatabase;
use crate::stdio::{Output, report};

/// Spin's own limits: how many requests an instance serves in all, how many at once, and how long it waits
/// for the next one.
const REQUESTS_PER_INSTANCE: usize = 128;
const CONCURRENT_REQUESTS_PER_INSTANCE: usize = 16;
const IDLE_TIME: Duration = Duration::from_secs(1);

/// What one component is given.
pub(crate) struct Component {
    pub(crate) id: Arc<str>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) allowed_hosts: AllowedHosts,
    pub(crate) key_value_stores: BTreeSet<String>,
    pub(crate) sqlite_databases: BTreeSet<String>,
    pub(crate) stores: Stores,
}

/// The application's stores, granted or not.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) key_value: KeyValueStores,
    pub(crate) sqlite: SqliteDatabase,
}

/// The state behind one instance.
pub(crate) struct InstanceState {
    pub(crate) component: Arc<Component>,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound_http: OutboundHttp,
}

/// Marks this host's implementation of the Spin interfaces.
pub(crate) struct SpinInterfaces;

impl HasData for SpinInterfaces {
    type Data<'a> = &'a mut InstanceState;
}

impl InstanceState {
    fn new(component: Arc<Component>, services: Weak<Services>) -> Self {
        let output = Output::new(component.id.clone());
        let mut wasi = WasiCtx::builder();
        for (name, value) in &component.environment {
            wasi.env(name, value);
        }
        let restricted = component.clone();
        wasi.stdout(output.clone())
            .stderr(output)
            .allow_tcp(true)
            .allow_ip_name_lookup(true)
            .socket_addr_check(move |address, usage| {
                let allowed = match usage {
                    // Connecting binds too, to whatever port is free.
                    SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
                    SocketAddrUse::TcpConnect => restricted.allowed_hosts.allows_tcp(address),
                    _ => false,
                };
                if !allowed {
                    report(&restricted.id, format_args!("denied: {usage:?} of {address}"));
                }
                Box::pin(std::future::ready(allowed))
            });
        Self {
            outbound_http: OutboundHttp::new(component.clone(), services),
            component,
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
        }
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound_http }
    }
}

/// Makes the instances of one component.
pub(crate) struct InstanceFactory {
    pub(crate) component: Arc<Component>,
    pub(crate) linked: ServicePre<InstanceState>,
    pub(crate) services: Weak<Services>,
}

impl HandlerState for InstanceFactory {
    type StoreData = InstanceState;
    type WorkerExpiration = IdleExpiration;
    type WorkerState = Requests;

    async fn instantiate(
        &self,
    ) -> wasmtime::Result<Instance<InstanceState, Self::WorkerExpiration, Self::WorkerState>> {
        let state = InstanceState::new(self.component.clone(), self.services.clone());
        let mut store = Store::new(self.linked.engine(), state);
        let service = self.linked.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: InstanceState::http,
            expiration: IdleExpiration(Box::pin(tokio::time::sleep(IDLE_TIME))),
            state: Requests { component: self.component.id.clone() },
        })
    }
}

/// Ends an instance that nobody has called for a while. Work after an answer is never cut short.
pub(crate) struct IdleExpiration(Pin<Box<Sleep>>);

impl WorkerExpiration for IdleExpiration {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        state: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if !matches!(state, WorkerStatus::Idle) {
            return Poll::Pending;
        }
        let deadline = tokio::time::Instant::from_std(start + IDLE_TIME);
        if self.0.deadline() != deadline {
            self.0.as_mut().reset(deadline);
        }
        self.0.as_mut().poll(context)
    }
}

/// Counts the requests of one instance.
pub(crate) struct Requests {
    component: Arc<str>,
}

impl WorkerState for Requests {
    type StoreData = InstanceState;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= REQUESTS_PER_INSTANCE {
            ShouldAccept::Never
        } else if concurrent >= CONCURRENT_REQUESTS_PER_INSTANCE {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, InstanceState>,
        (): (),
        _: wasmtime::component::GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, _: Store<InstanceState>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            report(&self.component, format_args!("instance failed: {error:#}"));
        }
    }
}
