//! Objects by content: a folder with signed URLs, or S3
