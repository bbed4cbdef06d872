//! The two databases behind one enum: pools, the write path, dialect differences, migrations
