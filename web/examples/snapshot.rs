//! A member with a long snapshot in one tab and a newcomer in another, for `web/tests/browser/snapshot.mjs`, which
//! loads it in each and connects them by hand.

#![cfg(target_arch = "wasm32")]

#[path = "../../benches/newcomer/mod.rs"]
mod newcomer;

use std::fmt::Display;

use js_sys::{Array, Date, Object};
use liferaft::transport::webrtc::{
    ByHand, UNACKNOWLEDGED_BYTES_MAX, WebRtcCarrier, WebRtcConfig, WebRtcMeter,
};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

use crate::newcomer::{Report, Side};

/// One of two members.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Tab {
    side: Side,
    by_hand: ByHand,
    meter: WebRtcMeter,
}

#[wasm_bindgen]
impl Tab {
    /// Founds a cluster with so many values of 500 kB.
    pub async fn found(values: usize) -> Tab {
        let (carrier, by_hand, meter) = carrier();
        let side = Side::founded(carrier, None, Date::now, values).await;
        Self {
            side,
            by_hand,
            meter,
        }
    }

    /// Asks to join.
    ///
    /// # Errors
    /// When this is no invitation.
    pub async fn join(invitation: String) -> Result<Tab, JsError> {
        let invitation = invitation.parse().map_err(error)?;
        let (carrier, by_hand, meter) = carrier();
        let side = Side::asking(carrier, None, Date::now, invitation).await;
        Ok(Self {
            side,
            by_hand,
            meter,
        })
    }

    /// Invites one newcomer to its cluster.
    pub async fn invite(&self) -> String {
        self.side.invite().await.to_string()
    }

    /// Makes an offer.
    pub async fn offer(&self) -> Result<String, JsError> {
        Ok(self.by_hand.offer().await?)
    }

    /// Takes an offer, and returns the answer; or takes an answer.
    pub async fn take(&self, text: String) -> Result<Option<String>, JsError> {
        Ok(self.by_hand.take(&text).await?)
    }

    /// Waits until it votes, and returns when it does, in milliseconds of the system's clock, which all tabs share.
    pub async fn joined(&self) -> f64 {
        self.side.joined().await
    }

    /// Returns what it has measured, once there was a snapshot: numbers by their names.
    pub fn report(&self) -> Result<Object, JsValue> {
        let Some(report) = self.side.report() else {
            return Err("there was no snapshot".into());
        };
        let Report {
            began,
            bulk_bytes,
            heartbeats,
            p50,
            p99,
            gap,
            elections,
        } = report;
        let counters = self.meter.read();
        let entries = [
            ("began", began),
            ("bulkBytes", bulk_bytes as f64),
            ("heartbeats", heartbeats as f64),
            ("p50", p50),
            ("p99", p99),
            ("gap", gap),
            ("elections", elections as f64),
            ("broken", counters.broken as f64),
            ("underWay", counters.ordered_unacknowledged_peak as f64),
            ("underWayMax", UNACKNOWLEDGED_BYTES_MAX as f64),
        ];
        let entry = |(name, value): &(&str, f64)| Array::of2(&(*name).into(), &(*value).into());
        Object::from_entries(&entries.iter().map(entry).collect::<Array>())
    }
}

fn carrier() -> (WebRtcCarrier, ByHand, WebRtcMeter) {
    let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let (by_hand, meter) = (carrier.by_hand(), carrier.meter());
    (carrier, by_hand, meter)
}

fn error(error: impl Display) -> JsError {
    JsError::new(&error.to_string())
}
