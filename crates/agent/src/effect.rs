//! The effects that an agent has on its device, one by one.

/// Something that changes what survives a power cut, or leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Release keys are pinned.
    PinKeys,
    /// The device's identity is written.
    WriteIdentity,
    /// The journal is replaced.
    WriteJournal,
    /// One artifact is downloaded.
    Download,
    /// A slot grows under a name of its own.
    Unpack,
    /// The slot gets its name.
    NameSlot,
    /// A slot that was there already is checked.
    CheckSlot,
    /// `NEW` points at the slot.
    PointNew,
    /// `OLD` points at what runs.
    PointOld,
    /// `CURRENT` points somewhere else.
    PointCurrent,
    /// `CURRENT` is removed: nothing is installed.
    RemoveCurrent,
    /// The activation command runs.
    Activate,
    /// The self-test runs.
    SelfTest,
    /// The new version is watched.
    Watch,
    /// A failure is counted.
    Blacklist,
    /// A report is queued on disk.
    QueueReport,
    /// A report is sent and taken off the queue.
    SendReport,
    /// `NEW` is removed.
    RemoveNew,
    /// One thing that nobody needs any more is removed.
    Remove,
    /// The journal is removed.
    RemoveJournal,
}

/// Sees every effect before and after it. Tests end the process here.
pub trait EffectObserver: Send + Sync + 'static {
    /// About to happen.
    fn before(&self, effect: Effect) {
        let _ = effect;
    }

    /// Has happened.
    fn after(&self, effect: Effect) {
        let _ = effect;
    }
}

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl EffectObserver for NoObserver {}
