//! Rules for sources that the compiler cannot hold. Pure: texts in, violations out.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// A file that nobody reads to its end is two files.
const MAX_LINES: usize = 600;

/// The words that tell the two databases apart: only `crates/db` may.
const DIALECT_BRANCHES: &[&str] = &["Db::Sqlite", "Db::Postgres", "Tx::Sqlite", "Tx::Postgres", "Dialect::"];

/// What opens a back-end, whatever it is called from.
const OPENERS: &[(&str, &str)] = &[("drover_blob", "open"), ("drover_db", "open"), ("Db", "open"), ("Db", "connect")];

/// The files outside tests that may name a concrete back-end, besides the crate that owns it.
const COMPOSERS: &[&str] = &["crates/app/src/compose", "crates/app/src/migrate", "crates/testkit/"];

/// The crates that own back-ends, each with the trait that its concrete types implement.
const BACK_END_OWNERS: &[(&str, &str)] = &[("blob", "BlobStore"), ("bus", "Bus"), ("bus", "HotState")];

/// One source file.
pub(super) struct File {
    /// From the repository's folder, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    fn is_in(&self, name: &str) -> bool {
        self.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next()) == Some(name)
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The lines that are compiled into a program: no comments, no module of tests at the end of the file.
    fn production_code(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let code = self.code_lines().map(|(_, line)| line.trim()).collect::<Vec<_>>().join("\n");
        let tests = code.match_indices("#[cfg(test)]\nmod ").find(|(at, _)| {
            let item = &code[at + "#[cfg(test)]\n".len()..];
            item.lines().next().is_some_and(|line| line.ends_with('{'))
        });
        tests.map_or(code.as_str(), |(at, _)| &code[..at]).to_owned()
    }

    /// The numbered lines without those that are only comment.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Returns one line for each broken rule.
pub(super) fn check(files: &[File]) -> Vec<String> {
    let names = concrete_back_ends(files);
    let mut violations = Vec::new();
    // This crate spells the forbidden words out to find them.
    for file in files.iter().filter(|file| !file.is_in("xtask")) {
        violations.extend(dialect_branches(file));
        violations.extend(named_back_ends(file, &names));
    }
    violations.extend(files.iter().filter_map(too_long));
    violations.extend(undocumented_crates(files));
    violations
}

fn dialect_branches(file: &File) -> Vec<String> {
    // Tests of the schema read the catalogue, which each database has its own.
    if file.is_in("db") || file.is_test() {
        return Vec::new();
    }
    let branches = |line: &str| DIALECT_BRANCHES.iter().any(|branch| begins_word(line, branch));
    file.code_lines()
        .filter(|(_, line)| branches(line))
        .map(|(number, line)| {
            format!(
                "{}:{number}: tells the databases apart (`{}`): that belongs into crates/db, behind a function",
                file.path,
                line.trim()
            )
        })
        .collect()
}

fn named_back_ends(file: &File, names: &BTreeSet<(String, String)>) -> Vec<String> {
    if COMPOSERS.iter().any(|composer| file.path.starts_with(composer)) {
        return Vec::new();
    }
    let code = file.production_code();
    let opened = OPENERS
        .iter()
        .filter(|_| !file.is_in("blob") && !file.is_in("db"))
        .filter(|(owner, name)| path_mentions(&code, owner, name))
        .map(|(owner, name)| format!("{owner}::{name}"));
    let concrete = names
        .iter()
        .filter(|(owner, _)| !file.is_in(owner))
        .filter(|(owner, name)| path_mentions(&code, &format!("drover_{owner}"), name))
        .map(|(_, name)| name.clone());
    opened
        .chain(concrete)
        .map(|name| {
            format!(
                "{}: names a concrete back-end (`{name}`): only crates/app/src/compose.rs does, take it as an argument",
                file.path
            )
        })
        .collect()
}

/// The types in the crates that own back-ends which implement one of their traits: (crate, type).
fn concrete_back_ends(files: &[File]) -> BTreeSet<(String, String)> {
    let mut names = BTreeSet::new();
    for (owner, seam) in BACK_END_OWNERS {
        let opening = format!("impl {seam} for ");
        for file in files.iter().filter(|file| file.is_in(owner)) {
            for line in file.production_code().lines() {
                let Some(rest) = line.strip_prefix(&opening) else { continue };
                let name: String = rest.chars().take_while(|letter| is_word(*letter)).collect();
                if !name.is_empty() && name != "Box" && name != "Arc" {
                    names.insert(((*owner).to_owned(), name));
                }
            }
        }
    }
    names
}

/// Whether `owner::name` stands in the code, or `name` in the braces or at the end of a path that starts with `owner::`.
fn path_mentions(code: &str, owner: &str, name: &str) -> bool {
    let opening = format!("{owner}::");
    code.match_indices(&opening).any(|(at, _)| {
        let starts_a_word = !code[..at].ends_with(is_word);
        let rest = &code[at + opening.len()..];
        let ends = if rest.starts_with('{') { '}' } else { ';' };
        let path = rest.split(ends).next().unwrap_or(rest);
        let path = if ends == '}' {
            path
        } else {
            path.split(|letter| !is_word(letter) && letter != ':').next().unwrap_or("")
        };
        starts_a_word && has_word(path, name)
    })
}

fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (lines > MAX_LINES)
        .then(|| format!("{}: {lines} lines; {MAX_LINES} is the limit, split it by noun or verb", file.path))
}

fn undocumented_crates(files: &[File]) -> Vec<String> {
    let mut roots: BTreeMap<&str, &File> = BTreeMap::new();
    for file in files {
        let Some(name) = file.path.strip_suffix("/src/lib.rs").or_else(|| file.path.strip_suffix("/src/main.rs"))
        else {
            continue;
        };
        if file.path.ends_with("/lib.rs") || !roots.contains_key(name) {
            roots.insert(name, file);
        }
    }
    roots
        .into_values()
        .filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| format!("{}: begins without `//!`: say in a sentence what the crate is for", file.path))
        .collect()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether the text has these letters at the beginning of a word.
fn begins_word(text: &str, beginning: &str) -> bool {
    text.match_indices(beginning).any(|(at, _)| !text[..at].ends_with(is_word))
}

/// Whether the text has these letters, with no letter of a longer word on either side.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word))
}
