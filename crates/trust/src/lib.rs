//! Signing and verifying: manifests, cosign bundles, digests while streaming
