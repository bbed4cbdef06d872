//! The twins.

use std::collections::BTreeMap;
use std::sync::Arc;

use drover_api::{Firmware, Rollout};
use drover_cli::Client;
use drover_protocol::Offer;
use drover_testkit::{Device, Profile, Release, ReleaseBuilder, ServerOptions, SimClock, TestServer};
use drover_trust::PrivateKey;

use super::founding::Founding;

/// Bytes that both have under the same name: even their digest is the same.
pub(super) const SHARED_BYTES: &str = "what everybody has";
pub(super) const OWNER: &str = "anna";
pub(super) const EU: &str = "device.attr.region == \"eu\"";

/// What makes a twin one of its own: a word, and how many it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The tenant's name, and a word in all that only this twin has.
    pub(super) mark: &'static str,
    pub(super) devices: usize,
    /// How many of them fail the first rollout.
    pub(super) failures: usize,
    /// How many of them are told of the second one.
    pub(super) offers: usize,
    /// How many more groups, people, keys and so on it has, with its mark in their names.
    pub(super) extras: usize,
}

pub(super) const NORTH: Kind = Kind { mark: "quartz", devices: 3, failures: 2, offers: 2, extras: 2 };
pub(super) const SOUTH: Kind = Kind { mark: "basalt", devices: 2, failures: 0, offers: 1, extras: 1 };

impl Kind {
    pub(super) fn password(&self) -> String {
        format!("{} horse battery", self.mark)
    }

    /// The name that both have, and those that only this twin has.
    pub(super) fn names(&self, shared: &str) -> Vec<String> {
        let own = (0..self.extras).map(|n| format!("{}-{n}", self.mark));
        std::iter::once(shared.to_owned()).chain(own).collect()
    }

    pub(super) fn release(&self, version: &str, release_counter: u64, key: &PrivateKey) -> Release {
        let bytes = format!("{version} of {}", self.mark);
        let mut release = ReleaseBuilder::new(version, release_counter).artifact("app.bin", bytes);
        release.manifest.release_notes = Some(self.mark.to_owned());
        release.sign(key)
    }
}

pub(super) struct Twin {
    pub(super) kind: Kind,
    pub(super) tenant: String,
    pub(super) owner: Client,
    /// The owner's.
    pub(super) token: String,
    pub(super) api_key: String,
    pub(super) enrolment_token: String,
    pub(super) release_key: PrivateKey,
    /// 1.0.0, 1.1.0, 1.2.0, and one per extra.
    pub(super) firmware: Vec<Firmware>,
    pub(super) devices: Vec<Device>,
    /// Brings 1.1.0 and is over.
    pub(super) spring: Rollout,
    /// Brings 1.2.0; those who were told of it are at work.
    pub(super) summer: Rollout,
    /// What the first device is told.
    pub(super) offer: Offer,
    /// One of each noun, for paths, by what the path calls it.
    pub(super) ids: BTreeMap<&'static str, String>,
}

pub(super) struct Twins {
    pub(super) profile: Profile,
    pub(super) server: TestServer,
    pub(super) north: Twin,
    pub(super) south: Twin,
}

impl Twins {
    pub(super) async fn new(profile: Profile) -> Self {
        Self::on(TestServer::start(profile).await, profile).await
    }

    /// On a server whose clock stands still: nothing happens because time passes.
    pub(super) async fn at_one_moment(profile: Profile) -> Self {
        let clock = Arc::new(SimClock::default());
        Self::on(ServerOptions::new(profile).clock(&clock).start().await, profile).await
    }

    async fn on(server: TestServer, profile: Profile) -> Self {
        // The second one finds each name taken by the first, and may not notice.
        let north = Founding::new(&server, NORTH).await.twin().await;
        let south = Founding::new(&server, SOUTH).await.twin().await;
        Self { profile, server, north, south }
    }

    /// Who looks, and at whom.
    pub(super) fn both_ways(&self) -> [(&Twin, &Twin); 2] {
        [(&self.south, &self.north), (&self.north, &self.south)]
    }
}

impl Twin {
    /// What this twin can present, as whom.
    pub(super) fn credentials(&self) -> [(&'static str, &str); 3] {
        [("owner", &self.token), ("API key", &self.api_key), ("device", &self.devices[0].token)]
    }
}
