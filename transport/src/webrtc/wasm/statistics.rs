//! Reads between which addresses a connection runs, in the figures of the browser (W3C, "Identifiers for WebRTC's
//! Statistics API").

use js_sys::{Function, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

/// Returns the selected pair of candidates in a few words; `None` if there is none.
pub(super) fn selected_pair(report: &Object) -> Option<String> {
    let entries = values(report)?;
    let of_kind = |kind: &'static str| {
        let entries = entries.iter();
        entries.filter(move |entry| text(entry, "type").as_deref() == Some(kind))
    };
    let by_id = |id: &str| {
        let mut entries = entries.iter();
        entries.find(|entry| text(entry, "id").as_deref() == Some(id))
    };
    let of_transport =
        of_kind("transport").find_map(|entry| text(entry, "selectedCandidatePairId"));
    // Not all browsers say it there.
    let pair = match of_transport {
        Some(id) => by_id(&id)?,
        None => of_kind("candidate-pair").find(|entry| is_true(entry, "selected"))?,
    };
    let candidate = |of: &str| by_id(&text(pair, of)?);
    let (local, remote) = (
        candidate("localCandidateId")?,
        candidate("remoteCandidateId")?,
    );
    let kind = text(remote, "candidateType")?;
    let through = match text(local, "candidateType").as_deref() {
        Some("relay") => "relay ",
        _ => "",
    };
    Some(format!(
        "{through}{} to {} ({kind})",
        address(local),
        address(remote)
    ))
}

/// Returns the address of a candidate, if the browser shows it.
fn address(candidate: &JsValue) -> String {
    let port = Reflect::get(candidate, &"port".into()).ok();
    match (
        text(candidate, "address"),
        port.and_then(|port| port.as_f64()),
    ) {
        (Some(host), Some(port)) if host.contains(':') => format!("[{host}]:{port}"),
        (Some(host), Some(port)) if !host.is_empty() => format!("{host}:{port}"),
        _ => "a hidden address".to_owned(),
    }
}

/// Returns the values of a map of JavaScript.
fn values(map: &Object) -> Option<Vec<JsValue>> {
    let of = Reflect::get(map, &"values".into()).ok()?;
    let values = of.dyn_ref::<Function>()?.call0(map).ok()?;
    Some(js_sys::Array::from(&values).to_vec())
}

fn text(entry: &JsValue, name: &str) -> Option<String> {
    Reflect::get(entry, &name.into()).ok()?.as_string()
}

fn is_true(entry: &JsValue, name: &str) -> bool {
    Reflect::get(entry, &name.into()).is_ok_and(|value| value.is_truthy())
}
