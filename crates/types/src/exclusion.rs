//! Why a rollout leaves a device out.

use crate::text_enum::text_enum;

text_enum! {
    /// Why a rollout leaves a device out. The first that applies, in this order.
    Exclusion, "exclusion" {
        /// The firmware is for another device type.
        WrongType = "wrong_type",
        /// It is in none of the target groups.
        NotInGroup = "not_in_group",
        /// The target condition is false for it.
        Condition = "condition",
        /// It runs the firmware already.
        SameVersion = "same_version",
        /// It runs something newer.
        NewerVersion = "newer_version",
        /// What it runs is outside of what the firmware can be installed over.
        FromVersion = "from_version",
        /// Another component, which the firmware depends on, is missing or has another version.
        Dependency = "dependency",
    }
}
