//! A strict reader of Prometheus's text format, version 0.0.4: it refuses what a lenient one lets
//! pass.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Labels of a sample, by name.
type Labels = BTreeMap<String, String>;

/// All samples of a page.
pub(crate) struct Exposition {
    samples: HashMap<String, Vec<(Labels, f64)>>,
}

impl Exposition {
    /// Reads a page.
    ///
    /// Each family has HELP, then TYPE, once, then its samples in one place; no sample comes twice;
    /// names are legal; values are numbers; counters are not negative.
    pub(crate) fn parse(page: &str) -> Result<Self, String> {
        let mut samples: HashMap<String, Vec<(Labels, f64)>> = HashMap::new();
        let (mut helped, mut typed) = (HashSet::new(), HashMap::new());
        let (mut family, mut seen) = (String::new(), HashSet::new());
        let text = page.strip_suffix('\n').ok_or("the last line does not end")?;
        for (number, line) in text.split('\n').enumerate() {
            let fail = |what: &str| Err(format!("line {}: {what}: {line}", number + 1));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, _) = rest.split_once(' ').ok_or("HELP without text")?;
                if !helped.insert(name.to_owned()) {
                    return fail("a second HELP");
                }
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or("TYPE without type")?;
                let known = ["counter", "gauge", "summary", "histogram", "untyped"];
                if name != family || !known.contains(&kind) {
                    return fail("TYPE of another family, or none that there is");
                }
                if typed.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return fail("a second TYPE");
                }
            } else {
                let (name, labels, value) = match sample(line) {
                    Some(read) => read,
                    None => return fail("no sample"),
                };
                let kind = typed.get(&family).map_or("", String::as_str);
                let parts = [format!("{family}_sum"), format!("{family}_count")];
                let is_part = kind == "summary" && parts.contains(&name);
                if name != family && !is_part {
                    return fail("a sample outside of its family");
                }
                if kind == "counter" && (value.is_nan() || value < 0.0) {
                    return fail("a negative counter");
                }
                if !seen.insert((name.clone(), labels.clone())) {
                    return fail("the same sample twice");
                }
                samples.entry(name).or_default().push((labels, value));
            }
        }
        if helped.len() != typed.len() {
            return Err("a family without TYPE".to_owned());
        }
        Ok(Self { samples })
    }

    /// The value of a series without labels.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        match self.samples.get(name)?.as_slice() {
            [(labels, value)] if labels.is_empty() => Some(*value),
            _ => None,
        }
    }

    /// The value of the series with just this label.
    pub(crate) fn labelled(&self, name: &str, label: &str, text: &str) -> Option<f64> {
        self.by_label(name, label).get(text).copied()
    }

    /// The values of a family by one label, which is all that its series have.
    pub(crate) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let samples = self.samples.get(name).map_or(&[][..], Vec::as_slice);
        let single = samples.iter().filter(|(labels, _)| labels.len() == 1);
        single.filter_map(|(labels, value)| Some((labels.get(label)?.clone(), *value))).collect()
    }
}

/// `name{label="text",...} value`.
fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (text, after) = quoted(after)?;
            if !is_name(label, false) || labels.insert(label.to_owned(), text).is_some() {
                return None;
            }
            rest = after;
            match rest.chars().next()? {
                ',' => rest = &rest[1..],
                '}' => break,
                _ => return None,
            }
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    is_name(name, true).then(|| (name.to_owned(), labels, value))
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                char @ ('\\' | '"') => char,
                _ => return None,
            }),
            char => out.push(char),
        }
    }
    None
}

fn is_name(name: &str, colons: bool) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(legal)
}

#[test]
fn the_reader_is_strict() {
    let page = |text: &str| Exposition::parse(text);
    let head = "# HELP a help\n# TYPE a counter\n";
    let read = page(&format!("{head}a{{x=\"1\\\"\\n\",y=\"\"}} 1\n")).expect("legal");
    assert_eq!(read.samples["a"][0].0["x"], "1\"\n");
    for wrong in
        ["a 1", "a -1\n", "a x\n", "b 1\n", "a{x=\"1} 1\n", "a{x=\"1\",x=\"2\"} 1\n", "a 1\na 1\n"]
    {
        assert!(page(&format!("{head}{wrong}")).is_err(), "{wrong}");
    }
    assert!(page(&format!("{head}{head}")).is_err() && page("a 1\n").is_err());
}
