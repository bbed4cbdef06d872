//! Tokens of devices.
//!
//! Only a token that proved right or that was read from SQL is kept, so strangers cannot fill it; only of a device whose
//! first contact is in SQL, so that nobody registers it once more behind a copy. An entry takes some 130 bytes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_store::device_tokens::UsedTokenRow;
use drover_types::{DeviceId, Sha256Digest, TenantId};
use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

/// Tokens that are kept. Beyond it, one that proved right takes the place of any other.
const TOKENS_MAX: usize = 1 << 20;

/// Parts that are locked on their own.
const SHARDS: usize = 64;

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
    /// Rises before all tokens are read.
    round: AtomicU32,
    /// Everything was forgotten.
    pub(crate) cleared: Notify,
}

#[derive(Default)]
struct Shard {
    /// With the round in which it was read last.
    known: IndexMap<Uuid, (KnownToken, u32)>,
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
        Self {
            shards,
            max_per_shard: max.div_ceil(SHARDS),
            turn: AtomicU64::default(),
            round: AtomicU32::default(),
            cleared: Notify::new(),
        }
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
        self.shard(id).known.get(&id).map(|(token, _)| *token).filter(|token| token.tenant == tenant)
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
        shard.known.insert(id, (token, self.round.load(Ordering::Relaxed)));
    }

    /// Begins to read all tokens: those that are not among them are forgotten by [`Tokens::end_round`].
    pub(crate) fn begin_round(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps tokens that were read at `turn`, as far as there is room. False: some were forgotten since, and these may
    /// be among them. They have to be read again.
    pub(crate) fn insert_page(&self, turn: u64, page: &[UsedTokenRow]) -> bool {
        let round = self.round.load(Ordering::Relaxed);
        for row in page {
            let token = KnownToken { tenant: row.tenant_id, device: row.device_id, secret_sha256: row.secret_sha256 };
            let mut shard = self.shard(row.id);
            if self.turn() != turn {
                return false;
            }
            if shard.known.len() < self.max_per_shard || shard.known.contains_key(&row.id) {
                shard.known.insert(row.id, (token, round));
            }
        }
        true
    }

    /// All were read.
    pub(crate) fn end_round(&self) {
        let round = self.round.load(Ordering::Relaxed);
        for shard in &self.shards {
            lock(shard).known.retain(|_, (_, read)| *read == round);
        }
    }

    /// Forgets all tokens of these devices.
    pub(crate) fn forget(&self, devices: &HashSet<DeviceId>) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            lock(shard).known.retain(|_, (token, _)| !devices.contains(&token.device));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            lock(shard).known.clear();
        }
        self.cleared.notify_one();
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

    fn row(n: u128) -> UsedTokenRow {
        let KnownToken { tenant, device, secret_sha256 } = token(n);
        UsedTokenRow { tenant_id: tenant, id: id(n), device_id: device, secret_sha256 }
    }

    #[test]
    fn what_is_not_read_again_is_forgotten() {
        let tokens = Tokens::default();
        tokens.begin_round();
        assert!(tokens.insert_page(tokens.turn(), &[row(1), row(2)]));
        tokens.end_round();
        assert_eq!(tokens.len(), 2);
        tokens.begin_round();
        assert!(tokens.insert_page(tokens.turn(), &[row(2)]));
        tokens.insert(tokens.turn(), id(3), token(3));
        tokens.end_round();
        let known = [1, 2, 3].map(|n| tokens.get(token(n).tenant, id(n)).is_some());
        assert_eq!(known, [false, true, true], "the third proved right meanwhile");
    }

    #[test]
    fn a_page_that_was_read_before_others_were_forgotten_is_not_kept() {
        let tokens = Tokens::default();
        let turn = tokens.turn();
        tokens.forget(&HashSet::from([token(1).device]));
        assert!(!tokens.insert_page(turn, &[row(1)]));
        assert_eq!(tokens.len(), 0);
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let tokens = Tokens::with_max(SHARDS * 4);
        for n in 0..10_000 {
            tokens.insert(tokens.turn(), id(n), token(n));
            assert!(tokens.insert_page(tokens.turn(), &[row(10_000 + n)]));
        }
        assert_eq!(tokens.len(), SHARDS * 4);
        assert!(tokens.get(token(1).tenant, id(9_999)).is_some(), "the newest has a place");
    }
}
