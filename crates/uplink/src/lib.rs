//! The device's side of the wire: HTTP client, verified resumable download, durable report queue
