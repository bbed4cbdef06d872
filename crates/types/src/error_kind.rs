//! The kinds of error that a caller can tell apart.

use crate::text_enum::text_enum;

text_enum! {
    /// What went wrong, for whoever has to react. Each transport maps it once: HTTP to a status
    /// (`server`), the command line to an exit code (`cli`).
    ErrorKind, "error kind" {
        /// The request cannot be understood.
        Malformed = "malformed",
        /// No credential, or one that is not valid (any more).
        Unauthenticated = "unauthenticated",
        /// The caller is known and may not do this.
        Forbidden = "forbidden",
        /// It does not exist, or the caller may not see it.
        NotFound = "not_found",
        /// The state of things forbids it; the same request may succeed later.
        Conflict = "conflict",
        /// Understood, and refused for what it says.
        Unprocessable = "unprocessable",
        /// Larger than the limit.
        TooLarge = "too_large",
        /// Too many requests.
        RateLimited = "rate_limited",
        /// No room to store it.
        InsufficientStorage = "insufficient_storage",
        /// Something this service needs does not answer; try again.
        Unavailable = "unavailable",
        /// It took too long.
        Timeout = "timeout",
        /// A fault of this service.
        Internal = "internal",
    }
}
