//! The Spin interfaces, generated from their definitions.

wasmtime::component::bindgen!({
    path: "wit",
    world: "spin",
    imports: { default: trappable },
    with: {
        "spin:key-value/key-value.store": crate::key_value::OpenStore,
        "spin:sqlite/sqlite.connection": crate::sqlite::OpenDatabase,
    },
});
