//! The reference: the crate `cel` parses the text as it was written and evaluates it on values of its own.
//!
//! Where CEL has an answer, that is the answer. Where it raises an error, because something is not there or is of
//! another type, the contract of `drover-rules` says what a comparison is: false, and true for `!=`. So the parts between
//! `&&`, `||` and `!` are then evaluated one by one.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, operators};
use cel::common::traits::Comparer;
use cel::common::types::{CelBool, CelDouble, CelList, CelMap, CelMapKey, CelString, Type};
use cel::common::value::{StaticVal, Val};
use cel::parser::Parser;
use cel::{Context, Env, ExecutionError, IdedExpr, Value};
use drover_types::{DeviceId, Timestamp};

use super::fleet::{Attribute, Device, NOW};

static SEMVER: Type = Type::new_unspecified_type("semver");

/// A version, compared by the rules of the crate `semver`.
#[derive(Debug, Clone)]
struct SemVer(semver::Version);

impl SemVer {
    fn parse(text: &str) -> Self {
        Self(semver::Version::parse(text).expect("a version"))
    }
}

impl Val for SemVer {
    fn get_type(&self) -> &Type {
        &SEMVER
    }
    fn cel_type() -> &'static Type {
        &SEMVER
    }
    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }
    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| self.0.cmp_precedence(&other.0).is_eq())
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for SemVer {}

impl Comparer for SemVer {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        let other = other.downcast_ref::<Self>().ok_or_else(ExecutionError::missing_argument_or_target)?;
        Ok(self.0.cmp_precedence(&other.0))
    }
}

fn semver(text: &CelString<'_>) -> SemVer {
    SemVer::parse(text.inner())
}

/// What CEL makes of one condition.
pub(super) struct Reference {
    pub(super) holds: BTreeSet<DeviceId>,
    /// For how many devices CEL itself had only an error.
    pub(super) without_answer: usize,
}

pub(super) struct Interpreter {
    devices: Vec<(DeviceId, Context<'static, 'static>)>,
}

impl Interpreter {
    pub(super) fn new(devices: &[Device]) -> Self {
        let mut env = Env::stdlib();
        cel::add_overload!(env, fn semver: (CelString) -> SemVer).expect("no other function has that name");
        let env = Arc::new(env);
        let mut times = Times(HashMap::new());
        let context = |device: &Device| {
            let mut context = Context::with_env(Arc::clone(&env));
            context.add_variable_as_val("device", device_value(device, &mut times));
            let number = |number: f64| -> Boxed { Box::new(CelDouble::from(number)) };
            let metrics = map(device.metrics.iter().map(|(name, value)| (*name, number(*value))));
            context.add_variable_as_val("telemetry", metrics);
            context.add_variable_as_val("now", times.get(NOW));
            (device.id, context)
        };
        Self { devices: devices.iter().map(context).collect() }
    }

    pub(super) fn select(&self, text: &str) -> Reference {
        let root = Parser::new().parse(text).unwrap_or_else(|error| panic!("{error}"));
        let mut reference = Reference { holds: BTreeSet::new(), without_answer: 0 };
        for (device, context) in &self.devices {
            let answer = Value::resolve_val(&root, context).ok().and_then(|value| truth(&*value));
            reference.without_answer += usize::from(answer.is_none());
            if answer.unwrap_or_else(|| by_parts(&root, context)) {
                reference.holds.insert(*device);
            }
        }
        reference
    }
}

fn by_parts(expr: &IdedExpr, context: &Context<'_, '_>) -> bool {
    if let Expr::Call(CallExpr { target: None, func_name, args }) = &expr.expr {
        match func_name.as_str() {
            operators::LOGICAL_AND => return args.iter().all(|part| by_parts(part, context)),
            operators::LOGICAL_OR => return args.iter().any(|part| by_parts(part, context)),
            operators::LOGICAL_NOT => return !by_parts(&args[0], context),
            _ => {}
        }
    }
    let is_different = matches!(&expr.expr, Expr::Call(call) if call.func_name == operators::NOT_EQUALS);
    match Value::resolve_val(expr, context) {
        Ok(value) => truth(&*value) == Some(true),
        Err(_) => is_different,
    }
}

fn truth(value: &dyn Val) -> Option<bool> {
    value.downcast_ref::<CelBool>().map(|truth| *truth.inner())
}

type Boxed = Box<dyn Val>;

fn text(text: impl Into<String>) -> Boxed {
    Box::new(CelString::from(text.into()))
}

fn map(entries: impl IntoIterator<Item = (&'static str, Boxed)>) -> Boxed {
    let entries = entries.into_iter().map(|(key, value)| (CelMapKey::String(CelString::from(key.to_owned())), value));
    Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
}

fn names(names: &[String]) -> Boxed {
    Box::new(CelList::from(names.iter().map(|name| text(name.clone())).collect::<Vec<_>>()))
}

/// Times of CEL, made by CEL.
struct Times(HashMap<Timestamp, Boxed>);

impl Times {
    fn get(&mut self, time: Timestamp) -> Boxed {
        let make = || {
            let expr = Parser::new().parse(&format!("timestamp(\"{time}\")")).expect("it parses");
            let context: Context<'static, 'static> = Context::default();
            Value::resolve_val(&expr, &context).expect("it is a time").clone_as_boxed()
        };
        self.0.entry(time).or_insert_with(make).clone()
    }
}

fn device_value(device: &Device, times: &mut Times) -> Boxed {
    let version = |text: &str| -> Boxed { Box::new(SemVer::parse(text)) };
    let components = device
        .components
        .iter()
        .map(|(name, installed)| (*name, map(installed.iter().map(|(text, _)| ("version", version(text))))));
    let attributes = device.attributes.iter().map(|(name, value)| {
        let value: Boxed = match value {
            Attribute::Text(value) => text(*value),
            Attribute::Number(number) => Box::new(CelDouble::from(*number)),
            Attribute::Bool(truth) => Box::new(CelBool::from(*truth)),
        };
        (*name, value)
    });
    let mut fields = vec![
        ("id", text(device.id.to_string())),
        ("hardware_id", text(device.hardware_id.clone())),
        ("type", text(device.kind)),
        ("status", text(device.status.as_str())),
        ("created_at", times.get(device.created_at)),
        ("components", map(components)),
        ("attr", map(attributes)),
        ("tags", names(&device.tags)),
        ("groups", names(&device.groups)),
    ];
    fields.extend(device.agent_version.map(|version| ("agent_version", text(version))));
    fields.extend(device.last_seen.map(|seen| ("last_seen", times.get(seen))));
    if let Some(Some((main, _))) = device.components.get("main") {
        fields.push(("version", version(main)));
    }
    map(fields)
}
