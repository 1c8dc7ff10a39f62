//! A Kubernetes Secret for `kubectl apply -f -`.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use serde_json::Value;

use crate::secrets::Secret;

/// The manifest. Its keys are the names of the secret files, as the chart mounts them.
pub(super) fn manifest(source: &str, name: Option<&str>, files: &[PathBuf], secret: &Secret) -> String {
    let default = || format!("hookbus-{}", source.replace('_', "-").trim_matches('-'));
    let name = name.map_or_else(default, Into::into);
    let value = STANDARD.encode(secret.expose());
    // JSON strings are YAML strings.
    let name = Value::from(name);
    let keys = files.iter().map(|file| Value::from(file.file_name().unwrap_or_default().to_string_lossy()));
    let data: String = keys.map(|key| format!("  {key}: {value}\n")).collect();
    format!("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\ntype: Opaque\ndata:\n{data}")
}
