//! Random conditions, as people might spell them.

use drover_types::DeviceStatus;

use super::draw::Draw;
use super::fleet::{AGES, ATTRIBUTES, Device, METRICS, NAMES, NOW, NUMBERS, TAGS, TEXTS, TYPES, VERSIONS};

const ORDERS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];
const EQUALITIES: [&str; 2] = ["==", "!="];

/// One condition of up to some dozen parts.
pub(super) fn condition(draw: &mut Draw, devices: &[Device]) -> String {
    let depth = draw.below(4);
    Writer { draw, devices, reads_telemetry: false }.tree(depth)
}

/// The same, some parts of which read telemetry.
pub(super) fn condition_on_telemetry(draw: &mut Draw, devices: &[Device]) -> String {
    let depth = draw.below(4);
    let mut writer = Writer { draw, devices, reads_telemetry: true };
    format!("{} && ({})", writer.metric(), writer.tree(depth))
}

struct Writer<'w> {
    draw: &'w mut Draw,
    devices: &'w [Device],
    reads_telemetry: bool,
}

impl Writer<'_> {
    fn tree(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.part();
        }
        match self.draw.below(6) {
            0 => format!("!({})", self.tree(depth - 1)),
            1 => format!("( {} )", self.tree(depth - 1)),
            // Without brackets: && binds tighter than ||.
            2 => format!("{} || {} && {}", self.tree(depth - 1), self.part(), self.tree(depth - 1)),
            3 | 4 => format!("({}) && ({})", self.tree(depth - 1), self.tree(depth - 1)),
            _ => format!("({})||({})", self.tree(depth - 1), self.tree(depth - 1)),
        }
    }

    fn part(&mut self) -> String {
        if self.reads_telemetry && self.draw.chance(50) {
            return self.metric();
        }
        match self.draw.below(20) {
            0 => self.id(),
            1 | 2 => self.serial(),
            3 => self.plain_text(),
            4..=8 => self.attribute(),
            9 | 10 => self.part_of_text(),
            11 | 12 => self.version(),
            13..=15 => self.time(),
            16 | 17 => self.name(),
            18 => self.presence(),
            _ => (*self.draw.of(&["true", "false", "!true"])).to_owned(),
        }
    }

    /// A text in either quotes, some of its characters escaped.
    fn quoted(&mut self, text: &str) -> String {
        let quote = *self.draw.of(&['"', '\'']);
        let mut quoted = quote.to_string();
        for c in text.chars() {
            match c {
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                c if c == quote => quoted.extend(['\\', c]),
                c if self.draw.chance(10) && u32::from(c) < 0x1_0000 => {
                    quoted.extend(format!("\\u{:04X}", u32::from(c)).chars());
                }
                c if self.draw.chance(10) => quoted.extend(format!("\\U{:08x}", u32::from(c)).chars()),
                c => quoted.push(c),
            }
        }
        quoted.push(quote);
        quoted
    }

    fn device(&mut self) -> &Device {
        &self.devices[self.draw.below(self.devices.len())]
    }

    /// `left SIGN right`, or the same the other way round.
    fn comparison(&mut self, signs: &[&'static str], left: &str, right: &str) -> String {
        let sign = *self.draw.of(signs);
        if self.draw.chance(75) {
            return format!("{left} {sign} {right}");
        }
        let mirrored = match sign {
            "<" => ">",
            "<=" => ">=",
            ">" => "<",
            ">=" => "<=",
            sign => sign,
        };
        format!("{right}{mirrored}{left}")
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> String) -> String {
        let items: Vec<String> = (0..=self.draw.below(4)).map(|_| item(self)).collect();
        format!("[{}]", items.join(", "))
    }

    fn id(&mut self) -> String {
        let item = |writer: &mut Self| {
            let id = writer.device().id.to_string();
            writer.quoted(&id)
        };
        if self.draw.chance(50) {
            return format!("device.id in {}", self.list(item));
        }
        let id = item(self);
        self.comparison(&EQUALITIES, "device.id", &id)
    }

    fn serial(&mut self) -> String {
        let item = |writer: &mut Self| {
            let text = if writer.draw.chance(70) {
                writer.device().hardware_id.clone()
            } else {
                (*writer.draw.of(&TEXTS)).to_owned()
            };
            writer.quoted(&text)
        };
        if self.draw.chance(30) {
            return format!("device.hardware_id in {}", self.list(item));
        }
        let text = item(self);
        self.comparison(&ORDERS, "device.hardware_id", &text)
    }

    fn plain_text(&mut self) -> String {
        let statuses: Vec<&str> = DeviceStatus::ALL.iter().map(|status| status.as_str()).collect();
        let (field, words): (_, &[&str]) = match self.draw.below(3) {
            0 => ("device.type", &TYPES),
            1 => ("device.status", &statuses),
            _ => ("device.agent_version", &VERSIONS),
        };
        let item = |writer: &mut Self| {
            let word = *writer.draw.of(words);
            writer.quoted(word)
        };
        if self.draw.chance(40) {
            return format!("{field} in {}", self.list(item));
        }
        let text = item(self);
        self.comparison(&EQUALITIES, field, &text)
    }

    fn attribute_field(&mut self) -> String {
        // One that no device has.
        let name = if self.draw.chance(5) { "nowhere" } else { *self.draw.of(&ATTRIBUTES) };
        if self.draw.chance(80) {
            return format!("device.attr.{name}");
        }
        format!("device.attr[{}]", self.quoted(name))
    }

    fn value(&mut self) -> String {
        match self.draw.below(5) {
            0 | 1 => self.draw.of(&NUMBERS).1.to_owned(),
            2 => (*self.draw.of(&["true", "false"])).to_owned(),
            _ => {
                let text = *self.draw.of(&TEXTS);
                self.quoted(text)
            }
        }
    }

    fn attribute(&mut self) -> String {
        let field = self.attribute_field();
        if self.draw.chance(10) {
            return field;
        }
        if self.draw.chance(30) {
            return format!("{field} in {}", self.list(Self::value));
        }
        let value = self.value();
        let signs = if value == "true" || value == "false" { &EQUALITIES[..] } else { &ORDERS[..] };
        self.comparison(signs, &field, &value)
    }

    fn part_of_text(&mut self) -> String {
        let field = match self.draw.below(5) {
            0 => "device.type".to_owned(),
            1 => "device.agent_version".to_owned(),
            2 => "device.hardware_id".to_owned(),
            _ => self.attribute_field(),
        };
        let pool = *self.draw.of(&[&TEXTS[..], &TYPES, &VERSIONS]);
        let whole: Vec<char> = self.draw.of(pool).chars().collect();
        let from = self.draw.below(whole.len() + 1);
        let to = from + self.draw.below(whole.len() - from + 1);
        let part: String = whole[from..to].iter().collect();
        let function = *self.draw.of(&["startsWith", "endsWith", "contains"]);
        format!("{field}.{function}({})", self.quoted(&part))
    }

    fn metric(&mut self) -> String {
        let name = *self.draw.of(&METRICS);
        let field = format!("telemetry[{}]", self.quoted(name));
        let number = |writer: &mut Self| writer.draw.of(&NUMBERS).1.to_owned();
        match self.draw.below(5) {
            0 => format!("{} in telemetry", self.quoted(name)),
            1 => format!("{field} in {}", self.list(number)),
            _ => {
                let value = number(self);
                self.comparison(&ORDERS, &field, &value)
            }
        }
    }

    fn version_field(&mut self) -> &'static str {
        self.draw.of::<&str>(&[
            "device.version",
            "device.components[\"main\"].version",
            "device.components.bms.version",
            "device.components['none'].version",
        ])
    }

    fn version(&mut self) -> String {
        let field = self.version_field();
        let item = |writer: &mut Self| format!("semver(\"{}\")", writer.draw.of(&VERSIONS));
        if self.draw.chance(20) {
            return format!("{field} in {}", self.list(item));
        }
        let version = item(self);
        self.comparison(&ORDERS, field, &version)
    }

    fn duration(&mut self) -> String {
        let micros = self.draw.of(&AGES).unsigned_abs();
        let text = match self.draw.below(3) {
            0 if micros.is_multiple_of(3_600_000_000) => format!("{}h", micros / 3_600_000_000),
            1 => format!("{}s{}us", micros / 1_000_000, micros % 1_000_000),
            _ => format!("{micros}us"),
        };
        format!("duration(\"{text}\")")
    }

    fn moment(&mut self) -> String {
        let base = match self.draw.below(3) {
            0 => format!("timestamp(\"{NOW}\")"),
            _ => "now".to_owned(),
        };
        match self.draw.below(4) {
            0 => base,
            1 => format!("{base} + {}", self.duration()),
            _ => format!("{base} - {}", self.duration()),
        }
    }

    fn time(&mut self) -> String {
        let field = *self.draw.of(&["device.last_seen", "device.last_seen", "device.created_at"]);
        match self.draw.below(4) {
            0 => {
                let (age, duration) = (format!("now - {field}"), self.duration());
                self.comparison(&ORDERS, &age, &duration)
            }
            1 => {
                let shifted = format!("{field} {} {}", self.draw.of(&["+", "-"]), self.duration());
                let moment = self.moment();
                self.comparison(&ORDERS, &shifted, &moment)
            }
            _ => {
                let moment = self.moment();
                self.comparison(&ORDERS, field, &moment)
            }
        }
    }

    fn name(&mut self) -> String {
        let (names, list) = *self.draw.of(&[(&TAGS[..5], "device.tags"), (&NAMES[..5], "device.groups")]);
        let name = *self.draw.of(names);
        format!("{} in {list}", self.quoted(name))
    }

    fn presence(&mut self) -> String {
        if self.draw.chance(40) {
            let name = *self.draw.of(&ATTRIBUTES);
            return format!("{} in device.attr", self.quoted(name));
        }
        let version = self.version_field();
        let fields = [
            version,
            "device.attr.site",
            "device.attr.nowhere",
            "device.last_seen",
            "device.agent_version",
            "device.type",
        ];
        format!("has({})", self.draw.of(&fields))
    }
}
