//! `spin:variables`: a component's own variables.

use wasmtime::component::Accessor;

use crate::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use crate::instance::{InstanceState, SpinInterfaces};
use crate::variables::check_name;

impl Host for InstanceState {}

impl<T: 'static> HostWithStore<T> for SpinInterfaces {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, Error>> {
        if let Err(problem) = check_name(&name) {
            return Ok(Err(Error::InvalidName(problem)));
        }
        accessor.with(|mut access| {
            let component = access.get().component.clone();
            let undefined = || Error::Undefined(format!("no variable for {:?}.{name:?}", component.id));
            Ok(component.variables.get(&name).cloned().ok_or_else(undefined))
        })
    }
}
