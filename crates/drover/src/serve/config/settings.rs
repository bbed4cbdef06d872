//! The effective settings, each with where it comes from; secrets hidden.

use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;
use drover_server::PinChoice;
use serde::Serialize;
use url::Url;

use super::{FileConfig, ServeArgs, ServeConfig};
use crate::error::RunError;
use crate::serve::tls::TlsPlan;

/// What stands where a secret was.
const HIDDEN: &str = "(hidden)";

/// A setting as `drover config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Its name, as in the file.
    pub(crate) name: String,
    /// Its value, without secrets.
    pub(crate) value: String,
    /// `flag`, the variable's name, `file` or `default`.
    pub(crate) source: String,
}

/// All settings in the order of `drover serve --help`. `matches` are those of the arguments that `config` was made from.
pub(crate) fn settings(
    config: &ServeConfig,
    file: &FileConfig,
    matches: &ArgMatches,
) -> Result<Vec<Setting>, RunError> {
    let in_file = file_keys(file)?;
    let values = values(config);
    let command = arguments();
    let of = |argument: &clap::Arg| {
        let id = argument.get_id().as_str();
        let (name, value) = values.iter().find(|(known, _)| known.0 == id).map(|(known, value)| (known.1, value))?;
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag".to_owned(),
            Some(ValueSource::EnvVariable) => argument.get_env().unwrap_or_default().to_string_lossy().into_owned(),
            _ if in_file.iter().any(|key| key.as_str() == name || key.strip_suffix("_file") == Some(name)) => {
                "file".to_owned()
            }
            _ => "default".to_owned(),
        };
        Some(Setting { name: name.to_owned(), value: value.clone(), source })
    };
    Ok(command.get_arguments().filter_map(of).collect())
}

/// The arguments of `drover serve`.
fn arguments() -> clap::Command {
    <ServeArgs as clap::Args>::augment_args(clap::Command::new("serve"))
}

/// The keys that the file sets.
fn file_keys(file: &FileConfig) -> Result<Vec<String>, RunError> {
    let value = serde_json::to_value(file).map_err(|error| RunError::Setting(error.to_string()))?;
    let keys = value.as_object().into_iter().flatten();
    Ok(keys.filter(|(_, value)| !value.is_null()).map(|(key, _)| key.clone()).collect())
}

/// The keys that a file may set.
pub(super) fn known_keys() -> Vec<String> {
    let value = serde_json::to_value(FileConfig::default()).unwrap_or_default();
    value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// The key that was probably meant.
pub(super) fn similar<'k>(unknown: &str, known: &'k [String]) -> Option<&'k str> {
    let scored = known.iter().map(|key| (strsim::normalized_damerau_levenshtein(unknown, key), key.as_str()));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(likeness, _)| *likeness > 0.6).map(|(_, key)| key)
}

/// Every setting: the argument's id, the name in the file, the value in effect. A test fails when one is missing.
fn values(config: &ServeConfig) -> Vec<((&'static str, &'static str), String)> {
    let backends = config.backends("");
    let (settings, http) = (&config.settings, &config.http);
    let same = |name: &'static str, value: String| ((name, name), value);
    let or_none = |value: Option<&String>| value.cloned().unwrap_or_else(|| "the listening address".to_owned());
    let (tls, files, pin) = match &config.tls {
        TlsPlan::Plain => ("off", None, None),
        TlsPlan::Files { certificate, key, pin } => ("on", Some((certificate, key)), Some(*pin)),
        TlsPlan::OwnCa { pin } => ("on", None, Some(*pin)),
    };
    let path = |path: Option<&PathBuf>| path.map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    let pin = match pin {
        Some(PinChoice::Auto) => "auto",
        Some(PinChoice::Chain) => "chain",
        Some(PinChoice::None) | None => "none",
    };
    let next_pins: Vec<String> = settings.next_server_pins.iter().map(ToString::to_string).collect();
    vec![
        same("data", config.data.display().to_string()),
        same("listen", http.listen.to_string()),
        same("public_url", or_none(config.public_url.as_ref())),
        same("tls", tls.to_owned()),
        same("tls_cert", path(files.map(|(certificate, _)| certificate))),
        same("tls_key", path(files.map(|(_, key)| key))),
        same("tls_pin", pin.to_owned()),
        same("tls_next_pins", next_pins.join(", ")),
        same("max_connections", http.max_connections.to_string()),
        same("max_connections_per_address", http.max_connections_per_address.to_string()),
        same("database", without_secrets(&backends.database)),
        same("blobs", without_secrets(&backends.blobs)),
        same("pool_max", config.pool_max.to_string()),
        (("no_migrate", "migrate"), config.migrate.to_string()),
        same("poll_interval_ms", settings.poll_interval.as_millis().to_string()),
        same("check_per_minute", http.check_per_minute.to_string()),
        same("report_per_minute", http.report_per_minute.to_string()),
        same("stranger_per_minute", http.stranger_per_minute.to_string()),
        same("archive_after_days", (settings.archive_after.as_secs() / 86_400).to_string()),
        same("cors_origins", http.cors_origins.join(", ")),
        same("trust_forwarded_for", http.trust_forwarded_for.to_string()),
        same("metrics_token", if http.metrics_token.is_none() { "none" } else { HIDDEN }.to_owned()),
        same("log_format", format!("{:?}", config.log_format).to_lowercase()),
        same("presign_api_keys", if settings.presign_keys.is_empty() { "none" } else { HIDDEN }.to_owned()),
    ]
}

