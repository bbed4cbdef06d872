//! Why an update failed, in classes that policies can tell apart.

use crate::text_enum::text_enum;

text_enum! {
    /// The class of a failed update.
    FailureClass, "failure class" {
        /// The bytes could not be fetched.
        Download = "download",
        /// A signature or digest did not hold.
        Verification = "verification",
        /// A precondition on the device was not met (version, floor, dependency, blacklist).
        Precondition = "precondition",
        /// No room on the device.
        Space = "space",
        /// Unpacking or switching failed.
        Install = "install",
        /// The activation hook failed.
        Activation = "activation",
        /// The self-test failed or did not end in time.
        SelfTest = "self_test",
        /// The new version failed while it was watched.
        Crash = "crash",
        /// The device fell silent.
        Timeout = "timeout",
        /// The device said something that fits no other class.
        Other = "other",
    }
}
