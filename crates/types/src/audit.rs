//! Words of the audit log.

use crate::text_enum::text_enum;

text_enum! {
    /// Who made a change.
    ActorKind, "actor kind" {
        /// A person with a login.
        User = "user",
        /// A program with an API key.
        ApiKey = "api_key",
        /// A program with a key that may only presign.
        PresignKey = "presign_key",
        /// A device.
        Device = "device",
        /// Whoever may run `drover` on the machine of the database: no credential was asked for.
        Host = "host",
        /// Drover itself, for instance when a gate pauses a rollout.
        System = "system",
    }
}
