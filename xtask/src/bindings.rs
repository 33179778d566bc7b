//! From cargo's wasm to what Workers loads: `wasm-bindgen`'s glue and a small entry module.

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::{Bindgen, Output};

/// Part of every module's stamp: a new release or a new entry module makes every module anew.
pub(crate) const VERSION: &str =
    concat!("0.2.130 ", include_str!("../js/worker.js"), include_str!("bindings.rs"));

const PRELUDE: &str = include_str!("../js/worker.js");
/// The events a module can export, as `worker` names them.
const EVENTS: [&str; 2] = ["fetch", "scheduled"];

/// One file under `dist/cloudflare/<function>/`.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) contents: Vec<u8>,
}

/// Everything that belongs to the module `name`.
pub(crate) fn generate(name: &str, wasm: Vec<u8>) -> Result<Vec<File>> {
    let mut output = bind(wasm).with_context(|| format!("wasm-bindgen failed for {name}"))?;
    let entry = entry(name, &output)?;
    let mut files = vec![
        File { path: "index.js".into(), contents: entry.into_bytes() },
        File { path: "bindings.js".into(), contents: plain_import(output.js())?.into_bytes() },
    ];
    for (folder, sources) in output.snippets() {
        for (position, source) in sources.iter().enumerate() {
            let path = format!("snippets/{folder}/inline{position}.js");
            files.push(File { path, contents: source.clone().into_bytes() });
        }
    }
    for (path, source) in output.local_modules() {
        files.push(File { path: format!("snippets/{path}"), contents: source.clone().into_bytes() });
    }
    files.push(File { path: "index_bg.wasm".into(), contents: output.wasm_mut().emit_wasm() });
    Ok(files)
}

fn bind(wasm: Vec<u8>) -> Result<Output> {
    Bindgen::new()
        .input_bytes("index", wasm)
        .module(true)?
        .typescript(false)
        // Names and producers double the gzipped size and serve nobody at run time.
        .remove_name_section(true)
        .remove_producers_section(true)
        // After a panic the entry module asks for a fresh instance.
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate_output()
}

/// workerd has no source-phase imports: a plain import of a `.wasm` file gives the module there.
fn plain_import(bindings: &str) -> Result<String> {
    let plain = bindings.replacen("import source wasmModule from", "import wasmModule from", 1);
    if plain == bindings {
        bail!("wasm-bindgen no longer writes `import source wasmModule`: adapt xtask/src/bindings.rs");
    }
    Ok(plain)
}

/// The entry module: one handler for each event that the module exports.
fn entry(name: &str, output: &Output) -> Result<String> {
    let exported = |event: &&str| output.wasm().exports.iter().any(|export| export.name == *event);
    let events: Vec<&str> = EVENTS.into_iter().filter(|event| exported(event)).collect();
    if events.is_empty() {
        bail!("{name} exports no event: it needs a `fetch` handler for wasm32-unknown-unknown");
    }
    let mut text = format!("{PRELUDE}export default {{\n");
    for event in events {
        text.push_str(&format!(
            "  async {event}(input, env, context) {{\n    revive();\n    return functions.{event}(input, \
             env, context);\n  }},\n"
        ));
    }
    text.push_str("};\n");
    Ok(text)
}