/// An address as it may be shown: no password, and no parameter that sounds like a secret.
pub(crate) fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once(':') else { return HIDDEN.to_owned() };
    if matches!(scheme, "sqlite" | "file") {
        return text.to_owned();
    }
    let Ok(mut url) = Url::parse(text) else { return format!("{scheme}:{HIDDEN}") };
    if url.password().is_some() && url.set_password(Some("HIDDEN")).is_err() {
        return format!("{scheme}:{HIDDEN}");
    }
    let is_secret =
        |name: &str| ["password", "secret", "token", "key"].iter().any(|word| name.to_lowercase().contains(word));
    if rest.contains('?') {
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut query = url.query_pairs_mut();
        query.clear();
        for (name, value) in pairs {
            query.append_pair(&name, if is_secret(&name) { "HIDDEN" } else { &value });
        }
    }
    url.to_string().replace("HIDDEN", HIDDEN)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::serve::config;

    fn shown(arguments: &[&str]) -> Vec<Setting> {
        let command = ServeArgs::augment_args(clap::Command::new("serve"));
        let matches = command.try_get_matches_from([&["serve", "--data", "/nowhere"], arguments].concat()).unwrap();
        let args = ServeArgs::from_arg_matches(&matches).unwrap();
        let (config, file) = config::load_with_file(args).unwrap();
        settings(&config, &file, &matches).unwrap()
    }

    /// A setting that was added: add it to `values` above.
    #[test]
    fn every_setting_is_shown() {
        let shown = shown(&[]);
        for argument in arguments().get_arguments().filter(|argument| argument.get_id() != "config") {
            let id = argument.get_id().as_str();
            let name = if id == "no_migrate" { "migrate" } else { id };
            assert!(shown.iter().any(|setting| setting.name == name), "{id} is not shown");
            // Secrets have a file of their own, which the file names.
            let in_file = |known: &String| known == name || known.strip_suffix("_file") == Some(name);
            assert!(known_keys().iter().any(in_file), "{name} cannot be set in a file");
        }
    }

    #[test]
    fn each_value_has_its_source() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "pool_max = 20\ncheck_per_minute = 7").unwrap();
        let shown = shown(&["--config", file.path().to_str().unwrap(), "--check-per-minute", "9"]);
        let of = |name: &str| {
            shown.iter().find(|setting| setting.name == name).map(|found| (found.value.as_str(), found.source.as_str()))
        };
        assert_eq!(of("pool_max"), Some(("20", "file")));
        assert_eq!(of("check_per_minute"), Some(("9", "flag")));
        assert_eq!(of("stranger_per_minute"), Some(("100", "default")));
        assert_eq!(of("database"), Some(("sqlite:/nowhere/drover.db", "default")));
    }

    /// What clap is told to hide is hidden here as well.
    #[test]
    fn no_secret_is_shown() {
        let shown = shown(&[
            "--database",
            "postgres://fleet:s3cr3t@db/fleet?sslpassword=s3cr3t",
            "--blobs",
            "s3://bucket",
            "--metrics-token",
            "s3cr3t-of-prometheus",
            "--presign-api-keys",
            "s3cr3t-key",
        ]);
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("postgres://fleet:(hidden)@db/fleet"), "{text}");
        let hidden: Vec<String> = arguments()
            .get_arguments()
            .filter(|argument| argument.is_hide_env_values_set())
            .map(|argument| argument.get_id().to_string())
            .collect();
        assert_eq!(
            hidden,
            ["database", "metrics_token", "presign_api_keys"],
            "give this test a value for the new secret"
        );
    }

    #[test]
    fn a_key_that_was_misspelt_is_suggested() {
        let known = known_keys();
        assert_eq!(similar("pol_interval_ms", &known), Some("poll_interval_ms"));
        assert_eq!(similar("pubic_url", &known), Some("public_url"));
        assert_eq!(similar("colour", &known), None);
    }
}
