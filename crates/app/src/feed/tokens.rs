//! Tokens of devices that were used here.
//!
//! Only a token that proved right is kept, so strangers cannot fill it; only of a device whose first contact is in
//! SQL, so that nobody registers it once more behind a copy. An entry takes some 130 bytes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_types::{DeviceId, Sha256Digest, TenantId};
use indexmap::IndexMap;
use uuid::Uuid;

/// Tokens that are kept. Beyond it, a new one takes the place of any other.
const TOKENS_MAX: usize = 1 << 20;

/// Parts that are locked on their own.
pub(crate) const SHARDS: usize = 64;

/// What a token proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownToken {
    pub(crate) tenant: TenantId,
    pub(crate) device: DeviceId,
    pub(crate) secret_sha256: Sha256Digest,
}

/// Tokens by their ids.
pub(crate) struct Tokens {
    shards: Vec<Mutex<Shard>>,
    max_per_shard: usize,
    /// Rises before tokens are forgotten.
    turn: AtomicU64,
}

#[derive(Default)]
struct Shard {
    known: IndexMap<Uuid, KnownToken>,
    /// Where the next one is taken out.
    victim: usize,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::with_max(TOKENS_MAX)
    }
}

impl Tokens {
    fn with_max(max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, max_per_shard: max.div_ceil(SHARDS), turn: AtomicU64::new(0) }
    }

    fn shard(&self, id: Uuid) -> MutexGuard<'_, Shard> {
        // Its last bits are random.
        lock(&self.shards[usize::from(id.as_bytes()[15]) % SHARDS])
    }

    /// To be asked before a token is read from SQL, and given to [`Tokens::insert`] with what was read.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, tenant: TenantId, id: Uuid) -> Option<KnownToken> {
        self.shard(id).known.get(&id).copied().filter(|token| token.tenant == tenant)
    }

    /// Keeps a token that was read at `turn`. Not when tokens were forgotten since: it may be one of them.
    pub(crate) fn insert(&self, turn: u64, id: Uuid, token: KnownToken) {
        let mut shard = self.shard(id);
        // Under the lock: whoever forgets raises the turn first, and then looks into this shard.
        if self.turn() != turn {
            return;
        }
        if shard.known.len() >= self.max_per_shard && !shard.known.contains_key(&id) {
            // A prime stride visits all places. In a fleet that comes round in turn, the oldest would be the wrong one.
            shard.victim = (shard.victim + 7_919) % shard.known.len();
            let victim = shard.victim;
            shard.known.swap_remove_index(victim);
        }
        shard.known.insert(id, token);
    }

    /// Forgets all tokens of these devices.
    pub(crate) fn forget(&self, devices: &HashSet<DeviceId>) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            lock(shard).known.retain(|_, token| !devices.contains(&token.device));
        }
    }

    /// Forgets one part of all tokens.
    pub(crate) fn clear_shard(&self, shard: usize) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        lock(&self.shards[shard % SHARDS]).known.clear();
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            lock(shard).known.clear();
        }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).known.len()).sum()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic inside of a map's own operation is the only one possible, and leaves the map usable.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use drover_types::Timestamp;

    use super::*;

    fn token(device: u128) -> KnownToken {
        let time = Timestamp::from_micros(0);
        KnownToken {
            tenant: TenantId::generate(time, 1),
            device: DeviceId::generate(time, device),
            secret_sha256: Sha256Digest::from_bytes([7; 32]),
        }
    }

    fn id(n: u128) -> Uuid {
        DeviceId::generate(Timestamp::from_micros(0), n).0
    }

    #[test]
    fn a_token_is_known_to_its_tenant_until_its_device_changes() {
        let tokens = Tokens::default();
        for n in 1..=3 {
            tokens.insert(tokens.turn(), id(n), token(n));
        }
        assert_eq!(tokens.get(token(1).tenant, id(1)), Some(token(1)));
        assert_eq!(tokens.get(TenantId(id(9)), id(1)), None, "another tenant");
        tokens.forget(&HashSet::from([token(1).device, token(2).device]));
        let known = [1, 2, 3].map(|n| tokens.get(token(n).tenant, id(n)).is_some());
        assert_eq!(known, [false, false, true]);
    }

    #[test]
    fn what_was_read_before_others_were_forgotten_is_not_kept() {
        let tokens = Tokens::default();
        let turn = tokens.turn();
        tokens.forget(&HashSet::new());
        tokens.insert(turn, id(1), token(1));
        assert_eq!(tokens.len(), 0);
        let turn = tokens.turn();
        tokens.clear();
        tokens.insert(turn, id(1), token(1));
        assert_eq!(tokens.len(), 0);
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let tokens = Tokens::with_max(SHARDS * 4);
        for n in 0..10_000 {
            tokens.insert(tokens.turn(), id(n), token(n));
        }
        assert_eq!(tokens.len(), SHARDS * 4);
        assert!(tokens.get(token(1).tenant, id(9_999)).is_some(), "the newest has a place");
    }
}
