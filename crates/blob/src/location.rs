//! The URL that chooses a back-end.

use std::path::PathBuf;

use url::Url;

use crate::ObjectName;

/// The URL chooses no back-end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLocation {
    /// Another scheme, or none.
    #[error("unknown scheme: expected file:PATH or s3://bucket?endpoint=http://host:port")]
    Scheme,
    /// No path, or one that is no local path.
    #[error("the folder is missing or not local: expected file:PATH, for instance file:/var/lib/drover/blobs")]
    Folder,
    /// A key or password in the URL would end up in logs and process lists.
    #[error("credentials do not belong in the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    Credentials,
    /// The bucket is missing or no bucket name.
    #[error("the bucket is missing or invalid: expected 3 to 63 of a-z, 0-9, '.', '-', as in s3://my-bucket")]
    Bucket,
    /// The prefix has characters that a key may not have.
    #[error("the prefix is invalid: expected segments of A-Z, a-z, 0-9, '.', '_', '-', as in s3://my-bucket/fleet")]
    Prefix,
    /// An option that does not exist.
    #[error("unknown option {name:?}: expected endpoint, public_endpoint, region, virtual_hosted")]
    UnknownOption {
        /// The option.
        name: String,
    },
    /// An option given twice, or a value it cannot have.
    #[error("invalid option {name}: expected {expected}, once")]
    Option {
        /// The option.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
    },
}

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Folder(PathBuf),
    S3(S3Location),
}

/// Where in S3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct S3Location {
    pub(crate) bucket: String,
    /// Without slashes at its ends; empty for none.
    pub(crate) prefix: String,
    /// None is Amazon's own.
    pub(crate) endpoint: Option<String>,
    /// What presigned URLs name, when devices reach the store by another address than the server.
    pub(crate) public_endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) virtual_hosted: Option<bool>,
}

impl std::str::FromStr for Location {
    type Err = InvalidLocation;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("file:") {
            return parse_folder(path);
        }
        if !text.starts_with("s3://") {
            return Err(InvalidLocation::Scheme);
        }
        let url = Url::parse(text).map_err(|_| InvalidLocation::Bucket)?;
        parse_s3(&url).map(Self::S3)
    }
}

/// `file:PATH`, and `file:///PATH` as other programs write it.
fn parse_folder(path: &str) -> Result<Location, InvalidLocation> {
    let local = match path.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => return Err(InvalidLocation::Folder),
        None => path,
    };
    if local.is_empty() || local.contains(['?', '#', '\0']) {
        return Err(InvalidLocation::Folder);
    }
    Ok(Location::Folder(PathBuf::from(local)))
}

fn parse_s3(url: &Url) -> Result<S3Location, InvalidLocation> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidLocation::Credentials);
    }
    let bucket = url.host_str().filter(|name| is_bucket(name)).ok_or(InvalidLocation::Bucket)?;
    let prefix = url.path().trim_matches('/');
    if url.port().is_some() || url.fragment().is_some() {
        return Err(InvalidLocation::Bucket);
    }
    if !prefix.is_empty() && prefix.parse::<ObjectName>().is_err() {
        return Err(InvalidLocation::Prefix);
    }
    let mut location = S3Location { bucket: bucket.to_owned(), prefix: prefix.to_owned(), ..S3Location::default() };
    for (name, value) in url.query_pairs() {
        location.set(&name, &value)?;
    }
    Ok(location)
}

impl S3Location {
    fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidLocation> {
        let fresh = match name {
            "endpoint" => self.endpoint.replace(check_endpoint("endpoint", value)?).is_none(),
            "public_endpoint" => self.public_endpoint.replace(check_endpoint("public_endpoint", value)?).is_none(),
            "region" => self.region.replace(check_region(value)?).is_none(),
            "virtual_hosted" => self.virtual_hosted.replace(check_bool(value)?).is_none(),
            other if names_credential(other) => return Err(InvalidLocation::Credentials),
            other => return Err(InvalidLocation::UnknownOption { name: other.chars().take(80).collect() }),
        };
        if fresh { Ok(()) } else { Err(InvalidLocation::Option { name: "in the URL", expected: "each option" }) }
    }
}

