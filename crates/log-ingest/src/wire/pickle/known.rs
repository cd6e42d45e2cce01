//! What the common types of Python look like in a pickle. A table, no code of
//! theirs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use chrono::{NaiveDate, NaiveTime};

use super::arena::{Arena, Form, Id, Node, Opaque};
use super::string::{decode, unescape};
use super::{NAME_CHARS_MAX, TEXT_BYTES_MAX, number};
use crate::wire::text::cut;

/// A value, understood.
#[derive(Debug)]
pub(super) enum Seen<'r> {
    None,
    Bool(bool),
    /// In decimal.
    Int(String),
    Float(f64),
    Str(String),
    Bytes(Cow<'r, [u8]>),
    Items(Brackets, &'r [Id]),
    Pairs(&'r [(Id, Id)]),
    /// A call worth showing as such: an exception, a member of an enum.
    Call(String, &'r [Id]),
    /// Anything that is shown the same everywhere.
    Plain(String),
}

/// What Python writes around items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brackets {
    List,
    Tuple,
    Set,
}

/// A call as the pickle describes it, by name.
struct Call<'r> {
    module: String,
    name: String,
    args: &'r [Id],
    opaque: &'r Opaque,
}

// === impl Arena ===

impl Arena<'_> {
    /// Understands a value, as far as it is one of the common types.
    pub(super) fn see(&self, id: Id) -> Seen<'_> {
        match self.get(id) {
            Node::None => Seen::None,
            Node::Bool(truth) => Seen::Bool(*truth),
            Node::Int(number) => Seen::Int(number.to_string()),
            Node::Long(bytes) => Seen::Int(number::decimal(bytes)),
            Node::Digits(digits) => Seen::Int(number::from_digits(digits)),
            Node::Float(number) => Seen::Float(*number),
            Node::Str(raw, form) => Seen::Str(decode(raw, *form, TEXT_BYTES_MAX)),
            Node::Bytes(bytes) => Seen::Bytes(Cow::Borrowed(bytes)),
            Node::List(items) => Seen::Items(Brackets::List, items),
            Node::Tuple(items) => Seen::Items(Brackets::Tuple, items),
            Node::Set(items) => Seen::Items(Brackets::Set, items),
            Node::Dict(pairs) => Seen::Pairs(pairs),
            Node::Foreign(text) => Seen::Plain((*text).to_owned()),
            Node::Symbol(..) => Seen::Plain(angled(self.symbol(id))),
            Node::Opaque(opaque) => self.see_call(opaque),
        }
    }

    /// The text of a str, at most `bytes_max` of it.
    pub(super) fn text(&self, id: Id, bytes_max: usize) -> Option<String> {
        match self.get(id) {
            Node::Str(raw, form) => Some(decode(raw, *form, bytes_max)),
            _ => None,
        }
    }

    /// Module and name of something looked up by name; also of an attribute
    /// of it.
    fn symbol(&self, id: Id) -> Option<(String, String)> {
        match self.get(id) {
            Node::Symbol(module, name) => Some((short_name(module), short_name(name))),
            Node::Opaque(opaque) => {
                let &[object, attribute] = self.items(opaque.args) else { return None };
                let (Node::Symbol(..), Node::Symbol(module, b"getattr")) =
                    (self.get(object), self.get(opaque.callable))
                else {
                    return None;
                };
                is_builtin(str::from_utf8(module).ok()?).then_some(())?;
                let (module, name) = self.symbol(object)?;
                Some((module, format!("{name}.{}", self.text(attribute, NAME_CHARS_MAX)?)))
            }
            _ => None,
        }
    }

    fn see_call<'r>(&'r self, opaque: &'r Opaque) -> Seen<'r> {
        let Some(call) = self.call(opaque) else { return Seen::Plain("<unknown>".to_owned()) };
        self.builtin(&call)
            .or_else(|| self.collection(&call))
            .or_else(|| self.plain(&call).map(Seen::Plain))
            .or_else(|| self.exception_or_member(&call))
            .unwrap_or_else(|| Seen::Plain(angled(Some((call.module, call.name)))))
    }

    /// Sees through `copyreg`, which protocols 0 and 1 put between.
    fn call<'r>(&'r self, opaque: &'r Opaque) -> Option<Call<'r>> {
        let (module, name) = self.symbol(opaque.callable)?;
        let args = self.items(opaque.args);
        let is_copyreg = matches!(module.as_str(), "copyreg" | "copy_reg");
        let (class, args) = match (is_copyreg, name.as_str(), args) {
            (true, "_reconstructor", [class, ..]) => (*class, &[][..]),
            (true, "__newobj__", [class, rest @ ..]) => (*class, rest),
            _ => return Some(Call { module, name, args, opaque }),
        };
        let (module, name) = self.symbol(class)?;
        Some(Call { module, name, args, opaque })
    }

    fn builtin<'r>(&'r self, call: &Call<'r>) -> Option<Seen<'r>> {
        if call.is("_codecs", "encode") {
            return self.bytes(call).map(Seen::Bytes);
        }
        if !is_builtin(&call.module) {
            return None;
        }
        let items = |brackets| match call.args {
            [] => Some(Seen::Items(brackets, &[])),
            [items] => match self.get(*items) {
                Node::List(items) | Node::Tuple(items) | Node::Set(items) => {
                    Some(Seen::Items(brackets, items))
                }
                _ => None,
            },
            _ => None,
        };
        match (call.name.as_str(), call.args) {
            ("bytes" | "bytearray", _) => self.bytes(call).map(Seen::Bytes),
            ("set" | "frozenset", _) => items(Brackets::Set),
            ("list", _) => items(Brackets::List),
            ("tuple", _) => items(Brackets::Tuple),
            ("complex", &[real, imaginary]) => self.complex(real, imaginary).map(Seen::Plain),
            ("getattr", &[class, _]) => self.member(class, call.opaque).map(Seen::Plain),
            _ => None,
        }
    }

    fn collection<'r>(&'r self, call: &Call<'r>) -> Option<Seen<'r>> {
        if call.module != "collections" {
            return None;
        }
        match (call.name.as_str(), call.args) {
            ("OrderedDict" | "defaultdict", _) => Some(Seen::Pairs(&call.opaque.pairs)),
            ("Counter", [counts]) => match self.get(*counts) {
                Node::Dict(pairs) => Some(Seen::Pairs(pairs)),
                _ => None,
            },
            ("deque", _) => Some(Seen::Items(Brackets::List, &call.opaque.items)),
            _ => None,
        }
    }

    /// Types that have one usual text.
    fn plain(&self, call: &Call<'_>) -> Option<String> {
        match (call.module.as_str(), call.name.as_str(), call.args) {
            ("datetime", "datetime", &[bytes]) => self.datetime(bytes, None),
            ("datetime", "datetime", &[bytes, zone]) => self.datetime(bytes, Some(zone)),
            ("datetime", "date", &[bytes]) => Some(date(&self.raw_bytes(bytes)?)?.to_string()),
            ("datetime", "time", &[bytes]) => time(&self.raw_bytes(bytes)?),
            ("datetime", "time", &[bytes, zone]) => {
                Some(time(&self.raw_bytes(bytes)?)? + &self.offset(zone)?)
            }
            ("datetime", "timedelta", _) => Some(timedelta(self.three_ints(call.args)?)),
            ("datetime", "timezone", &[delta, ..]) => Some(match self.offset_seconds(delta)? {
                0 => "UTC".to_owned(),
                seconds => format!("UTC{}", offset(seconds)),
            }),
            ("zoneinfo", "ZoneInfo._unpickle", &[key, ..]) => self.text(key, NAME_CHARS_MAX),
            ("decimal", "Decimal", &[text])
            | ("fractions", "Fraction", &[text])
            | ("ipaddress", "IPv6Address" | "IPv4Network" | "IPv6Network", &[text]) => {
                self.text(text, TEXT_BYTES_MAX)
            }
            ("fractions", "Fraction", &[above, below]) => {
                Some(format!("{}/{}", self.small_int(above)?, self.small_int(below)?))
            }
            ("ipaddress", "IPv4Address", &[number]) => {
                let number = u32::try_from(self.small_int(number)?).ok()?;
                Some(Ipv4Addr::from(number).to_string())
            }
            ("uuid", "UUID", _) => self.uuid(call.opaque.state?),
            ("pathlib" | "pathlib._local", name, parts) if name.ends_with("Path") => {
                self.path(name, parts)
            }
            _ => None,
        }
    }

    fn exception_or_member<'r>(&'r self, call: &Call<'r>) -> Option<Seen<'r>> {
        let class = last_part(&call.name);
        let is_class = class.starts_with(char::is_uppercase);
        let has_one_scalar = match call.args {
            [only] if call.opaque.state.is_none() => self.is_scalar(*only),
            _ => false,
        };
        (is_exception(class) || is_class && has_one_scalar)
            .then(|| Seen::Call(class.to_owned(), call.args))
    }

    fn is_scalar(&self, id: Id) -> bool {
        use Node::{Bool, Digits, Float, Int, Long, Str};
        matches!(self.get(id), Bool(_) | Int(_) | Long(_) | Digits(_) | Float(_) | Str(..))
    }

    // --- Bytes, in which other types are written ---

    fn bytes<'r>(&'r self, call: &Call<'r>) -> Option<Cow<'r, [u8]>> {
        match *call.args {
            [] => Some(Cow::Borrowed(&[])),
            [bytes] => self.raw_bytes(bytes),
            [text, _latin1] => self.latin1(text).map(Cow::Owned),
            _ => None,
        }
    }

    fn raw_bytes(&self, id: Id) -> Option<Cow<'_, [u8]>> {
        match self.get(id) {
            Node::Bytes(bytes) | Node::Str(bytes, Form::Python2) => Some(Cow::Borrowed(bytes)),
            Node::Str(raw, Form::Python2Escape) => Some(Cow::Owned(unescape(raw))),
            Node::Opaque(opaque) => match (self.get(opaque.callable), self.items(opaque.args)) {
                (Node::Symbol(b"_codecs", b"encode"), &[text, _]) => {
                    self.latin1(text).map(Cow::Owned)
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn latin1(&self, id: Id) -> Option<Vec<u8>> {
        self.text(id, TEXT_BYTES_MAX)?.chars().map(|c| u8::try_from(c).ok()).collect()
    }

    // --- Single types ---

    fn complex(&self, real: Id, imaginary: Id) -> Option<String> {
        let (&Node::Float(real), &Node::Float(imaginary)) = (self.get(real), self.get(imaginary))
        else {
            return None;
        };
        // Python leaves the `.0` out here.
        let part = |number| {
            let text = number::float(number);
            text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
        };
        let sign = if imaginary.is_sign_negative() { "" } else { "+" };
        if real == 0.0 && real.is_sign_positive() {
            return Some(format!("{}j", part(imaginary)));
        }
        Some(format!("({}{sign}{}j)", part(real), part(imaginary)))
    }

    /// A member of an enum, by name: `Color.RED`.
    fn member(&self, class: Id, opaque: &Opaque) -> Option<String> {
        let (_, class) = self.symbol(class)?;
        let attribute = self.text(*self.items(opaque.args).get(1)?, NAME_CHARS_MAX)?;
        Some(format!("{}.{attribute}", last_part(&class)))
    }

    fn datetime(&self, bytes: Id, zone: Option<Id>) -> Option<String> {
        let bytes = self.raw_bytes(bytes)?;
        let (day, clock) = bytes.split_at_checked(4)?;
        let zone = zone.map_or(Some(String::new()), |zone| self.offset(zone))?;
        Some(format!("{}T{}{zone}", date(day)?, time(clock)?))
    }

    /// `+02:00`; the name in brackets where only the zone's name is known.
    fn offset(&self, zone: Id) -> Option<String> {
        let Node::Opaque(opaque) = self.get(zone) else { return Some(String::new()) };
        let call = self.call(opaque)?;
        if call.is("datetime", "timezone") {
            return self.offset_seconds(*call.args.first()?).map(offset);
        }
        // Only these, and by hand: a zone inside a zone would never end.
        let name = match *call.args {
            [key, ..] if call.is("zoneinfo", "ZoneInfo._unpickle") => {
                self.text(key, NAME_CHARS_MAX)?
            }
            _ => format!("{}.{}", call.module, call.name),
        };
        Some(format!("[{name}]"))
    }

    fn offset_seconds(&self, delta: Id) -> Option<i64> {
        let Node::Opaque(opaque) = self.get(delta) else { return None };
        let call = self.call(opaque)?;
        let [days, seconds, _] = self.three_ints(call.args)?;
        Some(days * 86_400 + seconds)
    }

    fn three_ints(&self, args: &[Id]) -> Option<[i64; 3]> {
        let &[days, seconds, micros] = args else { return None };
        let number = |id| self.small_int(id).filter(|number| number.abs() < 1_000_000_000);
        Some([number(days)?, number(seconds)?, number(micros)?])
    }

    fn uuid(&self, state: Id) -> Option<String> {
        let Node::Dict(pairs) = self.get(state) else { return None };
        let is_int = |key: Id| self.text(key, NAME_CHARS_MAX).as_deref() == Some("int");
        let (_, number) = pairs.iter().take(4).find(|(key, _)| is_int(*key))?;
        let hex = format!("{:032x}", self.large_int(*number)?);
        Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
    }

    fn large_int(&self, id: Id) -> Option<u128> {
        match self.get(id) {
            Node::Int(number) => u128::try_from(*number).ok(),
            Node::Long(bytes) => number::decimal(bytes).parse().ok(),
            Node::Digits(digits) => str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        }
    }

    fn path(&self, class: &str, parts: &[Id]) -> Option<String> {
        let separator = if class.contains("Windows") { '\\' } else { '/' };
        let mut path = String::new();
        for part in parts {
            let part = self.text(*part, TEXT_BYTES_MAX)?;
            if !path.is_empty() && !path.ends_with(separator) {
                path.push(separator);
            }
            path.push_str(&part);
            if path.len() > TEXT_BYTES_MAX {
                break;
            }
        }
        Some(if path.is_empty() { ".".to_owned() } else { cut(path, TEXT_BYTES_MAX) })
    }
}

// === impl Call ===

impl Call<'_> {
    fn is(&self, module: &str, name: &str) -> bool {
        self.module == module && self.name == name
    }
}

// === Names ===

/// Python 2's name of the module, which protocols below 3 write, too.
fn is_builtin(module: &str) -> bool {
    matches!(module, "builtins" | "__builtin__" | "exceptions")
}

fn is_exception(class: &str) -> bool {
    const ENDS: [&str; 7] =
        ["Error", "Exception", "ExceptionGroup", "Warning", "Exit", "Interrupt", "StopIteration"];
    ENDS.iter().any(|end| class.ends_with(end))
}

fn short_name(raw: &[u8]) -> String {
    decode(&raw[..raw.len().min(NAME_CHARS_MAX)], Form::Utf8, NAME_CHARS_MAX)
}

fn angled(symbol: Option<(String, String)>) -> String {
    symbol.map_or("<unknown>".to_owned(), |(module, name)| format!("<{module}.{name}>"))
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

// === Times ===

fn date(bytes: &[u8]) -> Option<NaiveDate> {
    let &[high, low, month, day] = bytes else { return None };
    // The top bit of the month says which of two equal hours is meant.
    NaiveDate::from_ymd_opt(
        u16::from_be_bytes([high, low]).into(),
        (month & 0x7f).into(),
        day.into(),
    )
}

fn time(bytes: &[u8]) -> Option<String> {
    let &[hour, minute, second, high, middle, low] = bytes else { return None };
    let micros = u32::from_be_bytes([0, high, middle, low]);
    // The top bit of a time's hour is what the month's is for a date.
    let time =
        NaiveTime::from_hms_micro_opt((hour & 0x7f).into(), minute.into(), second.into(), micros)?;
    Some(time.format(if micros == 0 { "%H:%M:%S" } else { "%H:%M:%S%.6f" }).to_string())
}

fn offset(seconds: i64) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (minutes, rest) = (seconds.abs() / 60, seconds.abs() % 60);
    let text = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    if rest == 0 { text } else { format!("{text}:{rest:02}") }
}

/// As Python's `str` writes it: `1 day, 2:03:04.500000`.
fn timedelta([days, seconds, micros]: [i64; 3]) -> String {
    let mut text = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    write!(text, "{hours}:{minutes:02}:{:02}", seconds % 60).expect("writing to a string");
    if micros != 0 {
        write!(text, ".{micros:06}").expect("writing to a string");
    }
    text
}
