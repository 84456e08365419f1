//! How two replies are compared, and how a difference between them reads.

use crate::connection::Reply;
use crate::value::Value;
use crate::words::quoted;

/// How two replies are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// The same bytes.
    #[default]
    Bytes,
    /// Elements in any order, at every depth.
    Unordered,
    /// Integers, or whole numbers in strings, may differ by so much.
    Near(i64),
    /// The same kind of reply.
    Kind,
    /// The same first word of an error.
    Code,
    /// Whatever comes.
    Skip,
}

impl Rule {
    /// What is wrong with Larder's reply, if anything.
    pub fn judge(&self, ours: &Reply, theirs: &Reply) -> Option<String> {
        let same = match self {
            Self::Bytes => ours.raw == theirs.raw && ours.value == theirs.value,
            Self::Unordered => sorted(&ours.value) == sorted(&theirs.value),
            Self::Near(span) => near(&ours.value, &theirs.value, *span),
            Self::Kind => ours.value.kind() == theirs.value.kind(),
            Self::Code => code(&ours.value) == code(&theirs.value),
            Self::Skip => true,
        };
        (!same).then(|| difference(&show(ours), &show(theirs)))
    }
}

/// Two texts below each other, cut to where they differ.
pub fn difference(ours: &str, theirs: &str) -> String {
    let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
    let far = if at > 100 { format!("\n    differ from byte {at}") } else { String::new() };
    format!("    redis:  {}\n    larder: {}{far}", clip(theirs, at), clip(ours, at))
}

/// The notation, and the bytes beside it where the notation hides a difference.
fn show(reply: &Reply) -> String {
    match reply.value {
        Value::Nil | Value::NilArray => format!("{} {}", reply.value, quoted(&reply.raw)),
        _ => reply.value.to_string(),
    }
}

/// A window of long replies around the first difference.
pub(crate) fn clip(text: &str, at: usize) -> String {
    let start = at.saturating_sub(100).min(text.len());
    let end = (start + 500).min(text.len());
    let window = String::from_utf8_lossy(&text.as_bytes()[start..end]);
    let (before, after) =
        (if start > 0 { "..." } else { "" }, if end < text.len() { "..." } else { "" });
    format!("{before}{window}{after}")
}

fn code(value: &Value) -> String {
    match value {
        Value::Error(text) => text.split(' ').next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}

/// The elements in an order of their own, at every depth, and then the kind of reply.
pub fn sorted(value: &Value) -> Vec<String> {
    let mut items = match value {
        Value::Map(pairs) => pairs.iter().map(|(k, v)| format!("{k}: {v}")).collect(),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            items.iter().map(|item| sorted(item).join(" ")).collect()
        }
        other => vec![other.to_string()],
    };
    items.sort();
    items.push(value.kind().to_string());
    items
}

fn near(ours: &Value, theirs: &Value, span: i64) -> bool {
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number),
        Value::Bulk(_) | Value::Simple(_) => value.text().parse().ok(),
        _ => None,
    };
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b, span))
        }
        _ if ours == theirs => true,
        _ => match (number(ours), number(theirs)) {
            // -1 and -2 mean "no deadline" and "no key": never near a time.
            (Some(a), Some(b)) if a >= 0 && b >= 0 => {
                ours.kind() == theirs.kind() && a.abs_diff(b) <= span.unsigned_abs()
            }
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::near;
    use crate::value::Value;

    #[test]
    fn no_deadline_is_not_near_a_deadline() {
        assert!(near(&Value::Integer(10), &Value::Integer(12), 2));
        assert!(!near(&Value::Integer(-1), &Value::Integer(0), 2));
    }
}