fn is_bucket(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    (3..=63).contains(&name.len()) && name.bytes().all(allowed) && !name.contains("..")
}

/// Any option that sounds like a secret is told to be one, rather than unknown.
fn names_credential(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ["key", "secret", "token", "password", "credential"].iter().any(|word| option.contains(word))
}

fn check_endpoint(name: &'static str, value: &str) -> Result<String, InvalidLocation> {
    let invalid = InvalidLocation::Option { name, expected: "http://host:port or https://host without a path" };
    let Ok(url) = Url::parse(value) else { return Err(invalid) };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidLocation::Credentials);
    }
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !bare {
        return Err(invalid);
    }
    Ok(value.trim_end_matches('/').to_owned())
}

fn check_region(value: &str) -> Result<String, InvalidLocation> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=40).contains(&value.len()) && value.bytes().all(allowed) {
        return Ok(value.to_owned());
    }
    Err(InvalidLocation::Option { name: "region", expected: "1 to 40 of a-z, 0-9, '-', for instance eu-central-1" })
}

fn check_bool(value: &str) -> Result<bool, InvalidLocation> {
    value.parse().map_err(|_| InvalidLocation::Option { name: "virtual_hosted", expected: "true or false" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        for (text, path) in [("file:blobs", "blobs"), ("file:/srv/b", "/srv/b"), ("file:///srv/b", "/srv/b")] {
            assert_eq!(text.parse(), Ok(Location::Folder(PathBuf::from(path))));
        }
        for text in ["file:", "file://host/x", "file:a?b=c", "file://"] {
            assert_eq!(text.parse::<Location>(), Err(InvalidLocation::Folder), "{text}");
        }
    }

    #[test]
    fn buckets_with_every_option() {
        let text = "s3://my-bucket/fleet/a?endpoint=http://127.0.0.1:9000/&public_endpoint=https://s3.example.org\
                    &region=eu-central-1&virtual_hosted=false";
        let expected = S3Location {
            bucket: "my-bucket".to_owned(),
            prefix: "fleet/a".to_owned(),
            endpoint: Some("http://127.0.0.1:9000".to_owned()),
            public_endpoint: Some("https://s3.example.org".to_owned()),
            region: Some("eu-central-1".to_owned()),
            virtual_hosted: Some(false),
        };
        assert_eq!(text.parse(), Ok(Location::S3(expected)));
    }

    #[test]
    fn secrets_in_the_url_are_refused() {
        for text in [
            "s3://key:secret@bucket",
            "s3://bucket?secret_access_key=x",
            "s3://bucket?AWS_ACCESS_KEY_ID=x",
            "s3://bucket?endpoint=http://key:secret@127.0.0.1:9000",
        ] {
            assert_eq!(text.parse::<Location>(), Err(InvalidLocation::Credentials), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_for_what_it_is() {
        for text in ["s3://ab", "s3://", "s3://Bucket_x", "s3://bucket:80"] {
            assert_eq!(text.parse::<Location>(), Err(InvalidLocation::Bucket), "{text}");
        }
        for text in ["http://x", "", "blobs", "/srv/blobs"] {
            assert_eq!(text.parse::<Location>(), Err(InvalidLocation::Scheme), "{text}");
        }
        assert_eq!("s3://bucket/a%2fb".parse::<Location>(), Err(InvalidLocation::Prefix));
        assert!(matches!("s3://bucket?colour=red".parse::<Location>(), Err(InvalidLocation::UnknownOption { .. })));
        for query in
            ["endpoint=ftp://x", "endpoint=http://x/path", "region=EU", "virtual_hosted=yes", "region=a&region=b"]
        {
            let refused = format!("s3://bucket?{query}").parse::<Location>();
            assert!(matches!(refused, Err(InvalidLocation::Option { .. })), "{query}: {refused:?}");
        }
    }
}
