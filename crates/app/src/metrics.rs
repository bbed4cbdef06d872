//! Numbers for Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use drover_store::{rollouts, tenants};
use drover_types::{SessionState, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::{App, Error, HttpMetrics, Result};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    state: &'static str,
}

/// For figures that are there or not.
type NoLabels = [(&'static str, &'static str); 0];

/// The numbers of this node. No label names a device or a tenant.
pub(crate) struct Metrics {
    registry: Registry,
    active_campaigns: Gauge,
    vehicle_updates: Family<Ended, Counter>,
    write_queue: Gauge,
    rollout_tick: Histogram,
    /// No sample while no certificate is served.
    certificate_expiry: Family<NoLabels, Gauge>,
    /// The end of the certificate that is served, in microseconds; 0 is none.
    certificate_ends_at: AtomicI64,
    known_tokens: Gauge,
    listed_devices: Gauge,
    sightings: Gauge,
    http: Arc<HttpMetrics>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let active_campaigns = Gauge::default();
        registry.register("ota_active_campaigns", "Rollouts that are active or rolling back", active_campaigns.clone());
        let vehicle_updates = Family::<Ended, Counter>::default();
        for state in SessionState::ALL.iter().filter(|state| state.is_final()) {
            // Zero from the start: a rate needs a first value.
            vehicle_updates.get_or_create(&Ended { state: state.as_str() }).inc_by(0);
        }
        registry.register(
            "ota_vehicle_updates",
            "Update sessions that ended since this node started, by final state",
            vehicle_updates.clone(),
        );
        let write_queue = Gauge::default();
        registry.register(
            "drover_write_queue_depth",
            "Device writes that wait for the next batch",
            write_queue.clone(),
        );
        // 0.5 ms to 16 s.
        let rollout_tick = Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        registry.register(
            "drover_rollout_tick_seconds",
            "Time that the driver takes to look at one rollout and to do what is due",
            rollout_tick.clone(),
        );
        let certificate_expiry = Family::<NoLabels, Gauge>::default();
        registry.register(
            "drover_tls_certificate_expiry_seconds",
            "Time until the server's certificate ends; negative once it has",
            certificate_expiry.clone(),
        );
        let certificate_ends_at = AtomicI64::new(0);
        let known_tokens = Gauge::default();
        registry.register("drover_known_tokens", "Tokens of devices kept in memory", known_tokens.clone());
        let listed_devices = Gauge::default();
        registry.register(
            "drover_devices_with_work",
            "Devices kept in memory that may have something to do",
            listed_devices.clone(),
        );
        let sightings = Gauge::default();
        registry.register(
            "drover_sightings_waiting",
            "Devices whose last sign of life is not written down yet",
            sightings.clone(),
        );
        let http = Arc::new(HttpMetrics::default());
        http.register(&mut registry);
        Self {
            registry,
            active_campaigns,
            vehicle_updates,
            write_queue,
            rollout_tick,
            certificate_expiry,
            certificate_ends_at,
            known_tokens,
            listed_devices,
            sightings,
            http,
        }
    }
}

impl Metrics {
    /// The driver looked at a rollout and did what was due.
    pub(crate) fn rollout_ticked(&self, took: Duration) {
        self.rollout_tick.observe(took.as_secs_f64());
    }

    /// A session ended.
    pub(crate) fn update_ended(&self, state: SessionState) {
        self.vehicle_updates.get_or_create(&Ended { state: state.as_str() }).inc();
    }
}

impl App {
    /// The server's certificate ends then.
    pub fn note_certificate(&self, not_after: Timestamp) {
        self.metrics.certificate_ends_at.store(not_after.as_micros(), Ordering::Relaxed);
    }

    /// Where the requests of this node are counted.
    pub fn http_metrics(&self) -> Arc<HttpMetrics> {
        Arc::clone(&self.metrics.http)
    }

    /// All numbers, as OpenMetrics text.
    pub async fn metrics_text(&self) -> Result<String> {
        self.metrics.active_campaigns.set(rollouts::count_active(&self.db).await?);
        let waiting = self.writer.queue_depth() + self.offers.queue_depth() + self.reports.queue_depth();
        self.metrics.write_queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let certificate_ends_at = self.metrics.certificate_ends_at.load(Ordering::Relaxed);
        if certificate_ends_at != 0 {
            let left_s = (certificate_ends_at - self.now().as_micros()) / 1_000_000;
            self.metrics.certificate_expiry.get_or_create(&[]).set(left_s);
        }
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.known_tokens.set(size(self.feed.tokens.len()));
        self.metrics.listed_devices.set(size(self.feed.work.len()));
        self.metrics.sightings.set(size(self.hot.waiting()));
        let mut text = String::new();
        encode(&mut text, &self.metrics.registry).map_err(|error| Error::internal("write the metrics", error))?;
        Ok(text)
    }

    /// Whether this node can serve: its database and its object store answer.
    pub async fn ready(&self) -> Result<()> {
        tenants::all(&self.db, 1).await?;
        self.copies_hold().await?;
        self.blobs.check().await.map_err(|error| {
            Error::new(drover_types::ErrorKind::Unavailable, "store_unavailable", error.to_string()).with_source(error)
        })
    }
}
