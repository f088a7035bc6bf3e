use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// What a map takes in memory whatever it holds: a node of a B-tree has room for 11 entries.
const MAP: usize = 640;
/// What an entry of a map takes where the node is at least half full.
const ENTRY: usize = 112;
/// What a list takes whatever it holds: it begins with room for four values.
const LIST: usize = 128;
/// What a value takes in a list, which doubles when it is full.
const VALUE: usize = 64;
/// What a text takes beside its bytes.
const TEXT: usize = 16;

/// Checks a JSON text before it is parsed: how many bytes of memory its values would take, about. Texts of many small
/// values take a hundred times their length. Nothing is built for that.
///
/// # Errors
///
/// When it is more than `most`, with None; when the text is no JSON or nested too deeply, with what is wrong.
pub(crate) fn parsed_size(text: &str, most: usize) -> Result<usize, Option<serde_json::Error>> {
    let mut left = Some(most);
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Measure { left: &mut left }.deserialize(&mut reader);
    match (read.and_then(|()| reader.end()), left) {
        (Ok(()), Some(left)) => Ok(most - left),
        (_, None) => Err(None),
        (Err(error), Some(_)) => Err(Some(error)),
    }
}

/// Visits a value and takes its size off what is left; None when nothing is left.
struct Measure<'a> {
    left: &'a mut Option<usize>,
}

impl Measure<'_> {
    fn take<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        *self.left = self.left.and_then(|left| left.checked_sub(bytes));
        match self.left {
            Some(_) => Ok(()),
            None => Err(E::custom("it takes too much memory")),
        }
    }

    fn below(&mut self) -> Measure<'_> {
        Measure { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Measure<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Measure<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<(), E> {
        self.take(TEXT + text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.take(LIST)?;
        while list.next_element_seed(self.below())?.is_some() {
            self.take(VALUE)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.take(MAP)?;
        let mut entries = 0;
        while map.next_key_seed(self.below())?.is_some() {
            entries += 1;
            if entries > MAP / ENTRY {
                self.take(ENTRY)?;
            }
            map.next_value_seed(self.below())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_number("1", 0)]
    #[case::a_text("\"abc\"", 19)]
    #[case::a_list("[1, 2]", 256)]
    #[case::a_map(r#"{"a": 1}"#, 657)]
    #[case::maps_in_a_list(r#"[{"":0},{"":0}]"#, 128 + 2 * (64 + 640 + 16))]
    fn a_text_is_measured_without_parsing(#[case] text: &str, #[case] bytes: usize) {
        assert_eq!(parsed_size(text, bytes).unwrap(), bytes);
        if bytes > 0 {
            assert!(matches!(parsed_size(text, bytes - 1), Err(None)));
        }
    }

    #[rstest]
    #[case::cut("[1, ", "EOF")]
    #[case::two_values("1 2", "trailing characters")]
    #[case::deep(&"[".repeat(200), "recursion limit exceeded")]
    fn what_is_no_json_is_told(#[case] text: &str, #[case] told: &str) {
        let Err(Some(error)) = parsed_size(text, 1 << 20) else {
            panic!("{text} was measured");
        };
        assert!(error.to_string().contains(told), "{error}");
    }
}
